use serde::Serialize;
use utoipa::ToSchema;

use super::Moment;
use crate::store::{Changed, Impact, Mode, Standing};

/// What a change did, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Outcome {
    /// Nothing was changed: this is what would come of it.
    dry_run: bool,
    /// The same request was answered before with this; nothing was done now.
    replayed: bool,
    /// The policy's version afterwards.
    #[schema(minimum = 0, example = 42)]
    epoch: u64,
    /// When that version was committed.
    committed_at: Moment,
    /// The row's revision afterwards, where it has one: for If-Match.
    #[schema(minimum = 0)]
    revision: Option<u64>,
    standing: StandingView,
    impact: ImpactView,
    /// What the author should know.
    #[schema(example = json!(["no PCR3, 4, 8 or 16 is pinned: anyone may run this image on a machine of theirs"]))]
    warnings: Vec<String>,
}

/// Whether it is in force, or waits for people.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum StandingView {
    /// It is in force.
    InForce,
    /// It waits until as many said yes as must.
    Waiting {
        #[schema(minimum = 0)]
        approvals: u32,
        #[schema(minimum = 1)]
        needed: u32,
    },
}

/// What ends with it, as the replicas last said.
#[derive(Debug, Serialize, ToSchema)]
struct ImpactView {
    /// Live sessions that end.
    #[schema(minimum = 0)]
    sessions: u64,
    /// Tunnels that are cut.
    #[schema(minimum = 0)]
    tunnels: u64,
    /// Live replicas that hold such tunnels.
    replicas: Vec<String>,
    /// The same in words.
    #[schema(example = "this revocation ends 3 sessions and cuts 412 tunnels on 2 replicas")]
    words: String,
}

/// What a change is called.
#[derive(Clone, Copy, Debug)]
pub(in crate::admin) enum Noun {
    Change,
    Revocation,
    Approval,
    End,
}

impl Outcome {
    pub(in crate::admin) fn new(changed: Changed, mode: Mode, noun: Noun) -> Self {
        let Changed { committed, revision, standing, impact, warnings, replayed } = changed;
        Self {
            dry_run: mode == Mode::DryRun,
            replayed,
            epoch: committed.epoch.0,
            committed_at: Moment(committed.at),
            revision,
            standing: match standing {
                Standing::InForce => StandingView::InForce,
                Standing::Waiting { approvals, needed } => StandingView::Waiting { approvals, needed },
            },
            impact: {
                let words = words(&impact, noun);
                let Impact { sessions, tunnels, replicas } = impact;
                ImpactView { sessions, tunnels, replicas, words }
            },
            warnings,
        }
    }
}

/// "this revocation ends 3 sessions and cuts 412 tunnels on 2 replicas".
pub(in crate::admin) fn words(impact: &Impact, noun: Noun) -> String {
    let Impact { sessions, tunnels, replicas } = impact;
    let subject = match noun {
        Noun::Change => "this change",
        Noun::Revocation => "this revocation",
        Noun::Approval => "this approval",
        Noun::End => "this",
    };
    if (*sessions, *tunnels) == (0, 0) {
        return format!("{subject} ends no session and cuts no tunnel");
    }
    let mut words =
        format!("{subject} ends {} and cuts {}", count(*sessions, "session"), count(*tunnels, "tunnel"));
    if !replicas.is_empty() {
        words += &format!(" on {}", count(replicas.len() as u64, "replica"));
    }
    words
}

fn count(number: u64, noun: &str) -> String {
    match number {
        0 => format!("no {noun}"),
        1 => format!("1 {noun}"),
        many => format!("{many} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impact_is_said_in_words() {
        let impact = |sessions, tunnels, replicas: &[&str]| Impact {
            sessions,
            tunnels,
            replicas: replicas.iter().map(ToString::to_string).collect(),
        };
        for (impact, noun, expected) in [
            (
                impact(3, 412, &["a", "b"]),
                Noun::Revocation,
                "this revocation ends 3 sessions and cuts 412 tunnels on 2 replicas",
            ),
            (impact(1, 1, &["a"]), Noun::End, "this ends 1 session and cuts 1 tunnel on 1 replica"),
            (impact(2, 0, &[]), Noun::Change, "this change ends 2 sessions and cuts no tunnel"),
            (impact(0, 0, &[]), Noun::Approval, "this approval ends no session and cuts no tunnel"),
        ] {
            assert_eq!(words(&impact, noun), expected);
        }
    }
}
