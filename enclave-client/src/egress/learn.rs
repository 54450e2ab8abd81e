//! Learning, for development: what no rule allows passes, and is written down.
//!
//! A deny rule holds all the same: somebody has decided it.

use std::{
    collections::{BTreeMap, HashSet, btree_map::Entry},
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
    egress::{self, Action, Denial, EgressPolicy, Rule},
    unmap,
};
use tokio::time::{Instant, interval};
use tracing::{error, warn};

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

    /// What comes of its judgement of an address that the destination's name leads to.
    pub(super) fn settle_address<'p>(
        &self,
        destination: &Destination,
        address: IpAddr,
        judged: Result<(), Denial<'p>>,
    ) -> Result<(), Denial<'p>> {
        match (self, judged) {
            (Self::Learn(recorder), Err(denial)) if can_be_learnt(&denial) => {
                recorder.add_address(destination, address);
                Ok(())
            }
            (_, judged) => judged,
        }
    }

    /// Notes that a connection to this address was made.
    pub(super) fn dialled(&self, destination: &Destination, address: IpAddr) {
        if let Self::Learn(recorder) = self {
            recorder.dialled(destination, address);
        }
    }

    /// The policy for a host half that resolves by itself: none, while learning.
    pub(super) fn outer_policy<'a>(&'a self, policy: &'a EgressPolicy) -> &'a EgressPolicy {
        match self {
            Self::Enforce => policy,
            Self::Learn(recorder) => &recorder.anything,
        }
    }
}

/// What was asked for, at most [`MAX_DESTINATIONS`] destinations.
#[derive(Debug)]
pub struct Recorder {
    started: Instant,
    gated: HashSet<Destination>,
    anything: EgressPolicy,
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
    /// Special addresses that the name led to, at most [`MAX_ADDRESSES`], and whether one was connected to.
    special: BTreeMap<IpAddr, Use>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// No rule allows it: this is what is learnt.
    Learnt,
    /// A rule of the manifest does.
    Allowed(String),
    /// It goes through a proxy.
    Gated,
    /// A rule forbids it, and it did not pass.
    Denied(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Resolved,
    Dialled,
}

impl Recorder {
    /// Nothing was seen yet; `gated` is what goes through a proxy, and is not to be learnt as a way past it.
    pub fn new(gated: HashSet<Destination>) -> Self {
        Self { started: Instant::now(), gated, anything: anything(), state: Mutex::default() }
    }

