//! What the two halves say to each other, and the rule sets of the parent.

use countersign_enclave::host::{
    limit::{OuterLimit, parse},
    wire::{Accepted, Answer, AnswerHead, MAX_ADDRESSES, MAX_BODY, MAX_HEAD, MIN_ANSWER, Request},
};
use countersign_protocol::egress::Action;

/// Any bytes as a request of the enclave: what is accepted is whole, is read the same whatever follows, and written again
/// it says the same.
pub fn request(bytes: &[u8]) {
    let (request, len) = match Request::parse(bytes) {
        Ok(Some(found)) => found,
        Ok(None) => {
            assert!(bytes.len() < MAX_HEAD, "a head that never ends");
            return;
        }
        Err(error) => return plain(&error.to_string()),
    };
    assert!(len <= MAX_HEAD && len <= bytes.len());
    let head = &bytes[..len];
    let end = head.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    assert_eq!(end, Some(len), "an empty line inside the head");
    assert_eq!(
        Request::parse(head).as_ref(),
        Ok(&Some((request.clone(), len))),
        "read otherwise without what follows"
    );
    assert_eq!(Request::parse(&head[..len - 1]), Ok(None), "a head without its last byte");
    if let Request::Connect { accepted: Accepted::These(addresses), .. } = &request {
        assert!((1..=MAX_ADDRESSES).contains(&addresses.as_slice().len()));
    }
    let again = request.to_string();
    assert_eq!(Request::parse(again.as_bytes()), Ok(Some((request, again.len()))));
}

/// Any bytes as an answer of the host half, whom nobody trusts: head, then body.
pub fn answer(bytes: &[u8]) {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let (head, body) = bytes.split_at(end);
    let parsed = match AnswerHead::parse(head) {
        Ok(parsed) => parsed,
        Err(error) => return plain(&error.to_string()),
    };
    assert!((MIN_ANSWER..=MAX_HEAD).contains(&head.len()) && head.ends_with(b"\r\n\r\n"));
    assert!(parsed.status == 101 || (200..600).contains(&parsed.status));
    assert!(parsed.length <= MAX_BODY);
    for answer in [parsed.connected(body), parsed.resolved(body), parsed.trunk(body)] {
        match answer {
            Ok(Answer::Connected(address)) => {
                assert_eq!((parsed.status, parsed.address, parsed.length), (200, Some(address), 0));
            }
            Ok(Answer::Trunk) => assert_eq!((parsed.status, parsed.length), (101, 0)),
            Ok(Answer::Resolved(resolved)) => {
                assert!((1..=MAX_ADDRESSES).contains(&resolved.addresses.len()));
                assert!(resolved.addresses().is_some());
            }
            Ok(Answer::Refused(problem)) => {
                assert!(problem.status == parsed.status && problem.status >= 400);
                assert!(
                    ![&*problem.code, &problem.detail, &problem.request_id]
                        .concat()
                        .chars()
                        .any(char::is_control)
                );
            }
            Err(error) => plain(&error.to_string()),
        }
    }
}

/// Any text as a file of rule sets: it only allows, single ports only, and every line that is wrong is told of.
pub fn rule_sets(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let sets = match parse(text, "fuzz.yaml") {
        Ok(sets) => sets,
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            return mistakes.iter().for_each(|mistake| plain(&mistake.to_string()));
        }
    };
    // YAML 1.2 section 5.4: a carriage return ends a line too.
    let lines = text.matches(['\n', '\r']).count() as u64 + 1;
    for set in &sets {
        assert!(!set.name.is_empty());
        for (target, line) in &set.targets {
            assert!(*line <= lines, "line {line} of {lines}");
            assert_eq!(target.to_string().parse().as_ref(), Ok(target));
        }
        for rule in set.rules() {
            assert_eq!(rule.action, Action::Allow);
            let ports = rule.to_string();
            assert!(!ports.ends_with(":*") && rule.ports.contains(port_of(&ports)), "{ports}");
        }
    }
    let Ok(limit) = OuterLimit::union(&sets) else { return };
    for never in ["127.0.0.1", "169.254.169.254"] {
        let name = "name.example:1".parse().expect("a destination");
        let address = never.parse().expect("an address");
        // Only a rule that names such an address lets a name lead there.
        assert!(
            limit.judge_address(&name, address).is_err() || text.contains("127.") || text.contains("169."),
            "{never}"
        );
    }
}

fn port_of(rule: &str) -> u16 {
    rule.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a rule ends with its port")
}

/// A message for a person: one line, no control characters.
fn plain(text: &str) {
    assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
}
