use std::num::NonZeroU64;

use countersign_protocol::{Destination, Lease, LeaseBounds};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{NetworkText, Prose, Text, whole, whole_or_null};
use crate::{
    admin::{
        extract::{Incoming, LARGE},
        problem::ApiError,
    },
    config::BYTES_PER_SECOND,
    policy::{Limits, Workload, WorkloadName},
    store::{Origin, WorkloadRow},
};

/// A workload to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct NewWorkload {
    /// Unique in the installation.
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", example = "payments")]
    pub(in crate::admin) name: Text<WorkloadName>,
    /// For people.
    #[serde(default)]
    description: Option<Prose>,
    /// Where its tunnels may lead: nowhere by default.
    #[schema(schema_with = destinations_schema)]
    destinations: Vec<Text<Destination>>,
    /// Special addresses (loopback, link-local, metadata) that a name among the destinations may resolve to.
    #[serde(default)]
    #[schema(required = false, schema_with = addresses_schema)]
    addresses: Vec<Text<NetworkText>>,
    #[serde(default)]
    lease: Option<LeaseView>,
    #[serde(default)]
    limits: Option<LimitsView>,
}

/// The rules of a workload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Rules {
    /// For people.
    #[serde(default)]
    description: Option<Prose>,
    /// Where its tunnels may lead: nowhere by default.
    #[schema(schema_with = destinations_schema)]
    destinations: Vec<Text<Destination>>,
    /// Special addresses (loopback, link-local, metadata) that a name among the destinations may resolve to.
    #[serde(default)]
    #[schema(required = false, schema_with = addresses_schema)]
    addresses: Vec<Text<NetworkText>>,
    #[serde(default)]
    lease: Option<LeaseView>,
    #[serde(default)]
    limits: Option<LimitsView>,
}

/// The leases its sessions are given, in seconds; those of the installation by default.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct LeaseView {
    /// The shortest.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 30, maximum = 600, example = 30)]
    min_seconds: u64,
    /// The longest.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 30, maximum = 600, example = 300)]
    max_seconds: u64,
}

/// How much of the proxy it may hold.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct LimitsView {
    /// Live sessions.
    #[serde(default = "max_sessions", deserialize_with = "whole")]
    #[schema(required = false, minimum = 1, maximum = 10_000_000, default = 1000)]
    max_sessions: u32,
    /// Open tunnels of each session.
    #[serde(default = "max_tunnels", deserialize_with = "whole")]
    #[schema(required = false, minimum = 1, maximum = 10_000_000, default = 1024)]
    max_tunnels_per_session: u32,
    /// Bytes a second of all tunnels together, on each replica; without a limit when it is left out.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(required = false, minimum = 65_536, maximum = 1_000_000_000_000_i64)]
    max_bytes_per_second: Option<u64>,
}

impl Incoming for NewWorkload {
    const MOST: usize = LARGE;
}

impl Incoming for Rules {
    const MOST: usize = LARGE;
}

impl NewWorkload {
    /// The workload and its description. `bounds` are the installation's.
    pub(in crate::admin) fn check(self, bounds: LeaseBounds) -> Result<(Workload, Option<String>), ApiError> {
        let Self { name: Text(name), description, destinations, addresses, lease, limits } = self;
        Rules { description, destinations, addresses, lease, limits }.check(name, bounds)
    }
}

impl Rules {
    /// The workload of this name and its description. `bounds` are the installation's.
    pub(in crate::admin) fn check(
        self,
        name: WorkloadName,
        bounds: LeaseBounds,
    ) -> Result<(Workload, Option<String>), ApiError> {
        let Self { description, destinations, addresses, lease, limits } = self;
        at_most("destinations", destinations.len(), MOST_DESTINATIONS)?;
        at_most("addresses", addresses.len(), MOST_ADDRESSES)?;
        let workload = Workload {
            name,
            destinations: destinations.into_iter().map(|Text(destination)| destination).collect(),
            addresses: addresses.into_iter().map(|Text(NetworkText(network))| network).collect(),
            lease_bounds: lease.map_or(Ok(bounds), |lease| lease.check(bounds))?,
            limits: limits.map_or(Ok(Limits::default()), LimitsView::check)?,
        };
        Ok((workload, description.map(Prose::into_string)))
    }
}

impl LeaseView {
    fn of(bounds: LeaseBounds) -> Self {
        Self { min_seconds: bounds.min().as_secs(), max_seconds: bounds.max().as_secs() }
    }

    fn check(self, bounds: LeaseBounds) -> Result<LeaseBounds, ApiError> {
        let lease =
            |field, seconds| Lease::from_secs(seconds).map_err(|error| ApiError::invalid(field, error));
        let min = lease("lease.min_seconds", self.min_seconds)?;
        let max = lease("lease.max_seconds", self.max_seconds)?;
        let asked = LeaseBounds::new(min, max).map_err(|error| ApiError::invalid("lease", error))?;
        if asked.min() < bounds.min() || asked.max() > bounds.max() {
            let (min, max) = (bounds.min().as_secs(), bounds.max().as_secs());
            return Err(ApiError::invalid("lease", format_args!("leases here are {min} to {max} s")));
        }
        Ok(asked)
    }
}

/// How much of the proxy it may hold; nothing while its first rules wait.
#[derive(Debug, Serialize, ToSchema)]
struct LimitsShown {
    #[schema(minimum = 0)]
    max_sessions: u32,
    #[schema(minimum = 0)]
    max_tunnels_per_session: u32,
    #[schema(minimum = 65_536)]
    max_bytes_per_second: Option<u64>,
}

