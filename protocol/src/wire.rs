//! Constants both ends must share: labels, paths, ports, limits.

use std::time::Duration;

/// Port of the attestation listener (OBLV's documents use the same one).
pub const ATTESTATION_PORT: u16 = 12200;

/// Port of the gateway listener.
pub const GATEWAY_PORT: u16 = 8443;

/// Asks for a nonce. `POST`, empty body.
pub const CHALLENGE_PATH: &str = "/v1/challenge";

/// Answers a challenge. `POST`, body [`crate::message::Attest`].
pub const ATTEST_PATH: &str = "/v1/attest";

/// Asks for AWS credentials. `POST`, body [`crate::message::AskCredentials`].
pub const CREDENTIALS_PATH: &str = "/v1/credentials";

/// Media type of every message of this crate.
pub const CBOR: &str = "application/cbor";

/// Media type of every refusal (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Label of the TLS exporter (RFC 8446 section 7.5) that binds evidence to a connection.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-countersign-attest-v1";

/// Length in bytes of the exported value.
pub const EXPORTER_LEN: usize = 32;

/// How long a nonce can be answered. One use; a failed answer burns it too.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(10);

/// The largest attestation document taken: the payload limit of 16 KiB
/// (AWS `attestation_process.md`) and room for the COSE envelope around it.
pub const MAX_DOCUMENT: usize = 16_384 + 512;

/// The largest request body: one document and the fields beside it.
pub const MAX_ATTEST_BODY: usize = MAX_DOCUMENT + 512;

/// The largest body of a request for credentials: a label and a session id.
pub const MAX_ASK_CREDENTIALS: usize = 64;

/// The largest answer a client needs to read. AWS sets no limit to a session token; those of STS have
/// one or two thousand bytes.
pub const MAX_GRANT: usize = 16_384;

/// Where the host half takes egress connections of its enclave: a vsock port of the parent.
pub const HOST_EGRESS_PORT: u32 = 12280;

/// Where the host half takes the enclave's log lines: a vsock port of the parent.
pub const HOST_LOG_PORT: u32 = 12281;

/// Where the enclave answers `GET /healthz`: a vsock port of the enclave.
pub const ENCLAVE_HEALTH_PORT: u32 = 12282;
