use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Networks, TransparentConfig, TransparentError,
    directory::{Directory, Families},
    dns::{serve_tcp, serve_udp},
    doorman::House,
    netlink,
    networks::NetworkPlan,
    resolv_conf::{DNS_PORT, RESOLVER},
};
use crate::egress::Egress;

/// The transparent mode, running until it is told to stop.
#[derive(Debug)]
pub struct Transparent {
    resolver: SocketAddr,
}

impl Transparent {
    /// Routes the pool to the loopback interface, starts the resolver on `127.0.0.1:53` and
    /// `[::1]:53`, and listens for the addresses that the rules name. Names are listened for
    /// when they are asked for. All of it ends with `stop`; the routes stay.
    ///
    /// # Errors
    /// [`TransparentError`]: a capability is missing, or the resolver's port is taken.
    pub async fn start(
        config: TransparentConfig,
        egress: Arc<Egress>,
        stop: CancellationToken,
    ) -> Result<Self, TransparentError> {
        let TransparentConfig { pool, ports, rules, networks, limits } = config;
        if ports.ports().is_empty() {
            return Err(TransparentError::NoPorts);
        }
        if !pool.is_denied_by(egress.in_force()) {
            return Err(TransparentError::PoolAllowed);
        }
        for rule in ports.left_out() {
            warn!(code = "ports-left-out", "too many ports to listen at, use the HTTP proxy for: {rule}");
        }
        netlink::loopback_up().map_err(TransparentError::Loopback)?;
        let [v4, v6] = pool.networks();
        netlink::route_to_loopback(v4).map_err(|why| TransparentError::Route { network: v4, why })?;
        let families = match netlink::route_to_loopback(v6) {
            Ok(()) => Families::Both,
            Err(why) => {
                info!("names have no IPv6 address: {v6} cannot be routed: {why}");
                Families::OnlyV4
            }
        };

        let plan = match networks {
            Networks::Routed => NetworkPlan::new(&rules, &ports, egress.in_force(), &pool),
            Networks::Untouched => NetworkPlan::default(),
        };
        let house = Arc::new(House::new(egress, limits.connections, stop.clone()));
        info!(%ports, "names are listened for at these ports");
        let directory = Arc::new(Directory::new(pool, families, ports, limits, house));
        route(plan, &directory);

        let resolver = SocketAddr::new(RESOLVER, DNS_PORT);
        resolve_at(resolver, &directory, &stop)
            .await
            .map_err(|why| TransparentError::Resolver { address: resolver, why })?;
        let second = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), DNS_PORT);
        if let Err(why) = resolve_at(second, &directory, &stop).await {
            debug!("no resolver on {second}: {why}");
        }
        Ok(Self { resolver })
    }

    /// Where names are answered, over UDP and TCP.
    pub fn resolver(&self) -> SocketAddr {
        self.resolver
    }
}

async fn resolve_at(at: SocketAddr, directory: &Arc<Directory>, stop: &CancellationToken) -> io::Result<()> {
    let udp = UdpSocket::bind(at).await?;
    let tcp = TcpListener::bind(at).await?;
    let (names, until) = (directory.clone(), stop.clone());
    tokio::spawn(async move { serve_udp(udp, &*names, until).await });
    tokio::spawn(serve_tcp(tcp, directory.clone(), stop.clone()));
    Ok(())
}

/// What cannot be routed or listened for is told, and is reachable through the HTTP proxy all the same.
fn route(plan: NetworkPlan, directory: &Directory) {
    for rule in plan.left_out {
        warn!(code = "network-left-out", "too large to listen for, use the HTTP proxy for: {rule}");
    }
    for network in plan.routes {
        if let Err(why) = netlink::route_to_loopback(network) {
            warn!(code = "network-left-out", "{network} was not routed to the loopback interface: {why}");
        }
    }
    for destination in plan.doors {
        let name = destination.to_string();
        if let Err(why) = directory.open_address(destination) {
            warn!(code = "network-left-out", "{name} cannot be listened for: {why}");
        }
    }
}