impl From<Limits> for LimitsShown {
    fn from(limits: Limits) -> Self {
        let Limits { max_sessions, max_tunnels_per_session, max_bytes_per_second } = limits;
        Self {
            max_sessions,
            max_tunnels_per_session,
            max_bytes_per_second: max_bytes_per_second.map(NonZeroU64::get),
        }
    }
}

impl LimitsView {
    fn check(self) -> Result<Limits, ApiError> {
        let Self { max_sessions, max_tunnels_per_session, max_bytes_per_second } = self;
        let within = |field, value| match value {
            1..=MOST_OF_A_LIMIT => Ok(value),
            _ => {
                Err(ApiError::invalid(field, format_args!("expected 1 to {MOST_OF_A_LIMIT}; found {value}")))
            }
        };
        Ok(Limits {
            max_sessions: within("limits.max_sessions", max_sessions)?,
            max_tunnels_per_session: within("limits.max_tunnels_per_session", max_tunnels_per_session)?,
            max_bytes_per_second: max_bytes_per_second.map(rate).transpose()?,
        })
    }
}

fn rate(bytes: u64) -> Result<NonZeroU64, ApiError> {
    let (least, most) = (BYTES_PER_SECOND.start(), BYTES_PER_SECOND.end());
    NonZeroU64::new(bytes).filter(|bytes| BYTES_PER_SECOND.contains(&bytes.get())).ok_or_else(|| {
        let reason = format_args!("expected {least} to {most}; found {bytes}").to_string();
        ApiError::invalid("limits.max_bytes_per_second", reason)
    })
}

/// A workload.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct WorkloadView {
    #[schema(example = "payments")]
    name: String,
    /// For people.
    description: Option<String>,
    state: WorkloadState,
    /// The rules in force.
    #[serde(flatten)]
    rules: RulesView,
    /// Rules that wait for approval.
    pending: Option<PendingRules>,
    origin: OriginWord,
    /// For If-Match.
    #[schema(minimum = 0)]
    revision: u64,
    /// The epoch of its rules.
    #[schema(minimum = 0)]
    epoch: u64,
    /// Why it was revoked.
    reason: Option<String>,
}

/// Rules.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct RulesView {
    #[schema(example = json!(["kms.eu-west-1.amazonaws.com:443"]))]
    destinations: Vec<String>,
    addresses: Vec<String>,
    lease: LeaseView,
    limits: LimitsShown,
}

/// Rules that wait.
#[derive(Debug, Serialize, ToSchema)]
struct PendingRules {
    #[serde(flatten)]
    rules: RulesView,
    /// Who wrote them, and so cannot approve them.
    author: String,
    /// How many said yes.
    #[schema(minimum = 0)]
    approvals: u32,
}

/// What it is worth.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum WorkloadState {
    Active,
    Revoked,
}

/// Who keeps it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum OriginWord {
    /// A configuration file.
    File,
    /// This API.
    Api,
}

impl From<Origin> for OriginWord {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::File => Self::File,
            Origin::Api => Self::Api,
        }
    }
}

impl From<WorkloadRow> for WorkloadView {
    fn from(row: WorkloadRow) -> Self {
        let WorkloadRow { workload, pending, description, origin, revoked, revision, epoch, reason } = row;
        Self {
            name: workload.name.to_string(),
            description,
            state: if revoked { WorkloadState::Revoked } else { WorkloadState::Active },
            rules: RulesView::of(&workload),
            pending: pending.map(|(rules, author, approvals)| PendingRules {
                rules: RulesView::of(&rules),
                author,
                approvals,
            }),
            origin: origin.into(),
            revision,
            epoch: epoch.0,
            reason,
        }
    }
}

impl RulesView {
    fn of(workload: &Workload) -> Self {
        let Workload { name: _, destinations, addresses, lease_bounds, limits } = workload;
        let mut destinations: Vec<_> = destinations.iter().map(ToString::to_string).collect();
        destinations.sort();
        Self {
            destinations,
            addresses: addresses.iter().map(ToString::to_string).collect(),
            lease: LeaseView::of(*lease_bounds),
            limits: LimitsShown::from(*limits),
        }
    }
}

fn at_most(field: &'static str, found: usize, most: usize) -> Result<(), ApiError> {
    if found <= most {
        Ok(())
    } else {
        Err(ApiError::invalid(field, format_args!("expected at most {most}; found {found}")))
    }
}

fn destinations_schema() -> utoipa::openapi::schema::Array {
    texts(
        MOST_DESTINATIONS,
        "destination",
        "host:port",
        serde_json::json!(["kms.eu-west-1.amazonaws.com:443"]),
    )
}

fn addresses_schema() -> utoipa::openapi::schema::Array {
    texts(MOST_ADDRESSES, "ip-network", "an address or a network", serde_json::json!(["169.254.170.2"]))
}

/// A list of texts whose form no regular expression can tell whole.
fn texts(
    most: usize,
    format: &str,
    description: &str,
    example: serde_json::Value,
) -> utoipa::openapi::schema::Array {
    use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaFormat, Type};
    let item = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom(format.to_owned())))
        .description(Some(description))
        .min_length(Some(2))
        .max_length(Some(1024));
    ArrayBuilder::new().items(item).max_items(Some(most)).examples([example]).build()
}

fn max_sessions() -> u32 {
    Limits::default().max_sessions
}

fn max_tunnels() -> u32 {
    Limits::default().max_tunnels_per_session
}

const MOST_DESTINATIONS: usize = 1_000;
const MOST_ADDRESSES: usize = 100;

/// The same bound as the configuration file's.
const MOST_OF_A_LIMIT: u32 = 10_000_000;
