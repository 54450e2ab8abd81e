//! Names to addresses, on the parent machine.
//!
//! The enclave judges what it was told and comes back with `CONNECT`, so for the
//! lifetime that it was told the same answer must hold here: a resolver that
//! changes its mind in between changes nothing. What is dialled is always an
//! address that both sides had before.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OnceCell, Semaphore},
    time::{Instant, timeout},
};

use super::wire::{Addresses, Resolved};

/// Who knows names. The seam for tests; in the program it is [`SystemResolver`].
pub trait Resolver: Send + Sync {
    /// Every address of a normalised name.
    fn lookup(&self, name: Box<str>) -> Lookup;
}

/// A lookup under way.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// getaddrinfo(3): `/etc/hosts`, `/etc/resolv.conf`, whatever the machine uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn lookup(&self, name: Box<str>) -> Lookup {
        Box::pin(async move {
            // Port 0: only the addresses count. No dot is put behind the name, since
            // `/etc/hosts` does not know names with one.
            Ok(tokio::net::lookup_host((&*name, 0)).await?.map(|address| address.ip()).collect())
        })
    }
}

/// What is known of names; bounded in number, age and lookups at a time.
pub struct Names {
    resolver: Arc<dyn Resolver>,
    known: Mutex<HashMap<Box<str>, Arc<Known>>>,
    lookups: Arc<Semaphore>,
}

/// One name. Whoever asks while it is looked up waits for the same answer.
struct Known {
    asked: Instant,
    answer: OnceCell<Found>,
}

type Found = Result<(Addresses, Instant), ResolveError>;

impl Names {
    /// Knows nothing yet.
    pub fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver, known: Mutex::default(), lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    /// The addresses of a name, and for how long they may be used.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn resolve(&self, name: &str) -> Result<(Addresses, Duration), ResolveError> {
        let (addresses, since) = self.find(name, LIFETIME).await?;
        Ok((addresses, LIFETIME.saturating_sub(since.elapsed())))
    }

    /// The accepted addresses that are this name's. The last answer counts for
    /// longer than its lifetime, which is counted on the other side too.
    ///
    /// # Errors
    /// [`ResolveError`]; `Ok(None)` when the two have nothing in common.
    pub async fn shared(&self, name: &str, accepted: &Addresses) -> Result<Option<Addresses>, ResolveError> {
        let (addresses, since) = self.find(name, LIFETIME + GRACE).await?;
        let shared = accepted.shared_with(addresses.as_slice());
        if shared.is_some() || since.elapsed() < Duration::from_secs(1) {
            return Ok(shared);
        }
        // Some names have more addresses than one answer holds.
        let (addresses, _) = self.find(name, Duration::from_secs(1)).await?;
        Ok(accepted.shared_with(addresses.as_slice()))
    }

    async fn find(&self, name: &str, age: Duration) -> Found {
        let known = self.slot(name, age);
        known.answer.get_or_init(|| self.ask(name)).await.clone()
    }

    /// The slot of a name, a new one if what is there is older than `age`.
    fn slot(&self, name: &str, age: Duration) -> Arc<Known> {
        let mut names = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name).filter(|known| known.is_younger_than(age)) {
            return known.clone();
        }
        if names.len() >= MAX_NAMES {
            names.retain(|_, known| known.is_younger_than(LIFETIME));
        }
        if names.len() >= MAX_NAMES {
            // Still full of fresh ones: somebody asks for names without end. They are told the
            // truth, and lose what was remembered for them.
            names.clear();
        }
        let known = Arc::new(Known { asked: Instant::now(), answer: OnceCell::new() });
        names.insert(name.into(), known.clone());
        known
    }

    async fn ask(&self, name: &str) -> Found {
        let lookups = self.lookups.clone();
        let lookup = self.resolver.lookup(name.into());
        let ask = async {
            let permit = lookups.acquire_owned().await.map_err(|_| ResolveError::Deadline)?;
            // The system's resolver cannot be stopped: the permit is given back when it has ended.
            let lookup = tokio::spawn(async move {
                let found = lookup.await;
                drop(permit);
                found
            });
            lookup
                .await
                .map_err(|why| ResolveError::Failed(why.to_string()))?
                .map_err(|why| ResolveError::Failed(why.to_string()))
        };
        let found = timeout(LOOKUP_DEADLINE, ask).await.map_err(|_| ResolveError::Deadline)??;
        Ok((Addresses::first_of(found).ok_or(ResolveError::NoAddress)?, Instant::now()))
    }
}

impl Known {
    fn is_younger_than(&self, age: Duration) -> bool {
        match self.answer.get() {
            Some(Ok((_, since))) => since.elapsed() < age,
            Some(Err(_)) => self.asked.elapsed() < FAILURE_LIFETIME,
            // Asked by somebody who may be gone: the next one goes on with the same slot.
            None => self.asked.elapsed() < LOOKUP_DEADLINE,
        }
    }
}

