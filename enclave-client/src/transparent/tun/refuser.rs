use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use smoltcp::iface::{Interface, SocketSet};

use super::{Tun, interface::interface_for, port::Port};

/// Answers packets that belong to nobody, as a machine does where nobody listens: TCP with a reset,
/// UDP with "port unreachable".
pub(super) struct Refuser(Mutex<Interface>);

impl Refuser {
    pub(super) fn new(tun: &Tun) -> Self {
        let mut interface = interface_for(IpAddr::V4(Ipv4Addr::LOCALHOST), tun);
        let _ = interface.routes_mut().add_default_ipv6_route(Ipv6Addr::LOCALHOST);
        // In the name of whichever address was dialled.
        interface.set_any_ip(true);
        Self(Mutex::new(interface))
    }

    /// Answers one.
    pub(super) fn refuse(&self, packet: &[u8], tun: &Tun) {
        let mut interface = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut nobody = SocketSet::new([]);
        interface.poll(tun.now(), &mut Port { incoming: Some(packet), tun }, &mut nobody);
    }
}
