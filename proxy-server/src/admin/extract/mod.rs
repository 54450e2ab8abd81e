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
pub(super) use headers::{
    IdempotencyHeader, IdempotencyKey, IfMatchHeader, LastEventId, Match, PutHeaders, required,
};
pub(super) use params::{ChangeParams, Limit, NoParams, PageParams, Params, mode, page};
pub(super) use place::{
    MeasurementPath, MeasurementPlace, SessionPath, SessionPlace, TokenPath, TokenPlace, TombstonePath,
    TombstonePlace, WorkloadPath, WorkloadPlace,
};
