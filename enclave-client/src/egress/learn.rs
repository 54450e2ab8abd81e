//! Learning, for development: what no rule allows passes, and is written down.
//!
//! A deny rule holds all the same: somebody has decided it.

use std::{
    collections::{BTreeMap, HashSet, btree_map},
    fmt::Write as _,
    fs, io,
    net::IpAddr,
    num::NonZeroU16,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_protocol::{
    AddressClass, Destination, Host,
    egress::{Action, Denial, EgressPolicy, Entry, PolicyError, Rule},
    unmap,
};
use tokio::time::{Instant, interval};
use tracing::{error, warn};

use crate::transport::Stream;

/// Whether the rules hold.
#[derive(Clone, Debug, Default)]
pub enum Enforcement {
    /// They do.
    #[default]
    Enforce,
    /// What no rule allows passes and is recorded.
    Learn(Arc<Recorder>),
}

impl Enforcement {
    /// What comes of the policy's judgement of a destination.
    pub(super) fn settle<'p>(
        &self,
        destination: &Destination,
        judged: Result<&Rule, Denial<'p>>,
    ) -> Result<(), Denial<'p>> {
        match self {
            Self::Enforce => judged.map(drop),
            Self::Learn(recorder) => recorder.settle(destination, judged),
        }
    }

    /// The policy for the addresses that a name leads to: while learning, the deny rules alone.
    pub(super) fn for_addresses<'a>(&'a self, policy: &'a EgressPolicy) -> &'a EgressPolicy {
        match self {
            Self::Enforce => policy,
            Self::Learn(recorder) => &recorder.permissive,
        }
    }

    /// Notes an address that somebody has connected to and `policy` would not have allowed. Where the host half
    /// dials, the address is not known.
    pub(super) fn connected(&self, destination: &Destination, stream: &Stream, policy: &EgressPolicy) {
        if let (Self::Learn(recorder), Stream::Tcp(stream)) = (self, stream)
            && let Ok(peer) = stream.peer_addr()
            && matches!(destination.host(), Host::Name(name) if &**name != HOST)
            && policy.judge_address(destination, peer.ip()).is_err()
        {
            recorder.add_address(destination, peer.ip());
        }
    }
}

/// What was asked for, at most [`MAX_DESTINATIONS`] destinations.
#[derive(Debug)]
pub struct Recorder {
    started: Instant,
    gated: HashSet<Destination>,
    permissive: EgressPolicy,
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
struct Seen {
    count: u64,
    first: Duration,
    verdict: Verdict,
    /// Special addresses that the name led to and somebody connected to, at most [`MAX_ADDRESSES`].
    special: Vec<IpAddr>,
}

#[derive(Debug)]
enum Verdict {
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

    fn settle<'p>(
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

    fn add_address(&self, destination: &Destination, address: IpAddr) {
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
        fs::rename(&beside, file)
    }

    /// The manifest that would allow what was asked for, and nothing else; how often, in comments.
    pub fn manifest(&self) -> String {
        let state = self.state();
        let mut entries = String::new();
        for (destination, seen) in &state.seen {
            seen.describe(destination, &mut entries);
        }
        for (address, names) in special_addresses(&state.seen) {
            let _ = writeln!(entries, "  # {} led to it", names.join(" and "));
            entries.push_str(&entry(&address));
        }
        let mut text = String::from(HEADER);
        if state.more > 0 {
            let more = state.more;
            let _ = writeln!(
                text,
                "# {more} connections went to others than these {MAX_DESTINATIONS} destinations."
            );
        }
        let is_empty = entries.lines().all(|line| line.trim_start().starts_with('#'));
        let _ = writeln!(text, "version: v1\noutboundConnections:{}", if is_empty { " []" } else { "" });
        text + &entries
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn describe(&self, destination: &Destination, text: &mut String) {
        let Self { count, first, verdict, .. } = self;
        let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
        let _ = write!(text, "  # {times}, first after {} s", first.as_secs());
        let _ = match verdict {
            Verdict::Learnt => writeln!(text),
            Verdict::Allowed(rule) => writeln!(text, "; was allowed by {}", one_line(rule)),
            Verdict::Gated => {
                writeln!(text, ": {destination}, through its proxy; keep its entry of type proxy")
            }
            Verdict::Denied(why) => writeln!(text, ": {destination}, and did not pass: {}", one_line(why)),
        };
        if matches!(verdict, Verdict::Learnt | Verdict::Allowed(_)) {
            text.push_str(&entry(destination));
        }
    }
}

/// By address and port, the names that led there; without those that were asked for by their address.
fn special_addresses(seen: &BTreeMap<Destination, Seen>) -> BTreeMap<Destination, Vec<String>> {
    let mut found: BTreeMap<Destination, Vec<String>> = BTreeMap::new();
    for (name, address) in seen.iter().flat_map(|(name, seen)| seen.special.iter().map(move |ip| (name, *ip)))
    {
        let Some(port) = NonZeroU16::new(name.port()) else { continue };
        let address = Destination::new(Host::Address(unmap(address)), port);
        if !seen.contains_key(&address) {
            found.entry(address).or_default().push(name.to_string());
        }
    }
    found
}

/// Whether a rule could allow it: not against a deny rule, and no rule ever opens a multicast address.
fn can_be_learnt(denial: &Denial<'_>) -> bool {
    match denial {
        Denial::NoRule => true,
        Denial::Special { class, .. } => *class != AddressClass::NotUnicast,
        Denial::Rule(_) | Denial::Elsewhere { .. } => false,
    }
}

fn entry(destination: &Destination) -> String {
    format!("  - type: default\n    fqdn: \"{}\"\n    port: {}\n", destination.host(), destination.port())
}

/// A rule's origin holds words of the manifest, which may hold anything.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Every name and address, special ones too.
fn anything() -> impl Iterator<Item = Rule> {
    let entries = ["**", HOST, "0.0.0.0/0", "::/0"].into_iter().chain(SPECIAL);
    let entries = entries.filter_map(|text| text.parse::<Entry>().ok());
    entries.map(|entry| Rule::new(Action::Allow, entry, "learning"))
}

/// Networks that no larger one opens.
const SPECIAL: [&str; 5] = ["127.0.0.0/8", "::1", "169.254.0.0/16", "fe80::/10", "fd00:ec2::/32"];

/// The parent's loopback.
const HOST: &str = "host";

const HEADER: &str = "\
# What the application asked for while countersign-enclave was learning. Read it before you use it: whatever
# stands here may leave the enclave.
";

const MAX_DESTINATIONS: usize = 10_000;

const MAX_ADDRESSES: usize = 16;

const WRITE_EVERY: Duration = Duration::from_secs(5);

const WRITES_TO_A_WARNING: u64 = 12;

#[cfg(test)]
#[path = "learn_tests.rs"]
mod tests;
