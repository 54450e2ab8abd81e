use std::sync::{Arc, OnceLock};

use countersign_telemetry::log::Layer;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;

/// Where log lines go besides the log, once it is known: the log begins before the manifest is read, and the
/// manifest says which collector there is.
///
/// Only lines of this program pass, and of its application where those are in the log: what libraries tell
/// at their lowest levels may hold what they carry.
#[derive(Clone, Default)]
pub struct LateLayer(Arc<OnceLock<Layer>>);

impl LateLayer {
    /// From now on lines go there too. The first one counts.
    pub fn set(&self, layer: Layer) {
        let _ = self.0.set(layer);
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for LateLayer {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some(layer) = self.0.get()
            && OURS.iter().any(|ours| event.metadata().target().starts_with(ours))
        {
            layer.on_event(event, context);
        }
    }
}

/// Targets: modules of this program, and [`ApplicationOutput`](crate::child::ApplicationOutput).
const OURS: [&str; 2] = ["countersign_", "application"];
