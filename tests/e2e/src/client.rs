use std::{net::SocketAddr, sync::Arc, time::Duration};

use countersign_enclave::{
    attest::{Attested, Boot, Keeper, Nudge, ProxySite, SiteConfig, Status},
    device::{Device, Software},
    egress::{Egress, Outer},
    key::EnclaveKey,
    local::{LocalProxy, LocalProxyLimits},
    manifest::{Manifest, ProxyEntry},
    pool::{Gateway, Pool},
};
use countersign_protocol::{
    Destination,
    egress::{Action, EgressPolicy, Ports, Rule},
};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Answer, PATIENCE, Proxy, SERVER_NAME, Wire};

/// The real client's parts, put together as its `run` does, without the
/// application: under this test's clock.
#[derive(Debug)]
pub struct RealClient {
    /// The local proxy.
    pub local: SocketAddr,
    status: watch::Receiver<Status>,
    _stop: DropGuard,
}

impl RealClient {
    /// A client of `proxy` that runs `image` and reaches both ports through these addresses.
    pub async fn start(
        proxy: &Proxy,
        image: &str,
        attestation: SocketAddr,
        gateway: SocketAddr,
        destinations: &[SocketAddr],
    ) -> Self {
        let text = manifest(proxy, attestation, gateway, destinations);
        let manifest =
            Manifest::parse(&text, &|file| std::fs::read(file)).unwrap_or_else(|error| panic!("{error:?}"));
        let [entry] = manifest.proxies.try_into().unwrap();
        let ProxyEntry {
            name,
            attestation,
            gateway,
            gateway_port,
            interval,
            anchors,
            deployment,
            destinations,
        } = entry;
        let device = Device::new(Software::danger_load(&proxy.root_directory(), image).unwrap());
        let (key, boot) = (EnclaveKey::generate().unwrap(), Arc::new(Boot::new().unwrap()));
        let gateway = Gateway::new(&name, gateway).unwrap();
        let site = SiteConfig { name, attestation, gateway_port, anchors, deployment, key, device, boot };
        let stop = CancellationToken::new();
        let nudge = Nudge::default();
        let (keeper, status) = Keeper::new(ProxySite::new(site).unwrap(), interval, nudge.clone());
        let pool = Pool::new(gateway, status.clone(), nudge);
        tokio::spawn(keeper.run(stop.clone()));
        tokio::spawn(pool.clone().maintain(stop.clone()));
        let local = LocalProxy::bind(0, LocalProxyLimits::default()).await.unwrap();
        let address = local.address();
        let rules = destinations.iter().map(allow).collect();
        let gated = destinations.into_iter().map(|destination| (destination, pool.clone())).collect();
        let egress = Egress::new(EgressPolicy::new(rules).unwrap(), gated, Outer::Direct);
        tokio::spawn(local.serve(Arc::new(egress), stop.clone()));
        Self { local: address, status, _stop: stop.drop_guard() }
    }

    /// The session, once there is one that lives beyond `after`.
    pub async fn attested_after(&self, after: Instant) -> Arc<Attested> {
        let mut status = self.status.clone();
        let fresh = status.wait_for(|status| status.session(after).is_ok());
        let status = timeout(PATIENCE, fresh).await.expect("a session in time").unwrap();
        status.session(after).unwrap().clone()
    }

    /// The session there is.
    pub async fn attested(&self) -> Arc<Attested> {
        self.attested_after(Instant::now()).await
    }

    /// Asks the local proxy for a tunnel.
    ///
    /// # Errors
    /// Its refusal.
    pub async fn open(&self, destination: SocketAddr) -> Result<TcpStream, Answer> {
        let mut wire = Wire::new(TcpStream::connect(self.local).await.unwrap());
        let answer = wire.connect(&destination.to_string()).await.expect("an answer of the local proxy");
        if answer.status == 200 { Ok(wire.into_inner().0) } else { Err(answer) }
    }

    /// Asks until it is given: after a trouble that the client must find out about.
    pub async fn open_again(&self, destination: SocketAddr) -> TcpStream {
        let opened = async {
            loop {
                match self.open(destination).await {
                    Ok(tunnel) => return tunnel,
                    Err(_) => sleep(LOOK_AGAIN).await,
                }
            }
        };
        timeout(PATIENCE, opened).await.expect("a tunnel in time")
    }
}

fn allow(destination: &Destination) -> Rule {
    Rule {
        action: Action::Allow,
        target: destination.host().to_string().parse().unwrap(),
        ports: Ports::Range(destination.port()..=destination.port()),
        origin: "test".into(),
    }
}

fn manifest(
    proxy: &Proxy,
    attestation: SocketAddr,
    gateway: SocketAddr,
    destinations: &[SocketAddr],
) -> String {
    let anchor = proxy.directory().join("server.pem");
    let one = |destination: &SocketAddr| {
        format!(
            "  - type: proxy\n    fqdn: \"{}\"\n    port: {}\n    proxyUrl: https://{SERVER_NAME}:8443\n    \
             proxyAnchorFile: {}\n    transport:\n      attestation: tcp:{attestation}\n      gateway: tcp:{gateway}\n",
            destination.ip(),
            destination.port(),
            anchor.display(),
        )
    };
    let list: String = destinations.iter().map(one).collect();
    format!("version: v1\noutboundConnections:\n{list}")
}

const LOOK_AGAIN: Duration = Duration::from_millis(20);
