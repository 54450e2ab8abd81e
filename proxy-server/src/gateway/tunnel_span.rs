use std::net::SocketAddr;

use countersign_protocol::Destination;
use countersign_telemetry::{Kind, Span, Status, TraceContext, Tracer, names};

use super::{
    handshake::HttpVersion,
    tunnel::{Traffic, TunnelEnd},
};
use crate::session::Session;

/// The span of a CONNECT, from its head to the end of its tunnel.
pub(super) fn asked(tracer: &Tracer, parent: Option<&TraceContext>, version: HttpVersion) -> Span {
    let mut span = tracer.span("CONNECT", Kind::Server, parent);
    span.set(names::HTTP_REQUEST_METHOD, "CONNECT");
    span.set(
        names::NETWORK_PROTOCOL_VERSION,
        match version {
            HttpVersion::One => "1.1",
            HttpVersion::Two => "2",
        },
    );
    span
}

/// Whose it is, and where to: what was parsed, never what was only sent.
pub(super) fn aimed(span: &mut Span, session: &Session, destination: &Destination) {
    span.set_with(names::SERVER_ADDRESS, || destination.host().to_string().into());
    span.set(names::SERVER_PORT, destination.port());
    span.set_with(names::SESSION, || session.id().to_string().into());
    span.set_with(names::WORKLOAD, || session.workload().name.to_string().into());
}

/// The way is open to this address.
pub(super) fn dialled(span: &mut Span, address: Option<SocketAddr>) {
    span.set(names::HTTP_RESPONSE_STATUS_CODE, 200_u16);
    if let Some(address) = address {
        span.set_with(names::NETWORK_PEER_ADDRESS, || address.ip().to_string().into());
        span.set(names::NETWORK_PEER_PORT, address.port());
    }
}

/// It is over. What no side wanted is an error.
pub(super) fn ended(mut span: Span, end: &TunnelEnd, Traffic { up, down }: Traffic) {
    span.set(names::BYTES_UP, up);
    span.set(names::BYTES_DOWN, down);
    span.set(names::END_REASON, end.word());
    match end {
        TunnelEnd::Closed => span.end(Status::Unset),
        TunnelEnd::Cut(_) | TunnelEnd::Client(_) | TunnelEnd::Stream(_) | TunnelEnd::Upstream(_) => {
            span.fail(end.word());
        }
    }
}
