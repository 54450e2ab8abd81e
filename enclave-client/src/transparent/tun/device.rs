use std::{fs::File, io};

use ipnet::IpNet;
use smoltcp::{
    phy::{Checksum, ChecksumCapabilities, DeviceCapabilities, Medium},
    time,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::Instant,
};

use super::ioctl::open_tun;
use crate::netlink;

/// The TUN device: whole IP packets, both ways. Gone with all its routes when dropped.
#[derive(Debug)]
pub(in super::super) struct Tun {
    file: AsyncFd<File>,
    index: u32,
    start: Instant,
}

impl Tun {
    /// Makes the device, without an address or a route yet.
    ///
    /// # Errors
    /// Of the system: no `/dev/net/tun`, no CAP_NET_ADMIN, or a device of that name in use.
    pub(in super::super) fn new() -> io::Result<Self> {
        let file = open_tun(NAME)?;
        let index = netlink::index_of(NAME)?;
        netlink::device_up(index, MTU, QUEUE)?;
        Ok(Self { file, index, start: Instant::now() })
    }

    /// Routes a network to the device.
    pub(in super::super) fn route(&self, network: IpNet) -> io::Result<()> {
        netlink::route_to_device(network, self.index)
    }

    /// Gives the device an address, from which programs connect to what is routed to it.
    pub(in super::super) fn take_address(&self, address: std::net::IpAddr) -> io::Result<()> {
        netlink::add_address(address, self.index)
    }

    /// The next packet that the kernel sends.
    pub(super) async fn receive(&self, packet: &mut [u8]) -> io::Result<usize> {
        self.file.async_io(Interest::READABLE, |mut file| io::Read::read(&mut file, packet)).await
    }

    /// Hands a packet to the kernel. One that it does not take is lost, as on any wire: TCP sends it again.
    pub(super) fn send(&self, packet: &[u8]) {
        let mut file = self.file.get_ref();
        let _ = io::Write::write(&mut file, packet);
    }

    /// The stack's clock.
    pub(super) fn now(&self) -> time::Instant {
        time::Instant::from_micros(i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// A time of the stack's clock, for tokio's.
    pub(super) fn when(&self, time: time::Instant) -> Instant {
        let micros = u64::try_from(time.total_micros()).unwrap_or_default();
        self.start + std::time::Duration::from_micros(micros)
    }

    /// What the stack must know. What the kernel of this very machine sends was damaged nowhere, so
    /// sums are not verified; the kernel verifies ours.
    pub(super) fn capabilities() -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU as usize;
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities.checksum.udp = Checksum::Tx;
        capabilities
    }
}

/// One in each network namespace: the resolver's port is one too.
const NAME: &str = "countersign";

/// Bytes in a packet. A few of them fill a window, which is better than many small ones, each with
/// its costs, and than one, whose acknowledgement everything would wait for.
pub(super) const MTU: u32 = 16_384;

/// Packets that wait for us in the kernel; a full window of 64 KiB is five.
const QUEUE: u32 = 10_000;
