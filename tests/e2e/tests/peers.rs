//! Two enclaves with the real public proxy between them: it carries, and reads nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroU16,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use countersign_e2e::{PATIENCE, Proxy, SERVER_NAME, Scratch, Setup, now_ms};
use countersign_enclave::{
    attest::{Boot, Keeper, Nudge, ProxySite, SiteConfig, Status},
    device::{Device, Software},
    egress::{Egress, Outer, Way},
    ingress::IngressListen,
    key::EnclaveKey,
    manifest::{Manifest, ProxyEntry},
    peers::{
        Service,
        config::{ConfigSigner, ConfigText, Verifiers},
    },
    pool::{Gateway, Pool},
};
use countersign_protocol::{
    egress::EgressPolicy,
    peer::{PeerConfig, PeerConfigFields, PeerMeasurement, Serial, TrustRoot, Validity},
};
use countersign_simulator::Module;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_peer_is_reached_through_the_public_proxy_and_the_proxy_sees_ciphertext() {
    let road = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = road.local_addr().unwrap();
    let proxy = Proxy::start(Setup::to(&[at])).await;
    let stop = CancellationToken::new();
    let scratch = Scratch::new("peers");
    let directory = scratch.path();
    let root = proxy.root_directory();
    let verifiers = || Verifiers::danger_simulated(&fs::read(root.join("root.der")).unwrap()).unwrap();
    let device = |image| Device::new(Software::danger_load(&root, image).unwrap());
    let signer = ConfigSigner::from_pem(RFC_8410.as_bytes()).unwrap();
    fs::write(directory.join("signer.pem"), signer.public_pem().unwrap()).unwrap();
    put(directory, "callers", &signer, "payments-1.0", &[]);
    put(directory, "ledger", &signer, "ledger-1.0", &[at.port()]);

    // The one that is called, behind the road.
    let application = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = application.local_addr().unwrap().port();
    let text = format!(
        "version: v1\npeers:\n  - {{ listenPort: {port}, configMap: callers, configSignerFile: signer.pem }}\n"
    );
    let manifest = parse(&text, directory);
    let callee = Service::start(device("ledger-1.0"), verifiers(), directory, &stop).await.unwrap();
    callee.listen(&manifest.peer_ports, &IngressListen::UnixDirectory(directory.to_owned())).await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(carry(road, directory.join(format!("{port}.sock")), seen.clone()));

    // The one that calls, through the proxy.
    let anchor = proxy.directory().join("server.pem");
    let text = format!(
        "version: v1\noutboundConnections:\n  - type: enclave\n    fqdn: {}\n    port: {}\n    configMap: ledger\n    \
         configSignerFile: signer.pem\n    proxyUrl: https://{SERVER_NAME}:8443\n    proxyAnchorFile: {}\n    \
         transport: {{ attestation: 'tcp:{}', gateway: 'tcp:{}' }}\n",
        at.ip(),
        at.port(),
        anchor.display(),
        proxy.attestation,
        proxy.gateway,
    );
    let manifest = parse(&text, directory);
    let caller = Service::start(device("payments-1.0"), verifiers(), directory, &stop).await.unwrap();
    let egress = way_out(manifest, &caller, device("payments-1.0"), &stop).await;

    let destination = at.to_string().parse().unwrap();
    let opened = timeout(PATIENCE, egress.open(&destination)).await.expect("an answer in time");
    let mut near = opened.unwrap();
    assert!(matches!(near.inner(), Way::Peer(_)));
    let (mut far, _) = application.accept().await.unwrap();
    near.write_all(SECRET).await.unwrap();
    let mut said = vec![0; SECRET.len()];
    timeout(PATIENCE, far.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(said, SECRET);
    // The road lies behind the proxy: what is ciphertext there was ciphertext to it.
    let seen = seen.lock().unwrap().clone();
    assert!(seen.len() > SECRET.len());
    assert!(!seen.windows(SECRET.len()).any(|window| window == SECRET));
    stop.cancel();
}

/// As `run` puts it together, for one proxy.
async fn way_out(
    manifest: Manifest,
    peers: &Service,
    device: Device,
    stop: &CancellationToken,
) -> Arc<Egress> {
    let Manifest { proxies, rules, peers: entries, .. } = manifest;
    let [entry] = proxies.try_into().unwrap();
    let ProxyEntry { name, attestation, gateway, gateway_port, interval, anchors, deployment, destinations } =
        entry;
    let (key, boot) = (EnclaveKey::generate().unwrap(), Arc::new(Boot::new().unwrap()));
    let gateway = Gateway::new(&name, gateway).unwrap();
    let site = SiteConfig { name, attestation, gateway_port, anchors, deployment, key, device, boot };
    let nudge = Nudge::default();
    let (keeper, mut status) = Keeper::new(ProxySite::new(site).unwrap(), interval, nudge.clone());
    let pool = Pool::new(gateway, status.clone(), nudge);
    tokio::spawn(keeper.run(stop.clone()));
    tokio::spawn(pool.clone().maintain(stop.clone()));
    let attested = status.wait_for(|status: &Status| status.session(Instant::now()).is_ok());
    timeout(PATIENCE, attested).await.expect("a session in time").unwrap();
    let gated = destinations.into_iter().map(|destination| (destination, pool.clone())).collect();
    let policy = EgressPolicy::new(rules).unwrap();
    Arc::new_cyclic(|way| Egress::new(policy, gated, Outer::Direct).with_peers(peers.outbound(&entries, way)))
}

fn parse(text: &str, directory: &Path) -> Manifest {
    let read = |file: &Path| fs::read(directory.join(file));
    Manifest::parse(text, &read).unwrap_or_else(|error| panic!("{error:?}"))
}

/// A configuration where it is mounted.
fn put(directory: &Path, name: &str, signer: &ConfigSigner, image: &str, ports: &[u16]) {
    let pcrs: BTreeMap<_, _> = Module::from_image(image).pcrs;
    let now = now_ms() / 1000;
    let config = PeerConfig::new(PeerConfigFields {
        name: name.to_owned(),
        serial: Serial(1),
        root: TrustRoot::Aws,
        validity: Validity::new(now - 3600, now + 3600).unwrap(),
        measurements: vec![PeerMeasurement::new(image, pcrs).unwrap()],
        ports: ports.iter().map(|port| NonZeroU16::new(*port).unwrap()).collect(),
        image: None,
    })
    .unwrap();
    let signature = Some(signer.sign(&config).unwrap());
    fs::create_dir_all(directory.join(name)).unwrap();
    fs::write(directory.join(name).join("peer.yaml"), ConfigText { config, signature }.write()).unwrap();
}

/// Carries connections to a socket, and keeps what passes.
async fn carry(road: TcpListener, to: PathBuf, seen: Arc<Mutex<Vec<u8>>>) {
    while let Ok((near, _)) = road.accept().await {
        let far = UnixStream::connect(&to).await.unwrap();
        let ((near_read, near_write), (far_read, far_write)) =
            (tokio::io::split(near), tokio::io::split(far));
        tokio::spawn(copy(near_read, far_write, seen.clone()));
        tokio::spawn(copy(far_read, near_write, seen.clone()));
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, seen: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 16_384];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        seen.lock().unwrap().extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

const SECRET: &[u8] = b"what one enclave says to the other is nobody else's business";

/// RFC 8410 section 10.3.
const RFC_8410: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
