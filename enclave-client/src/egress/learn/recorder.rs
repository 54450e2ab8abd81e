use std::{
    collections::{BTreeMap, HashSet, btree_map},
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_protocol::{
    AddressClass, Destination, Host,
    egress::{Action, Denial, EgressPolicy, Entry, PolicyError, Rule},
};
use tokio::time::{Instant, interval};
use tracing::{error, warn};

use super::written;

/// What was asked for, at most [`MAX_DESTINATIONS`] destinations.
#[derive(Debug)]
pub struct Recorder {
    started: Instant,
    gated: HashSet<Destination>,
    /// Everything but what a deny rule names.
    pub(super) permissive: EgressPolicy,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: BTreeMap<Destination, Seen>,
    /// Connections to destinations for which there was no room.
    more: u64,
    /// Whether something is to be written.
    changed: bool,
}

#[derive(Debug)]
pub(super) struct Seen {
    pub(super) count: u64,
    /// Since the start.
    pub(super) first: Duration,
    pub(super) verdict: Verdict,
    /// Special addresses that the name led to and somebody connected to, at most [`MAX_ADDRESSES`].
    pub(super) special: Vec<IpAddr>,
}

#[derive(Debug)]
pub(super) enum Verdict {
    /// No rule allows it: this is what is learnt.
    Learnt,
    /// A rule of the manifest does.
    Allowed(String),
    /// It goes through a proxy.
    Gated,
    /// It did not pass, and why.
    Denied(String),
}

impl Recorder {
    /// Nothing was seen yet. The deny rules among `rules` hold; `gated` is what goes through a proxy, and is not to
    /// be learnt as a way past it.
    ///
    /// # Errors
    /// [`PolicyError`] when these rules make no policy.
    pub fn new(rules: &[Rule], gated: HashSet<Destination>) -> Result<Self, PolicyError> {
        let denies = rules.iter().filter(|rule| rule.action == Action::Deny).cloned();
        let permissive = EgressPolicy::new(denies.chain(anything()).collect())?;
        Ok(Self { started: Instant::now(), gated, permissive, state: Mutex::default() })
    }

    pub(super) fn settle<'p>(
        &self,
        destination: &Destination,
        judged: Result<&Rule, Denial<'p>>,
    ) -> Result<(), Denial<'p>> {
        let (verdict, settled) = match judged {
            Ok(_) if self.gated.contains(destination) => (Verdict::Gated, Ok(())),
            Ok(rule) => (Verdict::Allowed(rule.to_string()), Ok(())),
            Err(denial) if can_be_learnt(&denial) => (Verdict::Learnt, Ok(())),
            Err(denial) => (Verdict::Denied(denial.to_string()), Err(denial)),
        };
        let mut state = self.state();
        state.changed = true;
        let room = state.seen.len() < MAX_DESTINATIONS;
        match state.seen.entry(destination.clone()) {
            btree_map::Entry::Occupied(seen) => seen.into_mut().count += 1,
            btree_map::Entry::Vacant(place) if room => {
                let first = self.started.elapsed();
                place.insert(Seen { count: 1, first, verdict, special: Vec::new() });
            }
            btree_map::Entry::Vacant(_) => state.more += 1,
        }
        settled
    }

    pub(super) fn add_address(&self, destination: &Destination, address: IpAddr) {
        let mut state = self.state();
        if let Some(seen) = state.seen.get_mut(destination)
            && seen.special.len() < MAX_ADDRESSES
            && !seen.special.contains(&address)
        {
            seen.special.push(address);
            state.changed = true;
        }
    }

    /// Warns at once and each minute, and writes the file every five seconds when there is something new. Never
    /// returns.
    pub async fn keep(self: Arc<Self>, file: PathBuf) {
        let mut write = interval(WRITE_EVERY);
        for tick in 0_u64.. {
            write.tick().await;
            if tick % WRITES_TO_A_WARNING == 0 {
                warn!(
                    code = "learning",
                    "DEVELOPMENT ONLY: whatever no deny rule names may leave this enclave; written to {}",
                    file.display()
                );
            }
            if !std::mem::take(&mut self.state().changed) {
                continue;
            }
            let (recorder, file) = (self.clone(), file.clone());
            let written = tokio::task::spawn_blocking(move || recorder.write(&file)).await;
            if let Ok(Err(why)) = written {
                error!(code = "learn-failed", "what was learnt cannot be written: {why}");
            }
        }
    }

    /// Replaces the file by the manifest that would allow what was asked for.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let mut beside = file.as_os_str().to_owned();
        beside.push(".new");
        fs::write(&beside, self.manifest())?;
        fs::rename(&beside, file).inspect_err(|_| {
            // The first error is the one to tell.
            let _ = fs::remove_file(&beside);
        })
    }

    /// The manifest that would allow what was asked for, and nothing else; how often, in comments.
    pub fn manifest(&self) -> String {
        let state = self.state();
        written::manifest(&state.seen, state.more)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a rule could allow it: not against a deny rule, and no rule ever opens a multicast address.
fn can_be_learnt(denial: &Denial<'_>) -> bool {
    match denial {
        Denial::NoRule => true,
        Denial::Special { class, .. } => *class != AddressClass::NotUnicast,
        Denial::Rule(_) | Denial::Elsewhere { .. } => false,
    }
}

/// Every name and address, special ones too.
fn anything() -> impl Iterator<Item = Rule> {
    let entries = ["**", Host::PARENT, "0.0.0.0/0", "::/0"].into_iter().chain(SPECIAL);
    let entries = entries.filter_map(|text| text.parse::<Entry>().ok());
    entries.map(|entry| Rule::new(Action::Allow, entry, "learning"))
}

/// Networks that no larger one opens.
const SPECIAL: [&str; 5] = ["127.0.0.0/8", "::1", "169.254.0.0/16", "fe80::/10", "fd00:ec2::/32"];

pub(super) const MAX_DESTINATIONS: usize = 10_000;

const MAX_ADDRESSES: usize = 16;

pub(super) const WRITE_EVERY: Duration = Duration::from_secs(5);

const WRITES_TO_A_WARNING: u64 = 12;
