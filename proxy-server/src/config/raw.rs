//! What the user wrote: every field optional, every value with its place.

use std::ops::Range;

use toml::{Spanned, de::DeTable};

use super::{mistake::Collector, reader::Section};

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
pub(super) struct RawAdmin {
    pub(super) listen: Text,
    pub(super) tls: RawTls,
    pub(super) client_ca: Text,
    pub(super) approvals: Number,
    pub(super) oidc: Option<RawOidc>,
    pub(super) certificates: Vec<RawCertificate>,
}

#[derive(Debug, Default)]
pub(super) struct RawOidc {
    pub(super) span: Range<usize>,
    pub(super) issuer: Text,
    pub(super) audience: Text,
    pub(super) roles_claim: Text,
    pub(super) workloads_claim: Text,
    pub(super) workloads: Text,
    pub(super) ca: Text,
    pub(super) roles: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
}

#[derive(Debug, Default)]
pub(super) struct RawCertificate {
    pub(super) path: String,
    pub(super) span: Range<usize>,
    pub(super) uri: Text,
    pub(super) dns: Text,
    pub(super) common_name: Text,
    pub(super) roles: Texts,
    pub(super) workloads: Texts,
}

#[derive(Debug, Default)]
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "a build without OTLP refuses the whole table"))]
pub(super) struct RawTelemetry {
    #[cfg_attr(feature = "otlp", allow(dead_code, reason = "only who refuses the table says where it stands"))]
    pub(super) span: Range<usize>,
    pub(super) endpoint: Text,
    pub(super) headers_file: Text,
    pub(super) ca: Text,
    pub(super) interval_seconds: Number,
    pub(super) trace_ratio: Option<Spanned<f64>>,
    pub(super) service_name: Text,
    pub(super) attributes: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
}

#[derive(Debug, Default)]
pub(super) struct RawLog {
    pub(super) format: Text,
}

#[derive(Debug, Default)]
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "a build without STS refuses the whole table"))]
pub(super) struct RawSts {
    pub(super) span: Range<usize>,
    pub(super) region: Text,
    pub(super) endpoint: Text,
    pub(super) roles: Vec<RawRole>,
}

#[derive(Debug, Default)]
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "a build without STS refuses the whole table"))]
pub(super) struct RawRole {
    pub(super) path: String,
    pub(super) span: Range<usize>,
    pub(super) workload: Text,
    pub(super) arn: Text,
    pub(super) duration_seconds: Number,
    pub(super) session_policy: Text,
    pub(super) session_policy_file: Text,
}

#[derive(Debug, Default)]
pub(super) struct RawWorkload {
    pub(super) path: String,
    pub(super) span: Range<usize>,
    pub(super) name: Text,
    pub(super) destinations: Texts,
    pub(super) addresses: Texts,
    pub(super) lease: RawLease,
    pub(super) max_sessions: Number,
    pub(super) max_tunnels_per_session: Number,
    pub(super) max_bytes_per_second: Number,
    pub(super) measurements: Vec<RawMeasurement>,
}

#[derive(Debug, Default)]
pub(super) struct RawMeasurement {
    pub(super) path: String,
    pub(super) span: Range<usize>,
    pub(super) name: Text,
    pub(super) version: Text,
    pub(super) state: Text,
    pub(super) file: Text,
    pub(super) pcrs: Option<RawPcrs>,
}

