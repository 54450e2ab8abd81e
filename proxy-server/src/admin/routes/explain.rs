use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{Json, extract::State, response::IntoResponse};
use countersign_verifier::{
    CertificateSummary, Evidence, Expectations, Expected, Explanation, Freshness, Measurement, PcrSet,
    Refusal, UnverifiedDocument,
};
use tokio::task::spawn_blocking;

use crate::{
    admin::{
        answers::{Answer, Explaining},
        extract::{Body, Caller, NoParams, Params},
        identity::Permission,
        model::{
            CertificateView, Difference, DocumentView, Explain, ExplainShape, Explainable, Explained, Match,
            Nearest, Pcrs, Verification, meaning, moment,
        },
        problem::ApiError,
        state::{Api, Shared},
    },
    policy::Policy,
};

/// Explains an attestation document, or PCRs of an image: what it says, whether it holds, which
/// measurements it matches, and what differs in the nearest.
#[utoipa::path(
    post, path = "/v1/explain", tag = "measurements", request_body = ExplainShape,
    responses((status = 200, description = "What there is to say", body = Explained), Explaining)
)]
pub(in crate::admin) async fn explain(
    caller: Caller,
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
    body: Body<Explain>,
) -> Answer {
    caller.visible(Permission::Read)?;
    let policy = api.policy.current();
    let document = match body.value.check()? {
        Explainable::Document(bytes) => bytes,
        Explainable::Pcrs(pcrs) => return Ok(Json(of_image(&pcrs, &caller, &policy)).into_response()),
    };
    let _place = api.explaining.acquire().await.map_err(ApiError::internal)?;
    let shared = Arc::clone(&api);
    // Signatures are milliseconds of work: not on a thread that others wait for.
    let read = spawn_blocking(move || Read::of(&shared, &document)).await.map_err(ApiError::internal)?;
    Ok(Json(read.judge(&caller, &policy)).into_response())
}

/// A document read and verified.
struct Read {
    evidence: String,
    says: Option<(DocumentView, PcrSet)>,
    verification: Verification,
    holds: bool,
}

impl Read {
    fn of(api: &Shared, bytes: &[u8]) -> Self {
        let evidence = hex::encode(digest(&SHA256, bytes));
        let document = match UnverifiedDocument::parse(bytes) {
            Ok(document) => document,
            Err(refusal) => return Self { evidence, says: None, verification: refusal.into(), holds: false },
        };
        let view = DocumentView {
            module_id: document.module_id().to_owned(),
            timestamp: moment(document.timestamp()),
            pcrs: Pcrs(document.pcrs().clone()),
            debug_mode: document.pcrs().is_debug(),
            chain: chain(&document),
        };
        let says = Some((view, document.pcrs().clone()));
        match verify(api, &document) {
            Ok(held) => {
                let root = api.verifier.anchor().name().to_owned();
                let verification = Verification::Holds { root, not_after: moment(held.not_after()) };
                Self { evidence, says, verification, holds: true }
            }
            Err(refusal) => Self { evidence, says, verification: refusal.into(), holds: false },
        }
    }

    fn judge(self, caller: &Caller, policy: &Policy) -> Explained {
        let Self { evidence, says, verification, holds } = self;
        let Some((document, pcrs)) = says else {
            let words = "this is no attestation document".to_owned();
            return Explained {
                evidence: Some(evidence),
                document: None,
                verification: Some(verification),
                matches: Vec::new(),
                nearest: None,
                revoked: None,
                admitted: false,
                words,
            };
        };
        let compared = compare(policy, &pcrs, |workload| caller.sees(workload));
        let revoked = revoked(&pcrs, caller, policy);
        let admitted = holds && revoked.is_none() && !document.debug_mode && !compared.matches.is_empty();
        let words = words(document.debug_mode, holds, revoked.as_deref(), &compared);
        let Compared { matches, nearest } = compared;
        Explained {
            evidence: Some(evidence),
            document: Some(document),
            verification: Some(verification),
            matches,
            nearest,
            revoked,
            admitted,
            words,
        }
    }
}

/// PCRs by themselves, which are never those of debug mode.
fn of_image(pcrs: &PcrSet, caller: &Caller, policy: &Policy) -> Explained {
    let compared = compare(policy, pcrs, |workload| caller.sees(workload));
    let revoked = revoked(pcrs, caller, policy);
    let admitted = revoked.is_none() && !compared.matches.is_empty();
    let words = words(false, true, revoked.as_deref(), &compared);
    let Compared { matches, nearest } = compared;
    Explained {
        evidence: None,
        document: None,
        verification: None,
        matches,
        nearest,
        revoked,
        admitted,
        words,
    }
}

