use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    path::PathBuf,
    str::FromStr,
};

use crate::transport::Listen;

/// Where the ports of the manifest are listened on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IngressListen {
    /// The enclave's virtio socket: the host half connects there.
    #[default]
    Vsock,
    /// A UNIX socket `PORT.sock` for each port in this directory.
    UnixDirectory(PathBuf),
    /// TCP at this address. The application holds the same port at 127.0.0.1, so it must be another one.
    Tcp(IpAddr),
}

impl IngressListen {
    /// The place of one port.
    pub fn at(&self, port: NonZeroU16) -> Listen {
        match self {
            Self::Vsock => Listen::Vsock(u32::from(port.get())),
            Self::UnixDirectory(directory) => Listen::Unix(directory.join(format!("{port}.sock"))),
            Self::Tcp(address) => Listen::Tcp(SocketAddr::new(*address, port.get())),
        }
    }
}

/// `vsock`, `unix:/directory` or `tcp:address`.
impl FromStr for IngressListen {
    type Err = IngressListenError;

    fn from_str(text: &str) -> Result<Self, IngressListenError> {
        match text.split_once(':') {
            None if text == "vsock" => Ok(Self::Vsock),
            Some(("unix", directory)) if directory.starts_with('/') => {
                Ok(Self::UnixDirectory(PathBuf::from(directory)))
            }
            Some(("tcp", address)) => address.parse().map(Self::Tcp).map_err(|_| IngressListenError),
            _ => Err(IngressListenError),
        }
    }
}

/// Text names no place to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngressListenError;

impl fmt::Display for IngressListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write vsock, unix:/directory or tcp:address (without a port)")
    }
}

impl std::error::Error for IngressListenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_gives_a_port_its_place() {
        let port = NonZeroU16::new(8443).unwrap();
        let at = |text: &str| text.parse::<IngressListen>().map(|listen| listen.at(port).to_string());
        assert_eq!(at("vsock").as_deref(), Ok("vsock:8443"));
        assert_eq!(at("unix:/run/in").as_deref(), Ok("unix:/run/in/8443.sock"));
        assert_eq!(at("tcp:10.0.0.1").as_deref(), Ok("tcp:10.0.0.1:8443"));
        assert_eq!(at("tcp:::1").as_deref(), Ok("tcp:[::1]:8443"));
        for wrong in ["", "VSOCK", "vsock:3", "unix:run", "unix:", "tcp:", "tcp:localhost", "tcp:10.0.0.1:80"]
        {
            assert_eq!(at(wrong), Err(IngressListenError), "{wrong:?}");
        }
    }
}