#[derive(Debug, Default)]
pub(super) struct RawPcrs {
    pub(super) span: Range<usize>,
    pub(super) entries: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
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
        admin: table(&top, "admin", admin),
        log: table(&top, "log", |s| RawLog { format: s.text("format") }),
        telemetry: top.section("telemetry").map(telemetry),
        hosts: top.section("hosts").map(|s| s.free_texts()).unwrap_or_default(),
        sts: top.section("sts").map(sts),
        workloads: top.sections("workload").into_iter().map(workload).collect(),
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

fn admin(section: &Section<'_>) -> RawAdmin {
    RawAdmin {
        listen: section.text("listen"),
        tls: RawTls {
            certificate: section.text("certificate"),
            key: section.text("key"),
            span: section.span(),
        },
        client_ca: section.text("client_ca"),
        approvals: section.number("approvals"),
        oidc: section.section("oidc").map(oidc),
        certificates: section.sections("client").into_iter().map(certificate).collect(),
    }
}

fn oidc(section: Section<'_>) -> RawOidc {
    let oidc = RawOidc {
        span: section.span(),
        issuer: section.text("issuer"),
        audience: section.text("audience"),
        roles_claim: section.text("roles_claim"),
        workloads_claim: section.text("workloads_claim"),
        workloads: section.text("workloads"),
        ca: section.text("ca"),
        roles: section.section("roles").map(|s| s.free_texts()).unwrap_or_default(),
    };
    section.finish();
    oidc
}

fn certificate(section: Section<'_>) -> RawCertificate {
    let certificate = RawCertificate {
        path: section.path().to_owned(),
        span: section.span(),
        uri: section.text("uri"),
        dns: section.text("dns"),
        common_name: section.text("common_name"),
        roles: section.texts("roles"),
        workloads: section.texts("workloads"),
    };
    section.finish();
    certificate
}

fn telemetry(section: Section<'_>) -> RawTelemetry {
    let telemetry = RawTelemetry {
        span: section.span(),
        endpoint: section.text("endpoint"),
        headers_file: section.text("headers_file"),
        ca: section.text("ca"),
        interval_seconds: section.number("interval_seconds"),
        trace_ratio: section.decimal("trace_ratio"),
        service_name: section.text("service_name"),
        attributes: section.section("attributes").map(|s| s.free_texts()).unwrap_or_default(),
    };
    section.finish();
    telemetry
}

fn sts(section: Section<'_>) -> RawSts {
    let sts = RawSts {
        span: section.span(),
        region: section.text("region"),
        endpoint: section.text("endpoint"),
        roles: section.sections("role").into_iter().map(role).collect(),
    };
    section.finish();
    sts
}

fn role(section: Section<'_>) -> RawRole {
    let role = RawRole {
        path: section.path().to_owned(),
        span: section.span(),
        workload: section.text("workload"),
        arn: section.text("arn"),
        duration_seconds: section.number("duration_seconds"),
        session_policy: section.text("session_policy"),
        session_policy_file: section.text("session_policy_file"),
    };
    section.finish();
    role
}

fn lease(section: &Section<'_>) -> RawLease {
    RawLease { min_seconds: section.number("min_seconds"), max_seconds: section.number("max_seconds") }
}

fn workload(section: Section<'_>) -> RawWorkload {
    let (max_sessions, max_tunnels_per_session, max_bytes_per_second) = table(&section, "limits", |s| {
        (s.number("max_sessions"), s.number("max_tunnels_per_session"), s.number("max_bytes_per_second"))
    });
    let workload = RawWorkload {
        path: section.path().to_owned(),
        span: section.span(),
        name: section.text("name"),
        destinations: section.texts("destinations"),
        addresses: section.texts("addresses"),
        lease: table(&section, "lease", lease),
        max_sessions,
        max_tunnels_per_session,
        max_bytes_per_second,
        measurements: section.sections("measurement").into_iter().map(measurement).collect(),
    };
    section.finish();
    workload
}

fn measurement(section: Section<'_>) -> RawMeasurement {
    let measurement = RawMeasurement {
        path: section.path().to_owned(),
        span: section.span(),
        name: section.text("name"),
        version: section.text("version"),
        state: section.text("state"),
        file: section.text("file"),
        pcrs: section.section("pcrs").map(|s| RawPcrs { span: s.span(), entries: s.free_texts() }),
    };
    section.finish();
    measurement
}
