use std::{ops::RangeInclusive, time::Duration};

use toml::Spanned;

use super::{
    mistake::Collector,
    raw::{RawAudit, RawLimits},
};

/// How much the proxy takes on. Beyond it, answers are `overloaded` or
/// connections wait in the kernel's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyLimits {
    /// Open connections to the attestation port.
    pub attestation_connections: u32,
    /// Open connections to the gateway port.
    pub gateway_connections: u32,
    /// TLS handshakes under way at once, on each port.
    pub handshakes: u32,
    /// Live sessions, of all workloads together.
    pub sessions: u32,
    /// Live sessions of one EC2 instance.
    pub sessions_per_instance: u32,
    /// Documents of one EC2 instance that are looked at in a minute.
    pub attestations_per_instance: u32,
}

impl Default for ProxyLimits {
    fn default() -> Self {
        Self {
            attestation_connections: 20_000,
            gateway_connections: 50_000,
            handshakes: 1_024,
            sessions: 100_000,
            sessions_per_instance: 64,
            attestations_per_instance: 600,
        }
    }
}

/// What of the audit is kept: a row leaves when either bound is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditRetention {
    /// The most rows.
    pub rows: u64,
    /// The longest time.
    pub age: Duration,
}

impl Default for AuditRetention {
    fn default() -> Self {
        Self { rows: 5_000_000, age: Duration::from_secs(90 * 86_400) }
    }
}

pub(super) fn limits(raw: RawLimits, found: &Collector) -> ProxyLimits {
    let RawLimits {
        attestation_connections,
        gateway_connections,
        handshakes,
        sessions,
        sessions_per_instance,
        attestations_per_instance,
    } = raw;
    let default = ProxyLimits::default();
    let pick = |value, field: &str, range, default| {
        let field = format!("limits.{field}");
        number(value, &field, range, u64::from(default), found) as u32
    };
    ProxyLimits {
        attestation_connections: pick(
            attestation_connections,
            "attestation_connections",
            1..=1_000_000,
            default.attestation_connections,
        ),
        gateway_connections: pick(
            gateway_connections,
            "gateway_connections",
            1..=1_000_000,
            default.gateway_connections,
        ),
        handshakes: pick(handshakes, "handshakes", 1..=100_000, default.handshakes),
        sessions: pick(sessions, "sessions", 1..=10_000_000, default.sessions),
        sessions_per_instance: pick(
            sessions_per_instance,
            "sessions_per_instance",
            1..=10_000_000,
            default.sessions_per_instance,
        ),
        attestations_per_instance: pick(
            attestations_per_instance,
            "attestations_per_instance",
            1..=100_000_000,
            default.attestations_per_instance,
        ),
    }
}

pub(super) fn audit(raw: RawAudit, found: &Collector) -> AuditRetention {
    let RawAudit { keep_rows, keep_days } = raw;
    let default = AuditRetention::default();
    let days = number(keep_days, "audit.keep_days", 1..=36_500, default.age.as_secs() / 86_400, found);
    AuditRetention {
        rows: number(keep_rows, "audit.keep_rows", 1_000..=1_000_000_000, default.rows, found),
        age: Duration::from_secs(days * 86_400),
    }
}

/// A number in its range, or the default: noted when it is outside.
pub(super) fn number(
    value: Option<Spanned<u64>>,
    field: &str,
    range: RangeInclusive<u64>,
    default: u64,
    found: &Collector,
) -> u64 {
    let Some(value) = value else { return default };
    if range.contains(value.get_ref()) {
        return *value.get_ref();
    }
    let message = format!("expected {} to {}; found {}", range.start(), range.end(), value.get_ref());
    found.note(value.span(), field, message);
    default
}
