use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{MissedTickBehavior, interval},
};

use super::{Place, Tick, tick::Told};
use crate::{
    admin::{code::Code, problem::ApiError},
    store::{Store, StoreError, UnixMs},
};

/// Everybody who listens, and the one task that looks for them.
pub(in crate::admin) struct Events(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    most: u32,
    listeners: AtomicU32,
    ticks: broadcast::Sender<Arc<Tick>>,
    /// How far the task has read; `None` while nobody looks.
    looking: Mutex<Option<Place>>,
}

/// One who listens. Dropping it gives his place back.
pub(in crate::admin) struct Listener {
    shared: Arc<Shared>,
    ticks: broadcast::Receiver<Arc<Tick>>,
    /// What he is told before anything new.
    missed: Option<Arc<Tick>>,
}

/// What a listener hears next.
pub(in crate::admin) enum Next {
    Tick(Arc<Tick>),
    /// He was too slow: what he missed is gone, and so is he.
    TooSlow,
}

/// Whether a listener could be given what he missed.
pub(in crate::admin) enum Resumed {
    Whole,
    /// He must read everything again.
    Resync,
}

impl Events {
    pub(in crate::admin) fn new(store: Arc<dyn Store>, most: u32) -> Self {
        let (ticks, _) = broadcast::channel(BACKLOG);
        let shared = Shared { store, most, listeners: AtomicU32::new(0), ticks, looking: Mutex::default() };
        Self(Arc::new(shared))
    }

    /// One more listener, who was at `place` before.
    pub(in crate::admin) async fn listen(
        &self,
        place: Option<Place>,
    ) -> Result<(Listener, Resumed, Place), ApiError> {
        let shared = &self.0;
        let counted = shared.listeners.fetch_update(Ordering::AcqRel, Ordering::Acquire, |number| {
            (number < shared.most).then_some(number + 1)
        });
        if counted.is_err() {
            let detail = format!("there are {} listeners, which is the most", shared.most);
            return Err(ApiError::new(Code::TooManyListeners, detail).retry_after(10));
        }
        // From here on dropping it gives the place back.
        let mut listener =
            Listener { shared: Arc::clone(shared), ticks: shared.ticks.subscribe(), missed: None };
        // First the subscription, then the place: ticks in between are told twice, and none is lost.
        let now = shared.look().await?;
        let resumed = match place {
            None => Resumed::Whole,
            Some(before) => match shared.since(&before, &now).await? {
                Some(missed) => {
                    listener.missed = (!missed.is_empty()).then(|| Arc::new(missed));
                    Resumed::Whole
                }
                None => Resumed::Resync,
            },
        };
        Ok((listener, resumed, now))
    }
}

impl Listener {
    pub(in crate::admin) async fn next(&mut self) -> Next {
        if let Some(missed) = self.missed.take() {
            return Next::Tick(missed);
        }
        match self.ticks.recv().await {
            Ok(tick) => Next::Tick(tick),
            Err(RecvError::Lagged(_) | RecvError::Closed) => Next::TooSlow,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    /// Where the task is; starts it when nobody looks yet.
    async fn look(self: &Arc<Self>) -> Result<Place, StoreError> {
        if let Some(place) = self.looking().clone() {
            return Ok(place);
        }
        let place = Place::of(self.store.chains().await?);
        let mut looking = self.looking();
        if let Some(place) = looking.clone() {
            // Somebody else was quicker.
            return Ok(place);
        }
        *looking = Some(place.clone());
        drop(looking);
        tokio::spawn(Arc::clone(self).run(place.clone()));
        Ok(place)
    }

    /// Looks as long as somebody listens.
    async fn run(self: Arc<Self>, mut place: Place) {
        let mut told = Told::default();
        let mut clock = interval(LOOKED_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            {
                let mut looking = self.looking();
                if self.listeners.load(Ordering::Acquire) == 0 {
                    *looking = None;
                    return;
                }
            }
            // A store that is away gives nothing to tell; the next look tells it all.
            let Ok(mut tick) = self.read_on(&place).await else { continue };
            if let Ok(rows) = self.store.replicas(UnixMs::now()).await {
                tick.replicas = told.news(rows, UnixMs::now());
            }
            place = tick.place.clone();
            *self.looking() = Some(place.clone());
            if !tick.is_empty() {
                // Nobody may be there any more.
                let _ = self.ticks.send(Arc::new(tick));
            }
        }
    }

    /// What the audit has after `place`, at most so many rows of each chain at once.
    async fn read_on(&self, place: &Place) -> Result<Tick, StoreError> {
        let mut tick = Tick { place: place.clone(), ..Tick::default() };
        for chain in self.store.chains().await? {
            // A chain that began meanwhile is read from its beginning.
            let read = place.of_chain(&chain.name).unwrap_or(0);
            if chain.seq > read {
                for row in self.store.chain_rows(&chain.name, read, ROWS).await? {
                    tick.take(row);
                }
            }
        }
        Ok(tick)
    }

    /// What lies between two places; `None` when it is too much, or is not there any more.
    async fn since(&self, before: &Place, now: &Place) -> Result<Option<Tick>, StoreError> {
        let known = before.iter().all(|(chain, _)| now.of_chain(chain).is_some());
        let missed: u64 =
            now.iter().map(|(chain, seq)| seq.saturating_sub(before.of_chain(chain).unwrap_or(0))).sum();
        if !known || !before.is_within(now) || missed > u64::from(ROWS) {
            return Ok(None);
        }
        let mut tick = Tick { place: before.clone(), ..Tick::default() };
        for (chain, seq) in now.iter() {
            let read = before.of_chain(chain).unwrap_or(0);
            if seq == read {
                continue;
            }
            let rows = self.store.chain_rows(chain, read, ROWS).await?;
            // Retention may have dropped the first of them.
            if rows.first().map(|row| row.seq) != Some(read + 1) {
                return Ok(None);
            }
            rows.into_iter().filter(|row| row.seq <= seq).for_each(|row| tick.take(row));
        }
        tick.place = now.clone();
        Ok(Some(tick))
    }

    fn looking(&self) -> std::sync::MutexGuard<'_, Option<Place>> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How late an event may be.
const LOOKED_EVERY: Duration = Duration::from_millis(500);

/// Ticks that a slow listener may be behind: half a minute.
const BACKLOG: usize = 64;

/// Rows read at once, and the most that a listener who comes back is told.
const ROWS: u32 = 1000;
