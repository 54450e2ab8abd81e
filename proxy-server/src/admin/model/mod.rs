//! What goes over the wire. Types of the store are taken apart whole, so that a
//! new field of theirs breaks the build here until somebody judged it.

mod audit;
mod change;
mod cursor;
mod explain;
mod measurement;
mod page;
mod parsed;
mod pcrs;
mod policy;
mod replica;
mod revocation;
mod session;
mod status;
mod token;
mod tombstone;
mod whoami;
mod workload;

pub(super) use audit::{AuditEntry, Chain};
pub(super) use change::{Noun, Outcome};
pub(super) use cursor::Cursor;
pub(super) use explain::{
    CertificateView, Difference, DocumentView, Explain, ExplainShape, Explainable, Explained, Match, Nearest,
    Verification, meaning, moment,
};
pub(super) use measurement::{AddMeasurement, MeasurementPatch, MeasurementView, StateWord};
pub(super) use page::{
    AuditListing, ChainListing, MeasurementListing, ReplicaListing, SessionListing, TokenListing,
    TombstoneListing, WorkloadListing,
};
pub(super) use parsed::{Moment, NetworkText, Prose, Text, whole, whole_or_null};
pub(super) use pcrs::{Pcrs, PcrsIn};
pub(super) use policy::PolicyView;
pub(super) use replica::{Cut, ReplicaState, ReplicaView};
pub(super) use revocation::{Revocation, RevocationOutcome, RevocationShape, Target};
pub(super) use session::SessionView;
pub(super) use status::StatusView;
pub(super) use token::{NewToken, TokenMade, TokenView};
pub(super) use tombstone::{TombstoneView, set_of};
pub(super) use whoami::Whoami;
pub(super) use workload::{NewWorkload, OriginWord, Rules, WorkloadView};
