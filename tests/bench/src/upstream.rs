use std::{
    io::{self, Write},
    mem::MaybeUninit,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use socket2::Socket;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::failure::{Context, Failure};

/// The one destination of every tunnel, on the load's core. The first byte of a connection says what it does, and is
/// sent back as soon as it is there.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

/// Sends everything back.
pub(crate) const ECHO: u8 = b'e';
/// Takes everything.
pub(crate) const SINK: u8 = b's';
/// Sends without end.
pub(crate) const SOURCE: u8 = b'd';

#[derive(Default)]
struct State {
    open: AtomicUsize,
    bytes: AtomicU64,
}

impl Upstream {
    /// Listens on a free port of loopback, on the current runtime.
    ///
    /// # Errors
    /// The system's.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("upstream")?;
        let address = listener.local_addr().context("upstream")?;
        let state = Arc::new(State::default());
        tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state })
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Ordering::Relaxed)
    }

    /// Bytes that sinks took and sources gave so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::Relaxed)
    }

    /// Waits until so many connections are open, or none more comes for too long.
    ///
    /// # Errors
    /// How many are open instead.
    pub(crate) async fn settle(&self, count: usize, patience: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + patience;
        while self.open() != count {
            if Instant::now() > deadline {
                return Err(Failure::new(format!("{} connections upstream instead of {count}", self.open())));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            state.open.fetch_add(1, Ordering::Relaxed);
            // However a tunnel ends is the driver's to judge.
            let _ = serve(stream, &state).await;
            state.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn serve(mut stream: TcpStream, state: &Arc<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // No TIME_WAIT, neither here nor at the proxy.
    stream.set_zero_linger()?;
    let mut bytes = [0; 64];
    loop {
        let read = stream.read(&mut bytes).await?;
        let Some(some) = bytes.get(..read).filter(|some| !some.is_empty()) else { return Ok(()) };
        stream.write_all(some).await?;
        let work: fn(&Socket, &State) -> io::Result<()> = match some.first() {
            Some(&SINK) => sink,
            Some(&SOURCE) => source,
            _ => continue,
        };
        let socket = Socket::from(stream.into_std()?);
        socket.set_nonblocking(false)?;
        let state = Arc::clone(state);
        return tokio::task::spawn_blocking(move || work(&socket, &state)).await?;
    }
}

/// Takes bytes without copying them out of the kernel: tcp(7), MSG_TRUNC.
fn sink(socket: &Socket, state: &State) -> io::Result<()> {
    let mut room = vec![MaybeUninit::uninit(); BULK];
    loop {
        match socket.recv_with_flags(&mut room, libc::MSG_TRUNC)? {
            0 => return Ok(()),
            taken => state.bytes.fetch_add(taken as u64, Ordering::Relaxed),
        };
    }
}

fn source(mut socket: &Socket, state: &State) -> io::Result<()> {
    let bytes = vec![0x5a; BULK];
    loop {
        let given = socket.write(&bytes)?;
        state.bytes.fetch_add(given as u64, Ordering::Relaxed);
    }
}

/// Bytes of one system call.
const BULK: usize = 256 * 1024;
