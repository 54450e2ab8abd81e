//! Names of attributes: those of OpenTelemetry's semantic conventions where they have
//! one, and `countersign.…` for what only exists here.

/// The host that a request is for.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub const SERVER_PORT: &str = "server.port";
/// The address that was dialled, where it differs from the host.
pub const NETWORK_PEER_ADDRESS: &str = "network.peer.address";
/// Its port.
pub const NETWORK_PEER_PORT: &str = "network.peer.port";
/// `tcp`, `unix`, `pipe`; vsock has no word there and is told as `vsock`.
pub const NETWORK_TRANSPORT: &str = "network.transport";
/// `http`.
pub const NETWORK_PROTOCOL_NAME: &str = "network.protocol.name";
/// `1.1` or `2`.
pub const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
/// `CONNECT`, `POST` …
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// The status that was answered, a number.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// The template of the path: `/v1/attest`.
pub const HTTP_ROUTE: &str = "http.route";
/// The code of a refusal or a failure: few, and of this program.
pub const ERROR_TYPE: &str = "error.type";

/// Which session.
pub const SESSION: &str = "countersign.session.id";
/// Which workload.
pub const WORKLOAD: &str = "countersign.workload";
/// Which measurement.
pub const MEASUREMENT: &str = "countersign.measurement";
/// What an attestation came to: `admitted`, `renewed`.
pub const DECISION: &str = "countersign.decision";
/// Which way out of the enclave: `default`, `proxy`, `enclave`.
pub const ROUTE: &str = "countersign.route";
/// What ended a tunnel.
pub const END_REASON: &str = "countersign.tunnel.end_reason";
/// Bytes to the destination.
pub const BYTES_UP: &str = "countersign.tunnel.bytes_up";
/// Bytes to the enclave.
pub const BYTES_DOWN: &str = "countersign.tunnel.bytes_down";