/// The revoked measurement that these PCRs match. Whose it was, only those hear who see that workload.
fn revoked(pcrs: &PcrSet, caller: &Caller, policy: &Policy) -> Option<String> {
    policy.revocation(pcrs).map(|name| match name.split_once('/') {
        Some((workload, _)) if !caller.sees(workload) => "a measurement of another workload".to_owned(),
        _ => name.to_owned(),
    })
}

/// The certificates that a document carries, from the root on, as far as they can be read.
fn chain(document: &UnverifiedDocument<'_>) -> Vec<CertificateView> {
    let all = document.cabundle().iter().copied().chain([document.certificate()]);
    let read = all.filter_map(|der| CertificateSummary::parse(der).ok());
    let view = |one: CertificateSummary| CertificateView {
        subject: one.subject,
        not_before: moment(one.not_before),
        not_after: moment(one.not_after),
    };
    read.map(view).collect()
}

/// At its own time: a document that somebody kept is explained too. Nonce, key
/// and binder are those of a connection that is over.
fn verify<'d>(api: &Shared, document: &UnverifiedDocument<'d>) -> Result<Evidence<'d>, Refusal> {
    let expectations = Expectations {
        at: document.timestamp(),
        freshness: Freshness::AtOwnTime,
        nonce: Expected::Unchecked,
        public_key: Expected::Unchecked,
        user_data: Expected::Unchecked,
    };
    api.verifier.verify(document, &expectations)
}

/// How a set of PCRs stands to the measurements that admit.
struct Compared {
    matches: Vec<Match>,
    nearest: Option<Nearest>,
}

/// Compares with every measurement that `sees` shows.
fn compare(policy: &Policy, actual: &PcrSet, sees: impl Fn(&str) -> bool) -> Compared {
    let known = |measurement: &Measurement| policy.admitting(measurement.name());
    let among = |measurement: &Measurement| {
        known(measurement).is_some_and(|admitting| sees(admitting.workload.name.as_str()))
    };
    let Explanation { matching, nearest } = policy.references().explain(actual, 1, among);
    let mut matches: Vec<_> = matching
        .into_iter()
        .filter_map(known)
        .map(|one| Match { workload: one.workload.name.to_string(), measurement: one.name.to_string() })
        .collect();
    matches.sort_by(|a, b| (&a.workload, &a.measurement).cmp(&(&b.workload, &b.measurement)));
    let nearest = nearest.into_iter().next().filter(|_| matches.is_empty());
    let nearest = nearest.and_then(|near| {
        known(near.measurement).map(|one| Nearest {
            workload: one.workload.name.to_string(),
            measurement: one.name.to_string(),
            differences: near.differences.into_iter().map(difference).collect(),
        })
    });
    Compared { matches, nearest }
}

fn difference(found: countersign_verifier::Difference) -> Difference {
    let countersign_verifier::Difference { index, expected, actual } = found;
    Difference {
        pcr: index.get(),
        of: meaning(index),
        expected: expected.to_string(),
        actual: actual.map(|actual| actual.to_string()),
    }
}

fn words(debug_mode: bool, holds: bool, revoked: Option<&str>, compared: &Compared) -> String {
    let Compared { matches, nearest } = compared;
    let pcrs = match (revoked, debug_mode, matches.first(), nearest) {
        (Some(revoked), ..) => format!("its PCRs were revoked as {revoked}"),
        (None, true, ..) => "the enclave runs in debug mode: anyone on its host can read it".to_owned(),
        (None, false, Some(first), _) => format!("matches {}/{}", first.workload, first.measurement),
        (None, false, None, Some(nearest)) => {
            let indexes: Vec<_> =
                nearest.differences.iter().map(|one| format!("PCR{} ({})", one.pcr, one.of)).collect();
            format!(
                "matches nothing; the nearest is {}/{}, which differs in {}",
                nearest.workload,
                nearest.measurement,
                indexes.join(", ")
            )
        }
        (None, false, None, None) => {
            "matches nothing, and there is no measurement to compare with".to_owned()
        }
    };
    if holds { pcrs } else { format!("chain or signature do not hold; {pcrs}") }
}
