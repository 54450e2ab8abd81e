use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use countersign_protocol::{Destination, Host, egress::EgressPolicy};

use super::EgressError;
use crate::transport::{Address, Dial, Stream, connect_first};

/// Resolves a destination that the policy lets pass, judges each address, and
/// dials those that may be dialled, and no others, until one takes a connection. Gives that address too.
pub(super) async fn open(
    destination: &Destination,
    policy: &EgressPolicy,
) -> Result<(Stream, IpAddr), EgressError> {
    let addresses = addresses(destination, policy).await?;
    if addresses.is_empty() {
        return Err(EgressError::NoAddress);
    }
    let (stream, address) = connect_first(addresses).await.map_err(EgressError::Dial)?;
    Ok((stream, address.ip()))
}

/// The addresses that were judged; none of those that were not.
async fn addresses(destination: &Destination, policy: &EgressPolicy) -> Result<Vec<SocketAddr>, EgressError> {
    match destination.host() {
        // Judged as what was asked for: for these that is the whole judgement.
        Host::Address(address) => return Ok(vec![SocketAddr::new(*address, destination.port())]),
        Host::Name(name) if &**name == Host::PARENT => {
            return Ok(vec![(Ipv4Addr::LOCALHOST, destination.port()).into()]);
        }
        Host::Name(_) => {}
    }
    let found = Dial::Tcp(destination.clone()).resolve().await.map_err(EgressError::Dial)?;
    let mut allowed = Vec::new();
    let mut denied = None;
    for address in found {
        let Address::Tcp(address) = address else { continue };
        match policy.judge_address(destination, address.ip()) {
            Ok(()) => allowed.push(address),
            Err(denial) => denied = Some(EgressError::denied(destination, &denial)),
        }
    }
    match denied {
        Some(denied) if allowed.is_empty() => Err(denied),
        _ => Ok(allowed),
    }
}