    fn settle<'p>(
        &self,
        destination: &Destination,
        judged: Result<&Rule, Denial<'p>>,
    ) -> Result<(), Denial<'p>> {
        let (verdict, settled) = match judged {
            Ok(_) if self.gated.contains(destination) => (Verdict::Gated, Ok(())),
            Ok(rule) => (Verdict::Allowed(rule.to_string()), Ok(())),
            Err(denial) if !can_be_learnt(&denial) => (Verdict::Denied(denial.to_string()), Err(denial)),
            Err(_) => (Verdict::Learnt, Ok(())),
        };
        let mut state = self.state();
        state.changed = true;
        let room = state.seen.len() < MAX_DESTINATIONS;
        match state.seen.entry(destination.clone()) {
            Entry::Occupied(seen) => seen.into_mut().count += 1,
            Entry::Vacant(place) if room => {
                let first = self.started.elapsed();
                place.insert(Seen { count: 1, first, verdict, special: BTreeMap::new() });
            }
            Entry::Vacant(_) => state.more += 1,
        }
        settled
    }

    fn add_address(&self, destination: &Destination, address: IpAddr) {
        let mut state = self.state();
        if let Some(seen) = state.seen.get_mut(destination)
            && seen.special.len() < MAX_ADDRESSES
        {
            seen.special.entry(address).or_insert(Use::Resolved);
            state.changed = true;
        }
    }

    fn dialled(&self, destination: &Destination, address: IpAddr) {
        let mut state = self.state();
        if let Some(used) = state.seen.get_mut(destination).and_then(|seen| seen.special.get_mut(&address)) {
            *used = Use::Dialled;
            state.changed = true;
        }
    }

    /// Warns at once and each minute, and writes the file every five seconds when there is something new. Never
    /// returns; dropping it loses nothing that [`Recorder::write`] would not write.
    pub async fn keep(self: Arc<Self>, file: PathBuf) {
        let mut write = interval(WRITE_EVERY);
        let mut ticks_to_warning = 0;
        loop {
            write.tick().await;
            if ticks_to_warning == 0 {
                ticks_to_warning = WRITES_TO_A_WARNING;
                warn!(
                    code = "learning",
                    "DEVELOPMENT ONLY: whatever no deny rule names may leave this enclave; written to {}",
                    file.display()
                );
            }
            ticks_to_warning -= 1;
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
        for (address, (used, names)) in special_addresses(&state.seen) {
            let _ = writeln!(entries, "  # {} leads to it", names.join(" and "));
            match used {
                Use::Dialled => entries.push_str(&entry(&address)),
                Use::Resolved => {
                    entries.push_str("  # and nobody connected to it:\n");
                    entry(&address).lines().for_each(|line| {
                        let _ = writeln!(entries, "  # {}", &line[2..]);
                    });
                }
            }
        }
        let mut text = String::from(HEADER);
        if state.more > 0 {
            let _ = writeln!(
                text,
                "# {} more connections went to destinations beyond the first {MAX_DESTINATIONS}.",
                state.more
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
        match verdict {
            Verdict::Learnt => *text += "\n",
            Verdict::Allowed(rule) => drop(writeln!(text, "; was allowed by {}", one_line(rule))),
            Verdict::Gated => {
                let _ = writeln!(text, ": {destination}, through its proxy; keep its entry of type proxy");
                return;
            }
            Verdict::Denied(rule) => {
                let _ = writeln!(text, ": {destination}, and did not pass: {}", one_line(rule));
                return;
            }
        }
        text.push_str(&entry(destination));
    }
}

/// Whether a rule could allow it: not against a deny rule, and no rule ever names a multicast address.
fn can_be_learnt(denial: &Denial<'_>) -> bool {
    match denial {
        Denial::NoRule => true,
        Denial::Special { class, .. } => *class != AddressClass::NotUnicast,
        Denial::Rule(_) => false,
    }
}

/// By address and port: whether somebody connected, and which names lead there. Without those that were asked for
/// by their address.
fn special_addresses(seen: &BTreeMap<Destination, Seen>) -> BTreeMap<Destination, (Use, Vec<String>)> {
    let mut found: BTreeMap<Destination, (Use, Vec<String>)> = BTreeMap::new();
    for (name, address, used) in seen
        .iter()
        .flat_map(|(name, seen)| seen.special.iter().map(move |(address, used)| (name, *address, *used)))
    {
        let Some(port) = NonZeroU16::new(name.port()) else { continue };
        let address = Destination::new(Host::Address(unmap(address)), port);
        if !seen.contains_key(&address) {
            let (most, names) = found.entry(address).or_insert((used, Vec::new()));
            *most = used.max(*most);
            names.push(name.to_string());
        }
    }
    found
}

fn entry(destination: &Destination) -> String {
    format!("  - type: default\n    fqdn: \"{}\"\n    port: {}\n", destination.host(), destination.port())
}

/// A rule's origin holds words of the manifest, which may hold anything.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Everything, special addresses too.
fn anything() -> EgressPolicy {
    let networks =
        ["0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10", "fd00:ec2::/32"];
    let entries = ["**", "host"].into_iter().chain(networks).filter_map(|text| text.parse::<egress::Entry>().ok());
    let rules = entries.map(|entry| Rule::new(Action::Allow, entry, "learning"));
    EgressPolicy::new(rules.collect()).unwrap_or_default()
}

const HEADER: &str = "\
# What the application asked for while countersign-enclave was learning. Read it before you use it: whatever
# stands here may leave the enclave.
";

const MAX_DESTINATIONS: usize = 10_000;

const MAX_ADDRESSES: usize = 16;

const WRITE_EVERY: Duration = Duration::from_secs(5);

const WRITES_TO_A_WARNING: u32 = 12;

#[cfg(test)]
#[path = "learn_tests.rs"]
mod tests;
