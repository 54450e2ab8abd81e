use std::net::IpAddr;

use aws_lc_rs::rand;
use smoltcp::{
    iface::{Config, Interface},
    wire::{HardwareAddress, IpCidr},
};

use super::{Tun, port::Port};

/// An interface of the stack that answers for an address. It sends nothing by itself.
pub(super) fn interface_for(address: IpAddr, tun: &Tun) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = random_seed();
    let mut interface = Interface::new(config, &mut Port { incoming: None, tun }, tun.now());
    // The lists are new and have room for one, so nothing here fails.
    let own = IpCidr::new(address.into(), if address.is_ipv4() { 32 } else { 128 });
    interface.update_ip_addrs(|addresses| {
        let _ = addresses.push(own);
    });
    // "The gateway is myself": everybody is reached through the device.
    let _ = match address {
        IpAddr::V4(v4) => interface.routes_mut().add_default_ipv4_route(v4),
        IpAddr::V6(v6) => interface.routes_mut().add_default_ipv6_route(v6),
    };
    interface
}

/// For the first sequence numbers. If the system's generator fails they are all alike: only
/// programs of this machine could make use of that, and they share the kernel anyway.
fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    let _ = rand::fill(&mut bytes);
    u64::from_be_bytes(bytes)
}
