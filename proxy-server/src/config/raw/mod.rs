//! What the user wrote: every field optional, every value with its place.

mod admin;
mod sts;
mod telemetry;
mod workload;

use std::ops::Range;

use toml::{Spanned, de::DeTable};

use super::{mistake::Collector, reader::Section};

pub(super) use admin::{RawAdmin, RawCertificate, RawOidc, RawSignIn};
#[cfg(feature = "aws")]
pub(super) use sts::RawRole;
pub(super) use sts::RawSts;
pub(super) use telemetry::RawTelemetry;
pub(super) use workload::{RawMeasurement, RawPcrs, RawWorkload};

type Text = Option<Spanned<String>>;
type Number = Option<Spanned<u64>>;
type Texts = Option<Vec<Spanned<String>>>;

#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) deployment: Text,
    pub(super) state_directory: Text,
    pub(super) workers: Number,
    pub(super) drain_seconds: Number,
    pub(super) listen: RawListen,
    pub(super) tls: RawTls,
    pub(super) trust: RawTrust,
    pub(super) session_ca: RawSessionCa,
    pub(super) document: RawDocument,
    pub(super) lease: RawLease,
    pub(super) limits: RawLimits,
    pub(super) audit: RawAudit,
    pub(super) store: RawStore,
    pub(super) replica_name: Text,
    pub(super) admin: RawAdmin,
    pub(super) log: RawLog,
    pub(super) telemetry: Option<RawTelemetry>,
    pub(super) hosts: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
    pub(super) sts: Option<RawSts>,
    pub(super) workloads: Vec<RawWorkload>,
    /// Where a missing `[table]` is reported: the start of the file.
    pub(super) span: Range<usize>,
}

#[derive(Debug, Default)]
pub(super) struct RawListen {
    pub(super) attestation: Text,
    pub(super) gateway: Text,
    pub(super) proxy_protocol_from: Texts,
}

#[derive(Debug, Default)]
pub(super) struct RawTls {
    pub(super) certificate: Text,
    pub(super) key: Text,
    pub(super) span: Range<usize>,
}

#[derive(Debug, Default)]
pub(super) struct RawTrust {
    pub(super) root: Text,
    pub(super) danger_simulated_root: Text,
    pub(super) span: Range<usize>,
}

#[derive(Debug, Default)]
pub(super) struct RawSessionCa {
    pub(super) file: Text,
    pub(super) kms_key: Text,
    pub(super) endpoint: Text,
}

#[derive(Debug, Default)]
pub(super) struct RawDocument {
    pub(super) max_age_seconds: Number,
    pub(super) max_ahead_seconds: Number,
}

#[derive(Debug, Default)]
pub(super) struct RawLease {
    pub(super) min_seconds: Number,
    pub(super) max_seconds: Number,
}

#[derive(Debug, Default)]
pub(super) struct RawLimits {
    pub(super) attestation_connections: Number,
    pub(super) gateway_connections: Number,
    pub(super) handshakes: Number,
    pub(super) sessions: Number,
    pub(super) sessions_per_instance: Number,
    pub(super) attestations_per_instance: Number,
}

#[derive(Debug, Default)]
pub(super) struct RawAudit {
    pub(super) keep_rows: Number,
    pub(super) keep_days: Number,
}

#[derive(Debug, Default)]
pub(super) struct RawStore {
    pub(super) url: Text,
    pub(super) url_file: Text,
    pub(super) stale: Text,
    pub(super) hints: Text,
}

#[derive(Debug, Default)]
pub(super) struct RawLog {
    pub(super) format: Text,
}

/// Reads what can be read of `text`; syntax errors and unknown fields are noted.
pub(super) fn read(text: &str, found: &Collector) -> Raw {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        found.note(error.span().unwrap_or(0..0), "", format!("not TOML: {}", error.message()));
    }
    let span = root.span().start..root.span().start;
    let top = Section::new(root.get_ref(), span.clone(), String::new(), found);
    let raw = Raw {
        deployment: top.text("deployment"),
        state_directory: top.text("state_directory"),
        workers: top.number("workers"),
        drain_seconds: top.number("drain_seconds"),
        listen: table(&top, "listen", |s| RawListen {
            attestation: s.text("attestation"),
            gateway: s.text("gateway"),
            proxy_protocol_from: s.texts("proxy_protocol_from"),
        }),
        tls: table(&top, "tls", |s| RawTls {
            certificate: s.text("certificate"),
            key: s.text("key"),
            span: s.span(),
        }),
        trust: table(&top, "trust", |s| RawTrust {
            root: s.text("root"),
            danger_simulated_root: s.text("danger_simulated_root"),
            span: s.span(),
        }),
        session_ca: table(&top, "session_ca", |s| RawSessionCa {
            file: s.text("file"),
            kms_key: s.text("kms_key"),
            endpoint: s.text("endpoint"),
        }),
        document: table(&top, "document", |s| RawDocument {
            max_age_seconds: s.number("max_age_seconds"),
            max_ahead_seconds: s.number("max_ahead_seconds"),
        }),
        lease: table(&top, "lease", lease),
        limits: table(&top, "limits", |s| RawLimits {
            attestation_connections: s.number("attestation_connections"),
            gateway_connections: s.number("gateway_connections"),
            handshakes: s.number("handshakes"),
            sessions: s.number("sessions"),
            sessions_per_instance: s.number("sessions_per_instance"),
            attestations_per_instance: s.number("attestations_per_instance"),
        }),
        audit: table(&top, "audit", |s| RawAudit {
            keep_rows: s.number("keep_rows"),
            keep_days: s.number("keep_days"),
        }),
        store: table(&top, "store", |s| RawStore {
            url: s.text("url"),
            url_file: s.text("url_file"),
            stale: s.text("stale"),
            hints: s.text("hints"),
        }),
        replica_name: table(&top, "replica", |s| s.text("name")),
        admin: table(&top, "admin", admin::admin),
        log: table(&top, "log", |s| RawLog { format: s.text("format") }),
        telemetry: top.section("telemetry").map(telemetry::telemetry),
        hosts: top.section("hosts").map(|s| s.free_texts()).unwrap_or_default(),
        sts: top.section("sts").map(sts::sts),
        workloads: top.sections("workload").into_iter().map(workload::workload).collect(),
        span,
    };
    top.finish();
    raw
}

fn table<T: Default>(parent: &Section<'_>, key: &'static str, read: impl FnOnce(&Section<'_>) -> T) -> T {
    let Some(section) = parent.section(key) else { return T::default() };
    let value = read(&section);
    section.finish();
    value
}

fn lease(section: &Section<'_>) -> RawLease {
    RawLease { min_seconds: section.number("min_seconds"), max_seconds: section.number("max_seconds") }
}
