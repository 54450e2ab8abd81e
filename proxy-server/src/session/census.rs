use std::{collections::HashMap, sync::Arc};

use super::Sessions;
use crate::policy::{Workload, WorkloadName};

/// What a registry holds, counted.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// Live sessions.
    pub sessions: u64,
    /// Their tunnels.
    pub tunnels: u64,
    /// Sessions that hold tunnels, by measurement; in no order.
    pub holding: Vec<Holding>,
}

/// Sessions with tunnels of one measurement.
#[derive(Clone, Debug)]
pub struct Holding {
    /// Of which workload.
    pub workload: Arc<Workload>,
    /// The measurement.
    pub measurement: Arc<str>,
    /// How many sessions hold tunnels.
    pub sessions: u64,
    /// Their tunnels.
    pub tunnels: u64,
}

impl Sessions {
    /// Counts everything: some milliseconds for 100,000 sessions, during which
    /// nobody waits for more than a table.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        let mut places: HashMap<WorkloadName, HashMap<Arc<str>, usize>> = HashMap::new();
        self.registry().each(|session| {
            census.sessions += 1;
            let state = session.state();
            let tunnels = u64::from(state.tunnels());
            if tunnels == 0 {
                return;
            }
            census.tunnels += tunnels;
            let (workload, measurement) = (&state.workload, session.measurement());
            // Names are copied once for each measurement, and not once for each session.
            let place = places.get(&workload.name).and_then(|of| of.get(measurement)).copied();
            if let Some(holding) = place.and_then(|place| census.holding.get_mut(place)) {
                holding.sessions += 1;
                holding.tunnels += tunnels;
                return;
            }
            let of = places.entry(workload.name.clone()).or_default();
            of.insert(Arc::clone(measurement), census.holding.len());
            census.holding.push(Holding {
                workload: Arc::clone(workload),
                measurement: Arc::clone(measurement),
                sessions: 1,
                tunnels,
            });
        });
        census
    }

    /// Waits until every tunnel, and every connection that may carry bytes of one, of
    /// all sessions that are over by now has let go of its sockets. It does not end
    /// by itself: put a deadline on it.
    pub fn let_go(&self) -> impl Future<Output = ()> + Send + 'static {
        let cuts = self.cuts().clone();
        async move {
            for cut in cuts {
                cut.over().await;
            }
        }
    }
}
