//! An ingress port on a UNIX socket in front of an application on loopback.

use std::{
    fs,
    num::NonZeroU16,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use countersign_enclave::{
    device::{Attestor, Device, DeviceError, DocumentRequest},
    ingress::{self, IngressLimits, IngressListen},
    manifest::{IngressEntry, IngressTls},
};
use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm};
use tokio::net::{TcpListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// The port, and the application's listener behind it.
pub struct Rig {
    pub root_der: Vec<u8>,
    pub application: TcpListener,
    pub socket: PathBuf,
    _stop: tokio_util::sync::DropGuard,
    _directory: Directory,
}

impl Rig {
    pub async fn start(tls: IngressTls) -> Self {
        Self::with_limits(tls, IngressLimits::default()).await
    }

    pub async fn with_limits(tls: IngressTls, limits: IngressLimits) -> Self {
        let directory = Directory::new();
        let application = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen_port = NonZeroU16::new(application.local_addr().unwrap().port()).unwrap();
        let root = SimulatedRoot::generate(now_ms()).unwrap();
        let device = Device::new(Simulated(SoftwareNsm::new(&root, Module::from_image("app"))));
        let stop = CancellationToken::new();
        let listen = IngressListen::UnixDirectory(directory.0.clone());
        let entries = [IngressEntry { listen_port, tls }];
        ingress::start(&entries, &listen, &device, limits, &stop).await.unwrap();
        let socket = directory.0.join(format!("{listen_port}.sock"));
        let root_der = root.root_der().to_vec();
        Self { root_der, application, socket, _stop: stop.drop_guard(), _directory: directory }
    }

    pub async fn attested() -> Self {
        Self::start(attested()).await
    }

    pub async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }
}

pub fn attested() -> IngressTls {
    IngressTls::Attested { names: vec!["in.example".to_owned()] }
}

/// A certificate for `in.example` in two files.
pub fn files(directory: &Path) -> IngressTls {
    let made = rcgen::generate_simple_self_signed(["in.example".to_owned()]).unwrap();
    let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    IngressTls::Files { certificate, key }
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// The simulated device behind the enclave's own seam.
struct Simulated(SoftwareNsm);

impl Attestor for Simulated {
    fn attest(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
        let DocumentRequest { public_key, user_data, nonce } = request;
        let request = AttestationRequest {
            public_key: Some(public_key),
            user_data: Some(user_data),
            nonce: Some(nonce),
        };
        Ok(self.0.attest(now_ms(), &request).unwrap())
    }
}

/// Removed when the test ends.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("countersign-in-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
