//! What no safe wrapper offers: the system call TUNSETIFF (the kernel's
//! Documentation/networking/tuntap.rst), and to wait for a file that is no socket.
#![allow(unsafe_code)]

use std::{fs::File, io, os::unix::fs::OpenOptionsExt};

use rustix::{
    fs::OFlags,
    ioctl::{Opcode, Updater, ioctl, opcode},
};
use tokio::io::unix::AsyncFd;

/// Opens `/dev/net/tun` and makes a TUN device of that name, which lives as long as the file. Reads and
/// writes are whole IP packets and never block.
pub(super) fn open_tun(name: &str) -> io::Result<AsyncFd<File>> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let device = File::options().read(true).write(true).custom_flags(nonblocking).open("/dev/net/tun")?;
    let mut request = IfReq { name: [0; 16], flags: IFF_TUN | IFF_NO_PI, rest: [0; 22] };
    // One byte is left for the final zero.
    for (to, from) in request.name.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`. `request` has that layout and size, and is
    // borrowed for as long as the call lasts.
    unsafe { ioctl(&device, Updater::<TUNSETIFF, IfReq>::new(&mut request)) }?;
    // SAFETY: a `File` owns its descriptor, which is the same one for as long as it lives, and it is not
    // replaced while it is registered.
    unsafe { AsyncFd::register(device) }.map_err(io::Error::from)
}

/// `struct ifreq` of `linux/if.h`: a name, and a union of which TUNSETIFF uses the flags.
#[repr(C, align(8))]
struct IfReq {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// `_IOW('T', 202, int)`: the number names an int, the kernel takes a `struct ifreq`.
const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);

// linux/if_tun.h
const IFF_TUN: u16 = 0x0001;
const IFF_NO_PI: u16 = 0x1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_and_the_layout_are_those_of_the_headers() {
        assert_eq!(TUNSETIFF, 0x4004_54ca);
        assert_eq!(std::mem::size_of::<IfReq>(), 40);
        assert_eq!(std::mem::offset_of!(IfReq, flags), 16);
    }
}
