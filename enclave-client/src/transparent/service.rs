use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Networks, TransparentConfig, TransparentError, Way,
    directory::{Directory, Families},
    dns::{Names, listen_udp, serve_tcp, serve_udp},
    doorman::House,
    networks::NetworkPlan,
    resolv_conf::{DNS_PORT, RESOLVER},
    tun::{Book, Gate, Tun, TunPlan},
};
use crate::{egress::Egress, netlink};

/// The transparent mode, running until it is told to stop.
#[derive(Debug)]
pub struct Transparent {
    resolver: SocketAddr,
}

impl Transparent {
    /// Routes the pool to this machine, starts the resolver on `127.0.0.1:53` and `[::1]:53`, and
    /// lets connections in: to the addresses that the rules name, and to names when they have
    /// been asked for. All of it ends with `stop`; routes to the loopback interface stay.
    ///
    /// # Errors
    /// [`TransparentError`]: a capability or the TUN device is missing, or the resolver's port is taken.
    pub async fn start(
        config: TransparentConfig,
        egress: Arc<Egress>,
        stop: CancellationToken,
    ) -> Result<Self, TransparentError> {
        if !config.pool.is_denied_by(egress.in_force()) {
            return Err(TransparentError::PoolAllowed);
        }
        netlink::loopback_up().map_err(TransparentError::Loopback)?;
        let resolver = match config.way {
            Way::Listeners => resolve_at_loopback(listeners(config, egress, &stop)?, &stop).await?,
            Way::Tun => resolve_at_loopback(tun(config, egress, &stop)?, &stop).await?,
        };
        Ok(Self { resolver })
    }

    /// Where names are answered, over UDP and TCP.
    pub fn resolver(&self) -> SocketAddr {
        self.resolver
    }
}

/// The kernel's TCP: a listener for each name and port, made when the name is asked for.
fn listeners(
    config: TransparentConfig,
    egress: Arc<Egress>,
    stop: &CancellationToken,
) -> Result<Arc<Directory>, TransparentError> {
    let TransparentConfig { pool, ports, rules, networks, limits, .. } = config;
    if ports.ports().is_empty() {
        return Err(TransparentError::NoPorts);
    }
    for rule in ports.left_out() {
        warn!(code = "ports-left-out", "too many ports to listen at, use the HTTP proxy for: {rule}");
    }
    let [v4, v6] = pool.networks();
    netlink::route_to_loopback(v4).map_err(|why| TransparentError::Route { network: v4, why })?;
    let families = families(netlink::route_to_loopback(v6));
    let plan = match networks {
        Networks::Routed => NetworkPlan::new(&rules, &ports, egress.in_force(), &pool),
        Networks::Untouched => NetworkPlan::default(),
    };
    let house = Arc::new(House::new(egress, limits.connections, stop.clone()));
    info!(%ports, "names are listened for at these ports");
    let directory = Arc::new(Directory::new(pool, families, ports, limits, house));
    route(plan, &directory);
    Ok(directory)
}

/// Our own TCP behind a TUN device: every port.
fn tun(
    config: TransparentConfig,
    egress: Arc<Egress>,
    stop: &CancellationToken,
) -> Result<Arc<Book>, TransparentError> {
    let TransparentConfig { pool, rules, networks, limits, .. } = config;
    let plan = TunPlan::new(&rules, networks, &pool);
    let tun = Tun::new().map_err(TransparentError::Tun)?;
    let [v4, v6] = pool.networks();
    let route = |network: IpNet| {
        // Listeners that were here before left their route, which the kernel would prefer.
        netlink::unroute_from_loopback(network)?;
        tun.take_address(network.network())?;
        tun.route(network)
    };
    route(v4).map_err(|why| TransparentError::Route { network: v4, why })?;
    let families = families(route(v6));
    for rule in plan.left_out {
        warn!(code = "network-left-out", "may not be routed, use the HTTP proxy for: {rule}");
    }
    for network in plan.routes {
        if let Err(why) = tun.route(network) {
            warn!(code = "network-left-out", "{network} was not routed to the TUN device: {why}");
        }
    }
    let house = Arc::new(House::new(egress, limits.tun_connections, stop.clone()));
    let book = Arc::new(Book::new(pool, families, plan.edges, limits, house.clone()));
    let gate = Arc::new(Gate::new(Arc::new(tun), book.clone(), house, limits.tun_half_open));
    tokio::spawn(gate.run());
    info!("names are reached at every port that the rules allow");
    Ok(book)
}

fn families(v6: io::Result<()>) -> Families {
    match v6 {
        Ok(()) => Families::Both,
        Err(why) => {
            info!("names have no IPv6 address: the pool's IPv6 network cannot be routed: {why}");
            Families::OnlyV4
        }
    }
}

async fn resolve_at_loopback<N>(
    names: Arc<N>,
    stop: &CancellationToken,
) -> Result<SocketAddr, TransparentError>
where
    N: Names + Send + Sync + 'static,
{
    let resolver = SocketAddr::new(RESOLVER, DNS_PORT);
    resolve_at(resolver, &names, stop)
        .await
        .map_err(|why| TransparentError::Resolver { address: resolver, why })?;
    let second = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), DNS_PORT);
    if let Err(why) = resolve_at(second, &names, stop).await {
        debug!("no resolver on {second}: {why}");
    }
    Ok(resolver)
}

async fn resolve_at<N>(at: SocketAddr, names: &Arc<N>, stop: &CancellationToken) -> io::Result<()>
where
    N: Names + Send + Sync + 'static,
{
    let udp = listen_udp(at).await?;
    let tcp = TcpListener::bind(at).await?;
    let (over_udp, until) = (names.clone(), stop.clone());
    tokio::spawn(async move { serve_udp(udp, &*over_udp, until).await });
    tokio::spawn(serve_tcp(tcp, names.clone(), stop.clone()));
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
