use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU16,
    str::FromStr,
};

use countersign_protocol::unmap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::door::Place;
use crate::{
    relay::{Early, End, Side, relay},
    transport::{Address, Dial, Listen, Listener, Stream, TransportError, set_remote},
};

/// One way in: a port of the parent machine, and where in the enclave it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressRoute {
    /// At which addresses of the parent; `None`: all of them, IPv4 and IPv6.
    pub address: Option<IpAddr>,
    /// The parent's port. The enclave's too, unless `to` says otherwise.
    pub port: NonZeroU16,
    /// Where to; `None`: the enclave's vsock port of the same number.
    pub to: Option<Address>,
}

impl IngressRoute {
    /// A port at every address, that leads to the same port of the enclave.
    pub fn of_port(port: NonZeroU16) -> Self {
        Self { address: None, port, to: None }
    }

    /// Where it leads in the enclave with that CID.
    pub fn target(&self, cid: Option<u32>) -> Option<Address> {
        let same = cid.map(|cid| Address::Vsock { cid, port: self.port.get().into() });
        self.to.clone().or(same)
    }

    /// Starts to listen.
    ///
    /// # Errors
    /// What the system says.
    pub(super) async fn bind(&self) -> io::Result<Listener> {
        let port = self.port.get();
        if let Some(address) = self.address {
            return Listen::Tcp((address, port).into()).bind().await;
        }
        // One socket for both families; where there is no IPv6, one for IPv4.
        match listen_on_both(port) {
            Err(why) if why.raw_os_error() == Some(NO_IPV6) => {
                Listen::Tcp((Ipv4Addr::UNSPECIFIED, port).into()).bind().await
            }
            listener => listener.map(Listener::Tcp),
        }
    }
}

fn listen_on_both(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    set_remote(&socket)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// `PORT`, `ADDRESS:PORT`, each with `=vsock:CID:PORT` or `=unix:/path` behind it.
impl FromStr for IngressRoute {
    type Err = IngressError;

    fn from_str(text: &str) -> Result<Self, IngressError> {
        let (from, to) = text.split_once('=').map_or((text, None), |(from, to)| (from, Some(to)));
        let to = to.map(|to| match to.parse().map_err(IngressError::To)? {
            Dial::Vsock { cid, port } => Ok(Address::Vsock { cid, port }),
            Dial::Unix(path) => Ok(Address::Unix(path)),
            _ => Err(IngressError::NotLocal),
        });
        let (address, port) = match from.parse::<SocketAddr>() {
            Ok(from) => (Some(unmap(from.ip())), from.port()),
            Err(_) => (None, from.parse().map_err(|_| IngressError::From)?),
        };
        Ok(Self { address, port: NonZeroU16::new(port).ok_or(IngressError::From)?, to: to.transpose()? })
    }
}

impl fmt::Display for IngressRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => SocketAddr::new(address, self.port.get()).fmt(f)?,
            None => self.port.fmt(f)?,
        }
        self.to.as_ref().map_or(Ok(()), |to| write!(f, "={to}"))
    }
}

/// Why text is no way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressError {
    /// Neither a port nor an address and port of this machine.
    From,
    /// Behind the `=` stands no transport.
    To(TransportError),
    /// Behind the `=` stands something that no enclave is reached by.
    NotLocal,
}

impl fmt::Display for IngressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::From => "write PORT or ADDRESS:PORT, with a port from 1 to 65535",
            Self::To(_) | Self::NotLocal => "behind the =, write vsock:CID:PORT or unix:/path",
        })
    }
}

impl std::error::Error for IngressError {}

/// Carries one connection into the enclave. What cannot be carried is reset, so
/// that a load balancer sees at once that nobody serves here.
pub(super) async fn serve(caller: Stream, target: Address, cut: CancellationToken, place: Place) {
    let enclave = match cut.run_until_cancelled(target.connect()).await {
        Some(Ok(enclave)) => enclave,
        Some(Err(why)) => {
            warn!(to = %target, code = "ingress-unreachable", "{}", crate::attest::chain(&why));
            return caller.abort();
        }
        None => return caller.abort(),
    };
    let report = relay(caller, enclave, Early::default(), Some(&cut)).await;
    match report.end {
        End::Cut => info!(to = %target, code = "ingress-cut", "cut: stopping"),
        end => debug!(to = %target, code = "ingress-ended", up = report.up, down = report.down, "{end}"),
    }
    drop(place);
}

/// socket(2): EAFNOSUPPORT.
const NO_IPV6: i32 = 97;

/// The kernel takes less where `net.core.somaxconn` is less.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_in_are_read_as_they_are_written() {
        for (text, target) in [
            ("3000", "vsock:16:3000"),
            ("127.0.0.1:3000", "vsock:16:3000"),
            ("[::1]:3000", "vsock:16:3000"),
            ("443=vsock:17:8443", "vsock:17:8443"),
            ("443=unix:/run/enclave.sock", "unix:/run/enclave.sock"),
        ] {
            let route: IngressRoute = text.parse().unwrap();
            assert_eq!(route.to_string(), text);
            assert_eq!(route.target(Some(16)).unwrap().to_string(), target, "{text}");
        }
        assert_eq!(IngressRoute::of_port(NonZeroU16::MIN).target(None), None);
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, error) in [
            ("", IngressError::From),
            ("0", IngressError::From),
            ("65536", IngressError::From),
            ("localhost:3000", IngressError::From),
            ("3000=", IngressError::To(TransportError::Scheme)),
            ("3000=4000", IngressError::To(TransportError::Scheme)),
            ("3000=tcp:db.internal:5432", IngressError::NotLocal),
        ] {
            assert_eq!(text.parse::<IngressRoute>(), Err(error), "{text:?}");
        }
    }
}
