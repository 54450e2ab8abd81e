use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{GatewayConfig, refusal::Refusal};

/// Names to addresses. It checks nothing: whoever dials checks each address,
/// and dials the one it checked.
pub(super) struct Resolver {
    statics: HashMap<String, Arc<[IpAddr]>>,
    cache: Mutex<HashMap<Box<str>, Cached>>,
    keep: Duration,
    deadline: Duration,
    lookups: Arc<Semaphore>,
}

struct Cached {
    addresses: Arc<[IpAddr]>,
    until: Instant,
}

impl Resolver {
    pub(super) fn new(config: &GatewayConfig) -> Self {
        let fixed = |(name, addresses): (&String, &Vec<IpAddr>)| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            (name, Arc::from(addresses.as_slice()))
        };
        Self {
            statics: config.static_hosts.iter().map(fixed).collect(),
            cache: Mutex::default(),
            keep: config.resolve_cache,
            deadline: config.resolve_timeout,
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }

    /// The addresses of a normalised name: the configured ones, those looked up a
    /// moment ago, or those that the system's resolver gives now.
    ///
    /// # Errors
    /// [`Refusal::Resolve`], [`Refusal::ResolveTimeout`], [`Refusal::NoAddress`].
    pub(super) async fn resolve(&self, name: &str) -> Result<Arc<[IpAddr]>, Refusal> {
        if let Some(addresses) = self.statics.get(name) {
            return Ok(Arc::clone(addresses));
        }
        if let Some(addresses) = self.cached(name) {
            return Ok(addresses);
        }
        let lookup = self.look_up(name.into());
        let addresses = timeout(self.deadline, lookup).await.map_err(|_| Refusal::ResolveTimeout)??;
        self.remember(name, &addresses);
        Ok(addresses)
    }

    async fn look_up(&self, name: Box<str>) -> Result<Arc<[IpAddr]>, Refusal> {
        let closed = |_| Refusal::Resolve(io::Error::other("resolver is closed"));
        let place = Arc::clone(&self.lookups).acquire_owned().await.map_err(closed)?;
        // The system's resolver blocks a thread and cannot be stopped: the lookup
        // keeps its place until it is really over, whoever gave up waiting for it.
        let lookup = tokio::spawn(async move {
            let _place = place;
            let found = tokio::net::lookup_host((&*name, 0)).await?;
            io::Result::Ok(found.map(|address| address.ip()).take(MAX_ADDRESSES).collect::<Arc<[_]>>())
        });
        let found = lookup.await.map_err(|error| Refusal::Resolve(io::Error::other(error)))?;
        let addresses = found.map_err(Refusal::Resolve)?;
        if addresses.is_empty() { Err(Refusal::NoAddress) } else { Ok(addresses) }
    }

    fn cached(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        let cache = self.cache();
        let entry = cache.get(name)?;
        (entry.until > Instant::now()).then(|| Arc::clone(&entry.addresses))
    }

    fn remember(&self, name: &str, addresses: &Arc<[IpAddr]>) {
        let now = Instant::now();
        let mut cache = self.cache();
        if cache.len() >= MAX_CACHED {
            cache.retain(|_, entry| entry.until > now);
        }
        if cache.len() < MAX_CACHED {
            let entry = Cached { addresses: Arc::clone(addresses), until: now + self.keep };
            cache.insert(name.into(), entry);
        }
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<Box<str>, Cached>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names kept. Only names that some workload may reach are ever looked up.
const MAX_CACHED: usize = 1024;

/// Threads that lookups may block at one time.
const MAX_LOOKUPS: usize = 64;

/// Addresses of one name; a server that gives more gives too many to try.
const MAX_ADDRESSES: usize = 16;
