use std::{fmt, path::Path, str::FromStr};

use countersign_protocol::wire;

use crate::transport::{Dial, TransportError};

/// How bytes leave this machine, as `run --host` says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostWay {
    /// In an enclave through the host half, elsewhere direct.
    #[default]
    Auto,
    /// This machine has a network of its own.
    Direct,
    /// The host half listens there.
    At(Dial),
}

impl HostWay {
    /// Where the host half listens; `None`: there is none, this machine has a network.
    pub fn half(&self) -> Option<Dial> {
        match self {
            Self::Auto if Path::new(NSM).exists() => Some(PARENT),
            Self::Auto | Self::Direct => None,
            Self::At(dial) => Some(dial.clone()),
        }
    }
}

/// `auto`, `direct`, or what [`Dial`] reads.
impl FromStr for HostWay {
    type Err = HostWayError;

    fn from_str(text: &str) -> Result<Self, HostWayError> {
        match text {
            "auto" => Ok(Self::Auto),
            "direct" => Ok(Self::Direct),
            other => other.parse().map(Self::At).map_err(HostWayError),
        }
    }
}

impl fmt::Display for HostWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Direct => f.write_str("direct"),
            Self::At(dial) => dial.fmt(f),
        }
    }
}

/// Why text names no way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostWayError(TransportError);

impl fmt::Display for HostWayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "neither auto nor direct: {}", self.0)
    }
}

impl std::error::Error for HostWayError {}

/// Only a Nitro enclave has it.
const NSM: &str = "/dev/nsm";

/// The parent instance is CID 3 to its enclaves (AWS, "Nitro Enclaves concepts: vsock").
const PARENT: Dial = Dial::Vsock { cid: 3, port: wire::HOST_EGRESS_PORT };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_a_way_and_reads_back() {
        for (text, way) in [
            ("auto", HostWay::Auto),
            ("direct", HostWay::Direct),
            ("vsock:3:12280", HostWay::At(PARENT)),
            ("unix:/run/host.sock", HostWay::At(Dial::Unix("/run/host.sock".into()))),
            ("tcp:192.0.2.1:12280", HostWay::At(Dial::Tcp("192.0.2.1:12280".parse().unwrap()))),
        ] {
            assert_eq!(text.parse(), Ok(way.clone()));
            assert_eq!(way.to_string(), text);
        }
        assert_eq!("Direct".parse::<HostWay>(), Err(HostWayError(TransportError::Scheme)));
    }

    #[test]
    fn only_an_enclave_or_a_word_leads_to_the_host_half() {
        assert_eq!(HostWay::Direct.half(), None);
        assert_eq!(HostWay::At(PARENT).half(), Some(PARENT));
        assert_eq!(HostWay::Auto.half(), Path::new(NSM).exists().then_some(PARENT));
    }
}
