use std::{fmt, io, net::SocketAddr};

use ipnet::IpNet;

/// Why the transparent mode did not start.
#[derive(Debug)]
pub enum TransparentError {
    /// The loopback interface could not be taken into service.
    Loopback(io::Error),
    /// The TUN device could not be had.
    Tun(io::Error),
    /// The pool could not be routed.
    Route {
        /// What was to be routed.
        network: IpNet,
        /// What the kernel said.
        why: io::Error,
    },
    /// The resolver's port.
    Resolver {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
    /// No allow rule names a port that can be listened at.
    NoPorts,
    /// The policy lets connections to the pool pass: they would come back here for ever.
    PoolAllowed,
    /// This machine resolves names itself, and would ask the resolver that asks it.
    AsksItself,
    /// The resolver's address could not be written where programs look for it.
    ResolvConf(io::Error),
}

impl fmt::Display for TransparentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(why) => {
                f.write_str("the loopback interface was not taken into service")?;
                needs(f, why, "CAP_NET_ADMIN")
            }
            Self::Route { network, why } => {
                write!(f, "{network} was not routed to this machine")?;
                needs(f, why, "CAP_NET_ADMIN")
            }
            Self::Tun(why) if why.kind() == io::ErrorKind::NotFound => {
                f.write_str("there is no /dev/net/tun: the kernel has no TUN driver, or /dev no device file")
            }
            Self::Tun(why) => {
                f.write_str("the TUN device could not be had")?;
                needs(f, why, "CAP_NET_ADMIN")
            }
            Self::Resolver { address, why } => {
                write!(f, "the resolver cannot listen on {address}")?;
                needs(f, why, "CAP_NET_BIND_SERVICE")
            }
            Self::NoPorts => f.write_str("no allow rule names a port that can be listened at"),
            Self::PoolAllowed => f.write_str("the policy does not deny the addresses that stand for names"),
            Self::AsksItself => f.write_str(
                "without a host half names are resolved on this machine, so its /etc/resolv.conf must stay",
            ),
            Self::ResolvConf(_) => f.write_str("/etc/resolv.conf was not written"),
        }
    }
}

fn needs(f: &mut fmt::Formatter<'_>, why: &io::Error, capability: &str) -> fmt::Result {
    match why.kind() {
        io::ErrorKind::PermissionDenied => write!(f, " (it needs {capability})"),
        _ => Ok(()),
    }
}

impl std::error::Error for TransparentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Loopback(why) | Self::Tun(why) | Self::Route { why, .. } | Self::Resolver { why, .. } => {
                Some(why)
            }
            Self::ResolvConf(why) => Some(why),
            Self::NoPorts | Self::PoolAllowed | Self::AsksItself => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_is_named() {
        let denied = || io::Error::from_raw_os_error(1);
        let network = "198.18.0.0/15".parse().unwrap();
        for (error, text) in [
            (
                TransparentError::Route { network, why: denied() },
                "198.18.0.0/15 was not routed to this machine (it needs CAP_NET_ADMIN)",
            ),
            (TransparentError::Tun(denied()), "the TUN device could not be had (it needs CAP_NET_ADMIN)"),
            (
                TransparentError::Tun(io::ErrorKind::NotFound.into()),
                "there is no /dev/net/tun: the kernel has no TUN driver, or /dev no device file",
            ),
            (
                TransparentError::Resolver { address: ([127, 0, 0, 1], 53).into(), why: denied() },
                "the resolver cannot listen on 127.0.0.1:53 (it needs CAP_NET_BIND_SERVICE)",
            ),
            (
                TransparentError::Loopback(io::ErrorKind::NotFound.into()),
                "the loopback interface was not taken into service",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
