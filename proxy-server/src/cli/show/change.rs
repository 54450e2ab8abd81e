use std::process::ExitCode;

use serde::Deserialize;

use super::{Stamp, note, print};
use crate::cli::{client::Answer, failure::Failure, words::Output};

/// What a change did, or would do.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Outcome {
    dry_run: bool,
    #[serde(default)]
    replayed: bool,
    epoch: u64,
    standing: Standing,
    impact: Impact,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum Standing {
    InForce,
    Waiting { approvals: u32, needed: u32 },
}

#[derive(Debug, Deserialize)]
struct Impact {
    sessions: u64,
    tunnels: u64,
    replicas: Vec<String>,
    words: String,
}

/// What a revocation did, and who has cut.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct RevocationOutcome {
    outcome: Outcome,
    #[serde(default)]
    acknowledged: bool,
    #[serde(default)]
    unheard: bool,
    #[serde(default)]
    cut: Vec<Replica>,
    #[serde(default)]
    laggards: Vec<Replica>,
}

#[derive(Debug, Deserialize)]
struct Replica {
    name: String,
    epoch: u64,
    at: Stamp,
}

/// What was asked for, in words.
#[derive(Debug)]
pub(in crate::cli) struct Said {
    /// `added`.
    pub(in crate::cli) done: &'static str,
    /// `adding`.
    pub(in crate::cli) doing: &'static str,
    /// `payments/1.4.2`.
    pub(in crate::cli) what: String,
}

/// Prints what came of a change.
///
/// # Errors
/// An answer that is none.
pub(in crate::cli) fn changed(answer: &Answer, output: Output, said: &Said) -> Result<ExitCode, Failure> {
    let outcome: Outcome = answer.json()?;
    warn(&outcome);
    match output {
        Output::Json => print(&format!("{}\n", answer.text().trim_end())),
        Output::Table => print(&format!("{}\n", outcome.line(said))),
    }
}

/// Prints what came of a revocation, and who has cut. `waited` is how long
/// replicas had for that, in words.
///
/// # Errors
/// An answer that is none.
pub(in crate::cli) fn revoked(
    answer: &Answer,
    output: Output,
    said: &Said,
    waited: Option<&str>,
) -> Result<ExitCode, Failure> {
    let revocation: RevocationOutcome = answer.json()?;
    warn(&revocation.outcome);
    match output {
        Output::Json => print(&format!("{}\n", answer.text().trim_end()))?,
        Output::Table => print(&revocation.lines(said, waited))?,
    };
    // Without a wait nobody expects that they have cut already.
    if waited.is_some() && revocation.unheard {
        note("it is revoked, and the store does not say who has cut; look: countersign-proxy replica list");
        return Ok(ExitCode::from(1));
    }
    let late = waited.filter(|_| !revocation.laggards.is_empty());
    let Some(waited) = late else { return Ok(ExitCode::SUCCESS) };
    let names: Vec<_> = revocation.laggards.iter().map(|replica| replica.name.as_str()).collect();
    let count = count(names.len() as u64, "replica", "has", "have");
    note(&format!(
        "{count} not said within {waited} that everything is cut: {}\n\
         a replica that lost the store admits nothing after 2 s; look: countersign-proxy replica list",
        names.join(", ")
    ));
    Ok(ExitCode::from(1))
}

fn warn(outcome: &Outcome) {
    for warning in &outcome.warnings {
        note(warning);
    }
}

impl Outcome {
    fn line(&self, said: &Said) -> String {
        let Said { done, doing, what } = said;
        let Self { dry_run, replayed, epoch, standing, impact, warnings: _ } = self;
        if *dry_run {
            let waits = match standing {
                Standing::InForce => String::new(),
                Standing::Waiting { approvals, needed } => {
                    let missing = needed.saturating_sub(*approvals);
                    format!("; it would wait for {}", counted(missing.into(), "approval"))
                }
            };
            return format!(
                "dry run, nothing was changed: {doing} {what} is possible; {}{waits}",
                impact.words
            );
        }
        let before = if *replayed { " (done before, under the same idempotency key)" } else { "" };
        match standing {
            Standing::Waiting { approvals, needed } => {
                format!(
                    "{done} {what}{before}; it waits: {approvals} of {} so far",
                    counted((*needed).into(), "approval")
                )
            }
            Standing::InForce if impact.sessions == 0 && impact.tunnels == 0 => {
                format!("{done} {what} in epoch {epoch}{before}")
            }
            Standing::InForce => format!("{done} {what} in epoch {epoch}{before}: {}", impact.words),
        }
    }
}

