use std::{fmt, path::PathBuf, str::FromStr};

use countersign_protocol::{Destination, DestinationError};

use super::{Dial, Listen};

/// `tcp:host:port`, `unix:/absolute/path` or `vsock:cid:port`.
impl FromStr for Dial {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        match text.split_once(':') {
            Some(("tcp", rest)) => {
                rest.parse::<Destination>().map(Self::Tcp).map_err(TransportError::Destination)
            }
            Some(("unix", path)) => unix(path),
            Some(("vsock", rest)) => {
                let (cid, port) = parse_vsock(rest).ok_or(TransportError::Vsock)?;
                Ok(Self::Vsock { cid, port })
            }
            _ => Err(TransportError::Scheme),
        }
    }
}

/// `tcp:address:port`, `unix:/absolute/path` or `vsock:port`.
impl FromStr for Listen {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        match text.split_once(':') {
            Some(("tcp", rest)) => rest.parse().map(Self::Tcp).map_err(|_| TransportError::ListenTcp),
            Some(("unix", rest)) => match unix(rest)? {
                Dial::Unix(path) => Ok(Self::Unix(path)),
                _ => Err(TransportError::UnixPath),
            },
            Some(("vsock", rest)) => vsock_number(rest).map(Self::Vsock).ok_or(TransportError::ListenVsock),
            _ => Err(TransportError::ListenScheme),
        }
    }
}

/// `cid:port`, both decimal u32, neither the wildcard (vsock(7): `VMADDR_CID_ANY`, `VMADDR_PORT_ANY`).
/// The parent instance is CID 3 to an enclave.
pub fn parse_vsock(text: &str) -> Option<(u32, u32)> {
    let (cid, port) = text.split_once(':')?;
    Some((vsock_number(cid)?, vsock_number(port)?))
}

fn vsock_number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.filter(|&number| number != u32::MAX)
}

/// unix(7): `sun_path` has 108 bytes, the last one a zero.
const MAX_UNIX_PATH: usize = 107;

fn unix(path: &str) -> Result<Dial, TransportError> {
    if path.starts_with('/') && path.len() <= MAX_UNIX_PATH && !path.contains('\0') {
        Ok(Dial::Unix(PathBuf::from(path)))
    } else {
        Err(TransportError::UnixPath)
    }
}

/// Why text names no transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// Not one of the three words.
    Scheme,
    /// `tcp:` with something else than a host and port.
    Destination(DestinationError),
    /// `unix:` with something else than an absolute path of at most 107 bytes.
    UnixPath,
    /// `vsock:` with something else than two decimal numbers below 4294967295.
    Vsock,
    /// Nowhere to listen: not one of the three words.
    ListenScheme,
    /// To listen: `tcp:` with something else than an address of this machine and a port.
    ListenTcp,
    /// To listen: `vsock:` with something else than one decimal number below 4294967295.
    ListenVsock,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("write tcp:host:port, unix:/path or vsock:cid:port"),
            Self::Destination(error) => write!(f, "tcp: {error}"),
            Self::UnixPath => write!(f, "unix: needs an absolute path of at most {MAX_UNIX_PATH} bytes"),
            Self::Vsock => f.write_str("vsock: needs cid:port, two decimal numbers below 4294967295"),
            Self::ListenScheme => f.write_str("write vsock:port, unix:/path or tcp:address:port"),
            Self::ListenTcp => f.write_str("tcp: needs address:port, for instance 127.0.0.1:12280"),
            Self::ListenVsock => f.write_str("vsock: needs a port, one decimal number below 4294967295"),
        }
    }
}

impl std::error::Error for TransportError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_names_its_transport() {
        let parsed = |text: &str| text.parse::<Dial>();
        assert_eq!(parsed("vsock:3:12200"), Ok(Dial::Vsock { cid: 3, port: 12200 }));
        assert_eq!(parsed("unix:/run/proxy.sock"), Ok(Dial::Unix("/run/proxy.sock".into())));
        assert_eq!(parsed("tcp:Proxy.Example.:1"), Ok(Dial::Tcp("proxy.example:1".parse().unwrap())));
    }

    #[test]
    fn where_to_listen_is_read_as_it_is_written() {
        for text in ["vsock:12280", "unix:/run/host.sock", "tcp:127.0.0.1:12280", "tcp:[::1]:0"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for (text, error) in [
            ("12280", TransportError::ListenScheme),
            ("vsock:3:12280", TransportError::ListenVsock),
            ("vsock:4294967295", TransportError::ListenVsock),
            ("tcp:localhost:1", TransportError::ListenTcp),
            ("unix:relative", TransportError::UnixPath),
        ] {
            assert_eq!(text.parse::<Listen>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn anything_else_says_what_is_missing() {
        for (text, error) in [
            ("", TransportError::Scheme),
            ("proxy.example:1", TransportError::Scheme),
            ("TCP:proxy.example:1", TransportError::Scheme),
            ("tcp:proxy.example", TransportError::Destination(DestinationError::MissingPort)),
            ("unix:relative", TransportError::UnixPath),
            ("unix:", TransportError::UnixPath),
            ("vsock:3", TransportError::Vsock),
            ("vsock::5", TransportError::Vsock),
            ("vsock:-1:5", TransportError::Vsock),
            ("vsock:+3:5", TransportError::Vsock),
            ("vsock:4294967295:5", TransportError::Vsock),
            ("vsock:3:4294967296", TransportError::Vsock),
            ("vsock:3:5:6", TransportError::Vsock),
        ] {
            assert_eq!(text.parse::<Dial>(), Err(error), "{text:?}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert_eq!(long.parse::<Dial>(), Err(TransportError::UnixPath));
    }
}
