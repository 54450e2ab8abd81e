//! What can be said, and the types that cannot say anything else.

mod audit;
mod kms;
mod measurement;
mod options;
mod others;
mod pcrs;
mod reach;
mod session;
mod token;
mod tombstone;
mod top;
mod values;
mod workload;

pub(super) use audit::{AuditCommand, AuditFilter, AuditVerify};
pub(super) use kms::{KmsCommand, KmsDrift};
pub(super) use measurement::{MeasurementAdd, MeasurementCommand, MeasurementEdit};
pub(super) use options::{ChangeArgs, ListArgs, Output, ReadArgs, RevokeArgs};
pub(super) use others::{AcceptRestored, PolicyCommand, ReplicaCommand};
pub(super) use pcrs::PcrSource;
pub(super) use reach::{Asked, Environment, Place, Reach, RemotePlace, ServerUrl, TOKEN, TokenFrom};
pub(super) use session::SessionCommand;
pub(super) use token::{TokenCommand, TokenCreate};
pub(super) use tombstone::TombstoneCommand;
pub use top::Cli;
pub(super) use top::{Command, ConfigCommand, ConfigFile, SessionCaCommand};
pub(super) use values::{Label, MeasurementPath, Moment, ShortId, Span, WorkloadPath};
pub(super) use workload::{WorkloadCommand, WorkloadSet};