/// The answer to a resolve request.
pub(super) fn answer(addresses: &Addresses, lifetime: Duration) -> Resolved {
    let lifetime_seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
    Resolved { addresses: addresses.as_slice().to_vec(), lifetime_seconds }
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The resolver says so.
    Failed(String),
    /// It answered, with nothing in it.
    NoAddress,
    /// It did not answer in time, or too many others are waiting for it.
    Deadline,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => write!(f, "the parent's resolver says: {why}"),
            Self::NoAddress => f.write_str("the name has no address"),
            Self::Deadline => {
                write!(f, "the parent's resolver did not answer within {} s", LOOKUP_DEADLINE.as_secs())
            }
        }
    }
}

impl std::error::Error for ResolveError {}

/// How long an answer is given again. getaddrinfo(3) tells no lifetime; this is
/// below what most zones that fail over use.
pub const LIFETIME: Duration = Duration::from_secs(15);

/// How much longer it is accepted back: an enclave that was told "15 s" may come at the end of them.
const GRACE: Duration = Duration::from_secs(15);

/// How long a failure is repeated without asking again.
const FAILURE_LIFETIME: Duration = Duration::from_secs(1);

/// For one name, waiting for a place included.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(5);

/// Lookups at a time. Each holds a thread.
const MAX_LOOKUPS: usize = 64;

/// Names that are remembered.
const MAX_NAMES: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Answers the n-th question with the n-th answer, and the last one for ever.
    struct Script {
        asked: AtomicUsize,
        answers: Vec<&'static [&'static str]>,
    }

    impl Resolver for Script {
        fn lookup(&self, _: Box<str>) -> Lookup {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            let answer = self.answers[asked.min(self.answers.len() - 1)];
            Box::pin(async { Ok(answer.iter().map(|address| address.parse().unwrap()).collect()) })
        }
    }

    fn script(answers: &[&'static [&'static str]]) -> (Arc<Script>, Names) {
        let script = Arc::new(Script { asked: AtomicUsize::new(0), answers: answers.to_vec() });
        (script.clone(), Names::new(script))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_for_its_lifetime() {
        let (script, names) = script(&[&["192.0.2.1"], &["192.0.2.2"]]);
        let first = Addresses::first_of(["192.0.2.1".parse().unwrap()]).unwrap();
        assert_eq!(names.resolve("a.example").await, Ok((first.clone(), LIFETIME)));
        tokio::time::advance(LIFETIME - Duration::from_secs(1)).await;
        assert_eq!(names.resolve("a.example").await, Ok((first.clone(), Duration::from_secs(1))));
        // Accepted back beyond its lifetime, for whoever used the last second of it.
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(names.shared("a.example", &first).await, Ok(Some(first.clone())));
        assert_eq!(script.asked.load(Ordering::Relaxed), 1);
        assert_eq!(names.resolve("a.example").await.unwrap().0.to_string(), "192.0.2.2");
        assert_eq!(names.shared("a.example", &first).await, Ok(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_who_ask_at_once_ask_once() {
        let (script, names) = script(&[&["192.0.2.1"]]);
        let names = Arc::new(names);
        let asking: Vec<_> = (0..1000)
            .map(|_| {
                let names = names.clone();
                tokio::spawn(async move { names.resolve("a.example").await.unwrap().0.to_string() })
            })
            .collect();
        for one in asking {
            assert_eq!(one.await.unwrap(), "192.0.2.1");
        }
        assert_eq!(script.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn names_without_end_are_forgotten() {
        let (_, names) = script(&[&["192.0.2.1"]]);
        for number in 0..MAX_NAMES * 2 + 10 {
            names.resolve(&format!("n{number}.example")).await.unwrap();
            assert!(names.known.lock().unwrap().len() <= MAX_NAMES);
        }
    }

    struct Silent;

    impl Resolver for Silent {
        fn lookup(&self, name: Box<str>) -> Lookup {
            if &*name == "empty.example" {
                return Box::pin(async { Ok(Vec::new()) });
            }
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_says_nothing_is_not_waited_for() {
        let names = Arc::new(Names::new(Arc::new(Silent)));
        assert_eq!(names.resolve("empty.example").await, Err(ResolveError::NoAddress));
        // More than there are places: those who wait for a place have the same deadline.
        let asking: Vec<_> = (0..MAX_LOOKUPS + 10)
            .map(|number| {
                let names = names.clone();
                tokio::spawn(async move { names.resolve(&format!("n{number}.example")).await })
            })
            .collect();
        for one in asking {
            assert_eq!(one.await.unwrap(), Err(ResolveError::Deadline));
        }
    }
}
