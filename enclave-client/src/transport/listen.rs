use std::{
    fmt, io,
    net::SocketAddr,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixStream};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};

use super::{Stream, UnixDoor, set_remote};

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
    Unix(UnixDoor),
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
            Self::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                set_remote(&listener)?;
                Ok(Listener::Tcp(listener))
            }
            Self::Unix(path) => {
                remove_dead_socket(path).await?;
                UnixDoor::bind(path).map(Listener::Unix)
            }
            Self::Vsock(port) => {
                VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, *port)).map(Listener::Vsock)
            }
        }
    }
}

/// What a dead process left behind is in the way of bind(2). A socket that somebody
/// listens on is theirs, and anything but a socket is no business of ours.
async fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
    }
    match UnixStream::connect(path).await {
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(why) if why.kind() != io::ErrorKind::WouldBlock => Err(why),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl Listener {
    /// The next connection. Loses nothing when dropped.
    ///
    /// # Errors
    /// What the system says; the listener goes on.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(door) => door.accept().await.map(Stream::Unix),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_dead_socket_is_replaced() {
        let path = std::env::temp_dir().join(format!("cs-listen-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let at = Listen::Unix(path.clone());
        std::fs::write(&path, "somebody's").unwrap();
        assert_eq!(at.bind().await.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's");
        std::fs::remove_file(&path).unwrap();
        let living = at.bind().await.unwrap();
        assert_eq!(at.bind().await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(living);
        at.bind().await.unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
