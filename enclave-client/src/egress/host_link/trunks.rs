use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::available_parallelism,
};

use super::line::Line;
use crate::{transport::Stream, trunk::Trunk};

/// The trunks to the host half: one for each processor, up to [`MOST`], since one is driven by one at a time.
/// They begin when they are needed and stay, so that a connection of the application costs none to the host half.
#[derive(Debug)]
pub(super) struct Trunks {
    places: Box<[Place]>,
    next: AtomicUsize,
}

/// Where a trunk stands, or stood, or will.
#[derive(Debug, Default)]
pub(super) struct Place {
    trunk: Mutex<Option<Arc<Trunk>>>,
    /// Held by whoever makes a new one: the others wait for that one.
    pub(super) filling: tokio::sync::Mutex<()>,
}

impl Default for Trunks {
    fn default() -> Self {
        let number = available_parallelism().map_or(1, |processors| processors.get().min(MOST));
        Self { places: (0..number).map(|_| Place::default()).collect(), next: AtomicUsize::new(0) }
    }
}

impl Trunks {
    /// Each place in its turn.
    pub(super) fn next(&self) -> &Place {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.places[turn % self.places.len()]
    }
}

impl Place {
    fn trunk(&self) -> std::sync::MutexGuard<'_, Option<Arc<Trunk>>> {
        self.trunk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane of the trunk that stands here.
    pub(super) fn lane(&self) -> Option<(Line, Arc<Trunk>)> {
        let mut place = self.trunk();
        let trunk = place.as_ref()?;
        match trunk.open() {
            Some(lane) => Some((Line::new(Stream::Lane(lane)), trunk.clone())),
            None => {
                *place = None;
                None
            }
        }
    }

    /// Puts a trunk here, and opens a lane of it.
    pub(super) fn fill(&self, trunk: Trunk) -> Option<(Line, Arc<Trunk>)> {
        *self.trunk() = Some(Arc::new(trunk));
        self.lane()
    }
}

/// Trunks at a time.
const MOST: usize = 4;
