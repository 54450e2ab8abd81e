use std::{fmt, io, net::SocketAddr, path::PathBuf};

use tokio::net::{TcpListener, UnixListener};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};

use super::Stream;

/// Where to take connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// TCP.
    Tcp(SocketAddr),
    /// A UNIX socket; a file left there by a dead process is replaced.
    Unix(PathBuf),
    /// A port of this machine's virtio socket, for every CID (vsock(7)).
    Vsock(u32),
}

/// An open listener.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A UNIX socket.
    Unix(UnixListener),
    /// A virtio socket.
    Vsock(VsockListener),
}

impl Listen {
    /// Starts to listen.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(&self) -> io::Result<Listener> {
        match self {
            Self::Tcp(address) => TcpListener::bind(address).await.map(Listener::Tcp),
            Self::Unix(path) => {
                match std::fs::remove_file(path) {
                    Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
                    _ => {}
                }
                UnixListener::bind(path).map(Listener::Unix)
            }
            Self::Vsock(port) => {
                VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, *port)).map(Listener::Vsock)
            }
        }
    }
}

impl Listener {
    /// The next connection. Loses nothing when dropped.
    ///
    /// # Errors
    /// What the system says; the listener goes on.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
            Self::Vsock(listener) => listener.accept().await.map(|(stream, _)| Stream::Vsock(stream)),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Vsock(port) => write!(f, "vsock:{port}"),
        }
    }
}
