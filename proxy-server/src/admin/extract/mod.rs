//! From a request's parts to types that cannot be wrong.
//!
//! ```text
//!   credentials ─► Caller ── may(permission, workload) ─► Ok | ApiError
//!   path ────────► WorkloadPlace, MeasurementPlace
//!   query ───────► Params<T>            (unknown names are errors)
//!   headers ─────► Match, IdempotencyKey
//!   body ────────► Body<T>              (bounded in size and time)
//! ```

mod body;
mod caller;
mod headers;
mod nearest;
mod params;
mod place;

pub(super) use body::{Body, Incoming, LARGE, SMALL};
pub(super) use caller::{Caller, RequestId};
pub(super) use headers::{IdempotencyHeader, IdempotencyKey, IfMatchHeader, Match, PutHeaders};
pub(super) use params::{ChangeParams, NoParams, PageParams, Params};
pub(super) use place::{MeasurementPath, MeasurementPlace, SessionPath, TokenPath, WorkloadPath, WorkloadPlace, read_path};
