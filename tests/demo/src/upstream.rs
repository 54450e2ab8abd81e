use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::{ServerConfig, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::failure::Failure;

/// What the applications want to reach: an HTTPS server inside the demo that
/// says on a channel what happens to it.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it saw, in order.
    pub(crate) events: mpsc::Receiver<Event>,
}

/// One thing that the upstream saw.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A request arrived.
    Request {
        /// Its path.
        path: String,
    },
    /// A streaming download broke off.
    Cut {
        /// When the socket said so.
        at: Instant,
        /// How much of the answer was written until then, in bytes.
        sent: u64,
    },
}

impl Upstream {
    /// Starts it for `name`, under a CA of its own whose certificate goes to `authority` (PEM).
    ///
    /// # Errors
    /// No certificate, or no port.
    pub(crate) async fn start(name: &str, authority: &Path) -> Result<Self, Failure> {
        let (config, pem) =
            identity(name).map_err(|error| Failure::new("an upstream certificate", error.to_string()))?;
        std::fs::write(authority, pem).map_err(Failure::system("to write the demo CA"))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(Failure::system("a free port on loopback"))?;
        let address = listener.local_addr().map_err(Failure::system("the upstream's port"))?;
        let (tell, events) = mpsc::channel(EVENTS);
        tokio::spawn(accept(listener, TlsAcceptor::from(config), tell));
        Ok(Self { address, events })
    }

    /// The next event that `wanted` takes; others are dropped.
    ///
    /// # Errors
    /// The upstream is gone.
    pub(crate) async fn next<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> Result<T, Failure> {
        while let Some(event) = self.events.recv().await {
            if let Some(found) = wanted(event) {
                return Ok(found);
            }
        }
        Err(Failure::new("an event of the upstream", "the end of the upstream"))
    }
}

/// What `/` answers.
pub(crate) const GREETING: &str = "the vault greets whoever came through the tunnel\n";

async fn accept(listener: TcpListener, tls: TlsAcceptor, tell: mpsc::Sender<Event>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: give others time to close theirs.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(serve(stream, tls.clone(), tell.clone()));
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, tell: mpsc::Sender<Event>) {
    // A visitor that breaks off is his own affair: the story looks at events.
    let Ok(Ok(stream)) = timeout(HEAD_DEADLINE, tls.accept(stream)).await else { return };
    let _ = answer(stream, tell).await;
}

async fn answer(mut stream: TlsStream<TcpStream>, tell: mpsc::Sender<Event>) -> io::Result<()> {
    let path = timeout(HEAD_DEADLINE, path(&mut stream)).await??;
    let streaming = path == STREAM;
    // Nobody listens only when the story is over.
    let _ = tell.send(Event::Request { path }).await;
    if streaming {
        let (at, sent) = stream_until_cut(stream).await;
        let _ = tell.send(Event::Cut { at, sent }).await;
        return Ok(());
    }
    let length = GREETING.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{GREETING}");
    stream.write_all(head.as_bytes()).await?;
    stream.shutdown().await
}

/// Path of a download without end.
pub(crate) const STREAM: &str = "/stream";

/// Reads a request's head; the target of its first line.
async fn path(stream: &mut TlsStream<TcpStream>) -> io::Result<String> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head);
    let target = text.split(' ').nth(1).ok_or(io::ErrorKind::InvalidData)?;
    Ok(target.to_owned())
}

/// Writes a chunk every 20 ms until the connection ends; when that was, and how
/// many bytes had gone. Reads all the while: an end shows there at once.
async fn stream_until_cut(stream: TlsStream<TcpStream>) -> (Instant, u64) {
    let (mut read, mut write) = split(stream);
    let chunks = AtomicU64::new(0);
    let writing = async {
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        write.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        loop {
            ticks.tick().await;
            write.write_all(CHUNK).await?;
            write.flush().await?;
            chunks.fetch_add(1, Ordering::Relaxed);
        }
    };
    let mut byte = [0];
    tokio::select! {
        // Named, because a loop without end has no other type to end with.
        broken = writing => drop::<io::Result<()>>(broken),
        ended = read.read(&mut byte) => drop(ended),
    }
    (Instant::now(), chunks.into_inner() * CHUNK.len() as u64)
}

fn identity(name: &str) -> Result<(Arc<ServerConfig>, String), Box<dyn std::error::Error>> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "countersign demo upstream CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new([name.to_owned()])?.signed_by(&key, &authority)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    Ok((Arc::new(config), authority.pem()))
}

const CHUNK: &[u8] = b"10\r\nstill flowing...\r\n";
const BEAT: Duration = Duration::from_millis(20);
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
const MAX_HEAD: usize = 8 * 1024;
const EVENTS: usize = 64;
