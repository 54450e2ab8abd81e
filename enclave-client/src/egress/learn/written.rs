use std::{collections::BTreeMap, fmt::Write as _, num::NonZeroU16};

use countersign_protocol::{Destination, Host, unmap};

use super::recorder::{MAX_DESTINATIONS, Seen, Verdict};

/// The manifest that would allow what was asked for, and nothing else; how often, in comments.
pub(super) fn manifest(seen: &BTreeMap<Destination, Seen>, more: u64) -> String {
    let mut entries = String::new();
    for (destination, seen) in seen {
        seen.describe(destination, &mut entries);
    }
    for (address, names) in special_addresses(seen) {
        let _ = writeln!(entries, "  # {} led to it", names.join(" and "));
        entries.push_str(&entry(&address));
    }
    let mut text = String::from(HEADER);
    if more > 0 {
        let _ =
            writeln!(text, "# {more} connections went to others than these {MAX_DESTINATIONS} destinations.");
    }
    let is_empty = entries.lines().all(|line| line.trim_start().starts_with('#'));
    let _ = writeln!(text, "version: v1\noutboundConnections:{}", if is_empty { " []" } else { "" });
    text + &entries
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

fn entry(destination: &Destination) -> String {
    format!("  - type: default\n    fqdn: \"{}\"\n    port: {}\n", destination.host(), destination.port())
}

/// A rule's origin holds words of the manifest, which may hold anything.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

pub(super) const HEADER: &str = "\
# What the application asked for while countersign-enclave was learning. Read it before you use it: whatever
# stands here may leave the enclave.
";
