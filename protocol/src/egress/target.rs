use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{NamePattern, TargetError};
use crate::{Host, unmap};

/// Whom a rule names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Names, by pattern.
    Name(NamePattern),
    /// Addresses, one or a network.
    Network(IpNet),
    /// The word `host`: the parent machine's loopback. No pattern ever means it.
    Host,
}

impl FromStr for Target {
    type Err = TargetError;

    /// Whatever is an address to a C resolver is one here: `2852039166` never becomes a name.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return v6(inner).map(Self::Network);
        }
        if let Some((address, _)) = text.split_once('/') {
            return if address.contains(':') { v6(text) } else { v4(text) }.map(Self::Network);
        }
        if text.contains([':', '[', ']']) {
            return v6(text).map(Self::Network);
        }
        if text.contains('*') {
            return text.parse().map(Self::Name);
        }
        match text.parse::<Host>() {
            Ok(Host::Address(address)) => Ok(Self::Network(address.into())),
            Ok(Host::Name(name)) if &*name == HOST => Ok(Self::Host),
            // For a name that is none, the pattern's error names the label.
            _ => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(pattern) => pattern.fmt(f),
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(f)
            }
            Self::Network(network) => network.fmt(f),
            Self::Host => f.write_str(HOST),
        }
    }
}

/// A network as addresses are compared with it: without host bits, and a network
/// of IPv4-mapped addresses (`::ffff:0:0/96` and inside) as the IPv4 network.
pub(super) fn canonical(network: IpNet) -> IpNet {
    let network = network.trunc();
    if let (IpNet::V6(v6), IpAddr::V4(address)) = (network, unmap(network.addr()))
        && let Some(prefix) = v6.prefix_len().checked_sub(MAPPED_PREFIX)
        && let Ok(v4) = Ipv4Net::new(address, prefix)
    {
        return v4.into();
    }
    network
}

pub(super) const HOST: &str = Host::PARENT;

fn v4(text: &str) -> Result<IpNet, TargetError> {
    let (address, prefix) = network::<Ipv4Addr>(text, 32)?;
    let prefix = prefix.unwrap_or(32);
    without_host_bits(
        Ipv4Net::new(address, prefix).map(IpNet::V4).unwrap_or_else(|_| IpAddr::V4(address).into()),
    )
}

fn v6(text: &str) -> Result<IpNet, TargetError> {
    let (address, prefix) = network::<Ipv6Addr>(text, 128)?;
    let prefix = prefix.unwrap_or(128);
    without_host_bits(
        Ipv6Net::new(address, prefix).map(IpNet::V6).unwrap_or_else(|_| IpAddr::V6(address).into()),
    )
}

fn network<A: FromStr>(text: &str, limit: u8) -> Result<(A, Option<u8>), TargetError> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let bad_address = |_| TargetError::BadAddress { text: address.into() };
    let address: A = address.parse().map_err(bad_address)?;
    let prefix = prefix.map(|prefix| prefix_length(prefix, limit)).transpose()?;
    Ok((address, prefix))
}

fn prefix_length(text: &str, limit: u8) -> Result<u8, TargetError> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let length = text.parse().ok().filter(|&length: &u8| plain && length <= limit);
    length.ok_or_else(|| TargetError::BadPrefix { text: text.into(), limit })
}

fn without_host_bits(network: IpNet) -> Result<IpNet, TargetError> {
    let meant = canonical(network);
    if network.trunc() == network { Ok(meant) } else { Err(TargetError::HostBits { network: meant }) }
}

const MAPPED_PREFIX: u8 = 96;
