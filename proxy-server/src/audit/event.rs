use std::borrow::Cow;

use countersign_protocol::{Epoch, SessionId};

use crate::store::UnixMs;

/// One row of the audit: something was decided.
///
/// Every field is part of the row's hash. `before` and `after` are kept as the text they were written as, never as a
/// value, since the same value can be written in many ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was decided.
    pub at: UnixMs,
    /// `admission`, `refusal`, `credentials`, `end`, `policy` or `access`.
    pub kind: Cow<'static, str>,
    /// What was decided: `admitted`, `measurement-revoked` (why a session ended), a refusal's code.
    pub code: Cow<'static, str>,
    /// The policy it was decided by; for a change of policy, the one it made.
    pub epoch: Epoch,
    /// The workload, when it is known.
    pub workload: Option<String>,
    /// The measurement, when it is known.
    pub measurement: Option<String>,
    /// The session, when there is one.
    pub session: Option<SessionId>,
    /// The request, as the caller was told it.
    pub request_id: Option<String>,
    /// Who asked: `token:ci`, `oidc:…`, `cert:…`, `local:root`. An enclave has no name of this kind.
    pub actor: Option<String>,
    /// What stood before a change, JSON.
    pub before: Option<String>,
    /// What stands after it, JSON.
    pub after: Option<String>,
    /// SHA-256 of the attestation document.
    pub evidence: Option<[u8; 32]>,
    /// The whole reason.
    pub detail: Option<String>,
}

impl Event {
    /// Appends the one encoding that the hash is made over: the fields in the order of the struct, integers big-endian in
    /// 8 bytes, a text as its length and its bytes, an optional field as `00`, or as `01` and its value. No two events
    /// share an encoding.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        // Whole, so that a new field breaks the build until somebody has put it under the hash.
        let Self {
            at,
            kind,
            code,
            epoch,
            workload,
            measurement,
            session,
            request_id,
            actor,
            before,
            after,
            evidence,
            detail,
        } = self;
        out.extend_from_slice(&at.0.to_be_bytes());
        text(out, kind);
        text(out, code);
        out.extend_from_slice(&epoch.0.to_be_bytes());
        optional_text(out, workload.as_deref());
        optional_text(out, measurement.as_deref());
        optional_bytes(out, session.as_ref().map(|id| &id.as_bytes()[..]));
        optional_text(out, request_id.as_deref());
        optional_text(out, actor.as_deref());
        optional_text(out, before.as_deref());
        optional_text(out, after.as_deref());
        optional_bytes(out, evidence.as_ref().map(|hash| &hash[..]));
        optional_text(out, detail.as_deref());
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn optional_text(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        None => out.push(ABSENT),
        Some(value) => {
            out.push(PRESENT);
            text(out, value);
        }
    }
}

/// Of a fixed length, so that none is written.
fn optional_bytes(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.push(ABSENT),
        Some(value) => {
            out.push(PRESENT);
            out.extend_from_slice(value);
        }
    }
}

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;
