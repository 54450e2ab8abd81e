use serde::Serialize;
use utoipa::ToSchema;

use super::{
    AuditEntry, Chain, MeasurementView, ReplicaView, SessionView, TokenView, TombstoneView, WorkloadView,
};

/// One page of a list: `items`, and `next` for the page after it.
///
/// A macro and not a generic type, so that each list has its own name in the
/// OpenAPI document.
macro_rules! listings {
    ($($(#[doc = $doc:literal])+ $name:ident of $item:ty;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug, Serialize, ToSchema)]
            pub(in crate::admin) struct $name {
                pub(in crate::admin) items: Vec<$item>,
                /// `cursor` of the next page; null on the last.
                pub(in crate::admin) next: Option<String>,
            }

            impl From<(Vec<$item>, Option<String>)> for $name {
                fn from((items, next): (Vec<$item>, Option<String>)) -> Self {
                    Self { items, next }
                }
            }
        )+
    };
}

listings! {
    /// A page of workloads, by name.
    WorkloadListing of WorkloadView;
    /// A page of measurements, by workload and name.
    MeasurementListing of MeasurementView;
    /// A page of revoked sets of PCRs.
    TombstoneListing of TombstoneView;
    /// A page of sessions, by id.
    SessionListing of SessionView;
    /// A page of tokens, by id.
    TokenListing of TokenView;
    /// A page of the audit, newest first.
    AuditListing of AuditEntry;
    /// Heads of the audit's chains.
    ChainListing of Chain;
    /// Every replica heard of within a day.
    ReplicaListing of ReplicaView;
}
