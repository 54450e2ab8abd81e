use std::borrow::Cow;

use countersign_protocol::{Deployment, Epoch, SessionId};
use serde::{Deserialize, Serialize};

use crate::{
    audit::{AuditPublicKey, ChainName, Checkpoint, Event, Head, fields},
    store::UnixMs,
};

/// One line of an export.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line<'a> {
    Header(HeaderLine),
    Key(AuditPublicKey),
    Chain(ChainLine),
    // Both are much larger than the rest.
    Row(Box<Row<'a>>),
    Checkpoint(Box<Checkpoint>),
    Head(HeadLine),
    End(End),
}

/// What an export says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportHeader {
    /// The deployment whose audit it is.
    pub deployment: Deployment,
    /// The policy's epoch in the same transaction as the rows.
    pub epoch: Epoch,
    /// When it was made.
    pub at: UnixMs,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderLine {
    pub(super) format: String,
    pub(super) version: u64,
    pub(super) deployment: String,
    #[serde(with = "fields::epoch")]
    pub(super) epoch: Epoch,
    #[serde(rename = "at_ms", with = "fields::unix_ms")]
    pub(super) at: UnixMs,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChainLine {
    pub(super) chain: ChainName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) anchor: Option<Checkpoint>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row<'a> {
    chain: ChainName,
    #[serde(with = "fields::row_number")]
    seq: u64,
    #[serde(with = "fields::digits")]
    hash: [u8; 32],
    #[serde(rename = "at_ms", with = "fields::unix_ms")]
    at: UnixMs,
    kind: Cow<'a, str>,
    code: Cow<'a, str>,
    #[serde(with = "fields::epoch")]
    epoch: Epoch,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workload: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    measurement: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "fields::optional_digits")]
    session: Option<[u8; 16]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<Cow<'a, str>>,
    /// JSON as a text, since its bytes are hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "fields::optional_digits")]
    evidence: Option<[u8; 32]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'a, str>>,
}

impl<'a> Row<'a> {
    pub(super) fn new(chain: ChainName, seq: u64, event: &'a Event, hash: [u8; 32]) -> Self {
        let Event {
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
        } = event;
        let text = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        Self {
            chain,
            seq,
            hash,
            at: *at,
            kind: Cow::Borrowed(kind),
            code: Cow::Borrowed(code),
            epoch: *epoch,
            workload: text(workload),
            measurement: text(measurement),
            session: session.map(|id| *id.as_bytes()),
            request_id: text(request_id),
            actor: text(actor),
            before: text(before),
            after: text(after),
            evidence: *evidence,
            detail: text(detail),
        }
    }

    pub(super) fn into_event(self) -> (ChainName, u64, Event, [u8; 32]) {
        let Self { chain, seq, hash, at, kind, code, epoch, session, evidence, .. } = self;
        let text = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let event = Event {
            at,
            kind: Cow::Owned(kind.into_owned()),
            code: Cow::Owned(code.into_owned()),
            epoch,
            workload: text(self.workload),
            measurement: text(self.measurement),
            session: session.map(SessionId::from_bytes),
            request_id: text(self.request_id),
            actor: text(self.actor),
            before: text(self.before),
            after: text(self.after),
            evidence,
            detail: text(self.detail),
        };
        (chain, seq, event, hash)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadLine {
    pub(super) chain: ChainName,
    #[serde(with = "fields::row_number")]
    pub(super) seq: u64,
    #[serde(with = "fields::digits")]
    pub(super) hash: [u8; 32],
}

impl HeadLine {
    pub(super) fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// How many lines stand before this one.
    pub(super) lines: u64,
}

pub(super) const FORMAT: &str = "countersign-audit";
pub(super) const VERSION: u64 = 1;

/// The longest line, in bytes with its end. A row holds at most two rule sets of a workload and a reason.
pub(super) const LONGEST: u64 = 1 << 20;
