//! The HTTP CONNECT proxy on loopback that the application finds in its environment.
//!
//! Deny by default: a destination that the manifest does not name is refused
//! here, before anything leaves the enclave. A name is never resolved here; the
//! gateway does that and applies its own rules to the address.

mod answer;
mod head;
mod relay;
mod serve;

use std::{collections::HashMap, sync::Arc};

use countersign_protocol::Destination;

use crate::pool::Pool;

pub use head::{Connect, HeadError, MAX_HEAD, parse};
pub use serve::{LocalProxy, LocalProxyLimits};

/// Which pool leads to which destination. Empty: nothing is reachable.
#[derive(Clone, Default)]
pub struct Routes(Arc<HashMap<Destination, Arc<Pool>>>);

impl Routes {
    /// The pool for a destination, if the manifest names it.
    pub fn find(&self, destination: &Destination) -> Option<&Arc<Pool>> {
        self.0.get(destination)
    }
}

impl FromIterator<(Destination, Arc<Pool>)> for Routes {
    fn from_iter<I: IntoIterator<Item = (Destination, Arc<Pool>)>>(routes: I) -> Self {
        Self(Arc::new(routes.into_iter().collect()))
    }
}
