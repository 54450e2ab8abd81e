use std::time::Duration;

use axum::{Json, extract::State, response::IntoResponse};
use countersign_protocol::Epoch;
use http::StatusCode;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};
use utoipa::IntoParams;

use crate::{
    admin::{
        answers::{Answer, Revoking},
        extract::{Body, Caller, IdempotencyHeader, IdempotencyKey, Params, mode},
        identity::Permission,
        model::{Cut, Noun, Outcome, Revocation, RevocationOutcome, RevocationShape, Target, Text},
        state::{Api, Terms},
    },
    store::{Mode, Precondition, ReplicaRow, Store, UnixMs},
};

/// How to revoke.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct RevocationParams {
    /// Check everything, change nothing, and say what would come of it.
    #[serde(default)]
    #[param(required = false, default = false)]
    dry_run: bool,
    /// Answer when every live replica has cut, or after so long: `1s` to `10s`, `1ms` to `9999ms`.
    #[param(value_type = Option<String>, pattern = "^(([1-9]|10)s|[1-9][0-9]{0,3}ms)$", example = "1s", nullable = false)]
    wait: Option<Text<Wait>>,
}

/// At most ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) struct Wait(Duration);

impl std::str::FromStr for Wait {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, unit) = match text.strip_suffix("ms") {
            Some(digits) => (digits, 1),
            None => (text.strip_suffix('s').unwrap_or_default(), 1000),
        };
        let plain =
            digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        match digits.parse::<u64>() {
            Ok(number) if plain && (1..=10_000).contains(&(number * unit)) => {
                Ok(Self(Duration::from_millis(number * unit)))
            }
            _ => Err("expected 1s to 10s, or 1ms to 9999ms"),
        }
    }
}

/// Revokes a workload, a measurement, or PCRs wherever they are; one person is enough, and nothing must have been read first.
///
/// With `wait` it answers when every live replica enforces it, with every
/// tunnel cut that it does not allow, or names those that have not said so.
#[utoipa::path(
    post, path = "/v1/revocations", tag = "revocations", params(RevocationParams, IdempotencyHeader), request_body = RevocationShape,
    responses(
        (status = 200, description = "A dry run: what would come of it", body = RevocationOutcome),
        (status = 201, description = "Revoked", body = RevocationOutcome),
        Revoking,
    )
)]
pub(in crate::admin) async fn revoke(
    caller: Caller,
    State(api): State<Api>,
    Params(params): Params<RevocationParams>,
    key: IdempotencyKey,
    body: Body<Revocation>,
) -> Answer {
    let (target, reason) = body.value.check()?;
    match &target {
        Target::Workload(workload) | Target::Measurement(workload, _) => {
            caller.may(Permission::Revoke, workload)?
        }
        // They are refused in every workload, so it takes somebody who may revoke in every one.
        Target::Pcrs(_) => caller.may_everywhere(Permission::Revoke)?,
    }
    let mode = mode(params.dry_run);
    let terms = Terms::given(Precondition::None, mode).once(key, body.digest);
    let changed = api.change(&caller, target.change(reason), terms).await?;
    let asked = match (mode, params.wait) {
        (Mode::Commit, Some(Text(Wait(wait)))) => wait,
        _ => Duration::ZERO,
    };
    let heard = wait_for(api.store.as_ref(), changed.committed.epoch, asked).await;
    let status = if mode == Mode::Commit { StatusCode::CREATED } else { StatusCode::OK };
    let answer = RevocationOutcome {
        outcome: Outcome::new(changed, mode, Noun::Revocation),
        acknowledged: mode == Mode::Commit
            && !heard.unheard
            && heard.laggards.is_empty()
            && !heard.cut.is_empty(),
        unheard: heard.unheard,
        cut: heard.cut,
        laggards: heard.laggards,
    };
    Ok((status, Json(answer)).into_response())
}

/// Who has said what.
#[derive(Default)]
struct Heard {
    /// The store did not say it when it was asked last: the rest is what it said before.
    unheard: bool,
    cut: Vec<Cut>,
    laggards: Vec<Cut>,
}

/// Asks until every replica that lived at the start, and every one that lives
/// now, enforces `epoch`, or the time is over. A replica that went silent
/// meanwhile stays a laggard: nobody knows what it does.
///
/// What it waits for is committed: a store that does not answer any more is no reason to say that it failed.
async fn wait_for(store: &dyn Store, epoch: Epoch, wait: Duration) -> Heard {
    let until = Instant::now() + wait;
    let mut seen_alive = std::collections::BTreeSet::new();
    let mut heard = Heard::default();
    loop {
        let now = UnixMs::now();
        heard.unheard = match timeout(ANSWER, store.replicas(now)).await {
            Ok(Ok(replicas)) => {
                seen_alive
                    .extend(replicas.iter().filter(|replica| replica.is_live(now)).map(|replica| replica.id));
                // Whoever said that it stops has cut everything.
                let counts =
                    |replica: &&ReplicaRow| seen_alive.contains(&replica.id) && replica.stopped.is_none();
                let (cut, laggards): (Vec<_>, Vec<_>) =
                    replicas.iter().filter(counts).partition(|replica| replica.epoch >= epoch);
                let told = |replicas: Vec<&ReplicaRow>| replicas.into_iter().map(Cut::from).collect();
                (heard.cut, heard.laggards) = (told(cut), told(laggards));
                false
            }
            Ok(Err(_)) | Err(_) => true,
        };
        if !heard.unheard && heard.laggards.is_empty() {
            return heard;
        }
        if Instant::now() >= until {
            if heard.unheard {
                tracing::warn!(
                    code = "replicas-unheard",
                    epoch = epoch.0,
                    "it is committed, and the store does not say who has cut"
                );
            }
            return heard;
        }
        sleep(ASKED_EVERY).await;
    }
}

const ASKED_EVERY: Duration = Duration::from_millis(25);

/// How long the store may take to say who has cut. With the change and the longest wait it is within a request's time.
const ANSWER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_has_its_bounds_and_one_spelling() {
        for (text, millis) in [("1s", 1000), ("10s", 10_000), ("1ms", 1), ("9999ms", 9999)] {
            assert_eq!(text.parse(), Ok(Wait(Duration::from_millis(millis))));
        }
        for bad in
            ["", "s", "0s", "11s", "01s", "10000ms", "1", "1m", "-1s", "+1s", "1 s", "99999999999999999999s"]
        {
            assert!(bad.parse::<Wait>().is_err(), "{bad}");
        }
    }
}
