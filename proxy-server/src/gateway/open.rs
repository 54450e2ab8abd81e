use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use countersign_protocol::{Destination, Host, unmap};
use countersign_telemetry::Span;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{Shared, refusal::Refusal, tunnel::Meters, tunnel_span};
use crate::{
    policy::Workload,
    session::{Session, TunnelPermit},
};

/// A destination reached, and the permission to forward to it.
pub(super) struct Opened {
    pub(super) upstream: TcpStream,
    pub(super) permit: TunnelPermit,
    pub(super) destination: Destination,
    /// What its workload's tunnels keep to together; `None` is no limit.
    pub(super) meters: Option<Meters>,
}

/// Opens the way to `target` for a session.
///
/// The order is the point: the tunnel is registered before anything is asked,
/// so that a session that ends from here on takes it along; and everything is
/// asked again after the dial, right before bytes may flow.
///
/// # Errors
/// [`Refusal`], one for each way to fail.
pub(super) async fn open(
    shared: &Shared,
    session: &Arc<Session>,
    target: &str,
    span: &mut Span,
) -> Result<Opened, Refusal> {
    let began = Instant::now();
    let destination: Destination = target.parse().map_err(Refusal::Target)?;
    tunnel_span::aimed(span, session, &destination);
    if shared.stopping.is_cancelled() {
        return Err(Refusal::Draining);
    }
    let mut permit = session.register_tunnel()?;
    let workload = allowing(shared, session, &destination)?;
    let upstream = tokio::select! {
        reached = reach(shared, &workload, &destination) => reached?,
        reason = permit.cut() => return Err(crate::session::RegisterError::Ended(reason).into()),
    };
    permit.still_allowed()?;
    let workload = allowing(shared, session, &destination)?;
    let meters = shared.rates.of(&workload);
    shared.metrics.opened(began.elapsed());
    tunnel_span::dialled(span, upstream.peer_addr().ok());
    Ok(Opened { upstream, permit, destination, meters })
}

/// The session's workload as the policy in force has it, if it may go there.
fn allowing(shared: &Shared, session: &Session, destination: &Destination) -> Result<Arc<Workload>, Refusal> {
    if shared.policy.is_stale() {
        return Err(Refusal::Stale);
    }
    let workload = shared.policy.workload(&session.workload().name).ok_or(Refusal::NoWorkload)?;
    if workload.destinations.allows(destination) { Ok(workload) } else { Err(Refusal::Denied) }
}

/// Resolves, checks each address, and dials exactly those that passed.
async fn reach(
    shared: &Shared,
    workload: &Workload,
    destination: &Destination,
) -> Result<TcpStream, Refusal> {
    let addresses = match destination.host() {
        Host::Address(address) => Arc::from([*address]),
        Host::Name(name) => shared.resolver.resolve(name).await?,
    };
    let mut refusal = Refusal::NoAddress;
    for address in addresses.iter().copied().map(unmap) {
        if !may_dial(shared, workload, destination, address) {
            refusal = Refusal::AddressDenied { address };
            continue;
        }
        let socket = SocketAddr::new(address, destination.port());
        match timeout(shared.config.connect_timeout, TcpStream::connect(socket)).await {
            Ok(Ok(stream)) if leads_home(shared, destination, &stream) => {
                refusal = Refusal::AddressDenied { address };
            }
            Ok(Ok(stream)) => {
                tune(&stream, shared).map_err(Refusal::Unreachable)?;
                return Ok(stream);
            }
            Ok(Err(error)) => refusal = Refusal::Unreachable(error),
            Err(_) => refusal = Refusal::ConnectTimeout,
        }
    }
    Err(refusal)
}

/// What the workload allows, but never a port of our own, however it is named:
/// an enclave has no business on the admin port, and reaches the others by itself.
fn may_dial(shared: &Shared, workload: &Workload, destination: &Destination, address: IpAddr) -> bool {
    let is_own = |own: &SocketAddr| {
        own.port() == destination.port()
            && (unmap(own.ip()) == address
                || own.ip().is_unspecified() && (address.is_loopback() || address.is_unspecified()))
    };
    workload.allows_address(destination, address) && !shared.config.own_addresses.iter().any(is_own)
}

/// Whether a connection arrived at this machine, on a port of our own that
/// listens on every address: both ends are one address then.
fn leads_home(shared: &Shared, destination: &Destination, stream: &TcpStream) -> bool {
    let everywhere = |own: &SocketAddr| own.port() == destination.port() && own.ip().is_unspecified();
    if !shared.config.own_addresses.iter().any(everywhere) {
        return false;
    }
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(peer)) => local.ip() == peer.ip(),
        _ => true,
    }
}

/// What every TCP connection of a tunnel is given: no delay for small writes,
/// and probes that find a peer that is gone.
pub(super) fn tune(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    // The kernel counts whole seconds and refuses none.
    let idle = shared.config.keepalive.max(Duration::from_secs(1));
    let probes = TcpKeepalive::new().with_time(idle);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}
