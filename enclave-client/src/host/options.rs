use std::{error::Error, fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

use countersign_protocol::wire;

use super::{IngressRoute, limit::LoadError};
use crate::transport::{Address, Listen};

/// What the host half carries, and between where.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Where the enclave's requests come in.
    pub egress: Listen,
    /// Where the enclave's log lines come in, if anywhere.
    pub logs: Option<Listen>,
    /// The enclave: vsock connections of others are dropped, ingress and health go there.
    pub cid: Option<u32>,
    /// The ways in.
    pub ingress: Vec<IngressRoute>,
    /// The outer limit.
    pub rules: Rules,
    /// Where `GET /healthz` is answered, if anywhere.
    pub health: Option<SocketAddr>,
    /// At a time, of egress and of ingress each.
    pub connections: usize,
    /// For open connections to end after the stop.
    pub drain: Duration,
}

/// Where the outer limit comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// From `EgressRuleSet` files and directories of them. None: nothing passes.
    Sets(Vec<PathBuf>),
    /// There is none: the enclave's own policy alone decides.
    Unlimited,
}

impl HostOptions {
    /// Where the enclave answers for itself.
    pub(super) fn health_port(&self) -> Option<Address> {
        self.cid.map(|cid| Address::Vsock { cid, port: wire::ENCLAVE_HEALTH_PORT })
    }
}

/// Why the host half does not start.
#[derive(Debug)]
pub enum HostError {
    /// The rule sets.
    Rules(LoadError),
    /// Something cannot be listened on.
    Listen(String, io::Error),
    /// An ingress port without an enclave that it could lead to.
    NoCid(IngressRoute),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rules(_) => f.write_str("the egress rule sets cannot be read"),
            Self::Listen(at, why) if why.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "{at}: taken: does another host half run on this machine?")
            }
            Self::Listen(at, _) if at.starts_with("vsock:") => write!(
                f,
                "{at}: cannot be listened on: on a Nitro parent, load the module vhost_vsock or nitro_enclaves; \
                 elsewhere use unix:/path"
            ),
            Self::Listen(at, _) => write!(f, "{at}: cannot be listened on"),
            Self::NoCid(route) => write!(
                f,
                "ingress {route}: where to? Give the enclave's --cid (nitro-cli describe-enclaves shows it), or \
                 write {route}=unix:/path"
            ),
        }
    }
}

impl Error for HostError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Rules(why) => Some(why),
            Self::Listen(_, why) => Some(why),
            Self::NoCid(_) => None,
        }
    }
}