impl RevocationOutcome {
    fn lines(&self, said: &Said, waited: Option<&str>) -> String {
        let Self { outcome, acknowledged, unheard, cut, laggards } = self;
        let Said { done, what, .. } = said;
        if outcome.dry_run {
            return format!("{}\n", outcome.line(said));
        }
        let Impact { sessions, tunnels, replicas, words: _ } = &outcome.impact;
        let on = match replicas.len() as u64 {
            0 => String::new(),
            number => format!(" on {}", counted(number, "replica")),
        };
        let (sessions, tunnels) = (counted(*sessions, "session"), counted(*tunnels, "tunnel"));
        let before = if outcome.replayed { " (done before)" } else { "" };
        // Who was not asked has not said that anything is cut.
        let came = match acknowledged {
            true => format!("{sessions} ended, {tunnels} cut{on}"),
            false => format!("{sessions} to end, {tunnels} to cut{on}"),
        };
        let mut text = format!("{done} {what} in epoch {}{before}: {came}\n", outcome.epoch);
        if waited.is_some() {
            for Replica { name, epoch, at: _ } in cut {
                text += &format!("  cut       {}: enforces epoch {epoch}\n", super::visible(name));
            }
            for Replica { name, epoch, at } in laggards {
                let heard = at.short();
                text += &format!("  LAGGARD   {}: enforced epoch {epoch} at {heard}\n", super::visible(name));
            }
            if cut.is_empty() && laggards.is_empty() && !unheard {
                text += "  no replica is live: there is nothing to cut\n";
            }
        }
        text
    }
}

/// "no session", "1 session", "3 sessions".
fn counted(number: u64, noun: &str) -> String {
    match number {
        0 => format!("no {noun}"),
        1 => format!("1 {noun}"),
        many => format!("{many} {noun}s"),
    }
}

fn count(number: u64, noun: &str, one: &str, many: &str) -> String {
    format!("{} {}", counted(number, noun), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said() -> Said {
        Said { done: "revoked", doing: "revoking", what: "payments/v1.2".to_owned() }
    }

    fn outcome(dry_run: bool, sessions: u64, tunnels: u64, replicas: &[&str]) -> Value {
        json!({
            "dry_run": dry_run, "replayed": false, "epoch": 8, "committed_at": "2026-11-22T03:04:05.000Z",
            "revision": 2, "standing": {"state": "in-force"}, "warnings": [],
            "impact": {"sessions": sessions, "tunnels": tunnels, "replicas": replicas, "words": "this ends it"},
        })
    }

    fn revocation(acknowledged: bool, laggards: &[&str], waited: Option<&str>) -> String {
        let replica = |name: &&str, epoch: u64| json!({"id": "00", "name": name, "epoch": epoch, "at": "2026-11-22T03:04:05.678Z"});
        let value = json!({
            "outcome": outcome(false, 3, 412, &["a", "b"]), "acknowledged": acknowledged,
            "cut": [replica(&"a", 8)], "laggards": laggards.iter().map(|name| replica(name, 7)).collect::<Vec<_>>(),
        });
        serde_json::from_value::<RevocationOutcome>(value).unwrap().lines(&said(), waited)
    }

    #[test]
    fn a_revocation_says_what_it_did() {
        assert_eq!(
            revocation(true, &[], Some("1s")),
            "revoked payments/v1.2 in epoch 8: 3 sessions ended, 412 tunnels cut on 2 replicas\n  \
             cut       a: enforces epoch 8\n"
        );
    }

    #[test]
    fn who_was_not_waited_for_has_cut_nothing_yet() {
        assert_eq!(
            revocation(false, &[], None),
            "revoked payments/v1.2 in epoch 8: 3 sessions to end, 412 tunnels to cut on 2 replicas\n"
        );
        let text = revocation(false, &["b\u{1b}[2J"], Some("1s"));
        assert!(
            text.contains("  LAGGARD   b\\u{1b}[2J: enforced epoch 7 at 2026-11-22T03:04:05Z\n"),
            "{text}"
        );
        assert!(text.contains("412 tunnels to cut"), "{text}");
    }

    #[test]
    fn what_nobody_could_ask_for_is_not_called_nothing() {
        let value = json!({
            "outcome": outcome(false, 3, 412, &["a"]), "acknowledged": false, "unheard": true, "cut": [], "laggards": [],
        });
        let text = serde_json::from_value::<RevocationOutcome>(value).unwrap().lines(&said(), Some("1s"));
        assert_eq!(
            text,
            "revoked payments/v1.2 in epoch 8: 3 sessions to end, 412 tunnels to cut on 1 replica\n"
        );
    }

    #[test]
    fn a_change_says_what_it_waits_for() {
        let line = |value: Value| serde_json::from_value::<Outcome>(value).unwrap().line(&said());
        assert_eq!(line(outcome(false, 0, 0, &[])), "revoked payments/v1.2 in epoch 8");
        assert_eq!(line(outcome(false, 1, 0, &[])), "revoked payments/v1.2 in epoch 8: this ends it");
        let mut waiting = outcome(false, 0, 0, &[]);
        waiting["standing"] = json!({"state": "waiting", "approvals": 1, "needed": 2});
        assert_eq!(line(waiting), "revoked payments/v1.2; it waits: 1 of 2 approvals so far");
        let mut dry = outcome(true, 0, 0, &[]);
        dry["standing"] = json!({"state": "waiting", "approvals": 0, "needed": 1});
        assert_eq!(
            line(dry),
            "dry run, nothing was changed: revoking payments/v1.2 is possible; this ends it; it would wait for 1 approval"
        );
        let mut again = outcome(false, 0, 0, &[]);
        again["replayed"] = true.into();
        assert!(line(again).ends_with("(done before, under the same idempotency key)"));
    }
}
