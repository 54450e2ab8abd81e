//! What Nitro hardware and `nitro-cli` do, for virtual machines that have neither. Never part of a product.
//!
//! ```text
//!   virtual-guest nsm ROOT IMAGE DEVICES   in the enclave: /dev/nsm, a character device (cuse.rs) that
//!                                          answers as the NSM does (nsm.rs), under the simulator's root
//!   virtual-guest broken HOST:PORT         in the enclave: an application that can tell a reset from an end
//!   virtual-guest heartbeat                on the parent: takes the enclave's sign of life at vsock port 9000
//!   virtual-guest stranger PORT            on the parent: calls a vsock port as any process there can
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cuse;
mod nsm;

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use vsock::{VMADDR_CID_ANY, VMADDR_CID_LOCAL, VsockListener, VsockStream};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["nsm", root, image, devices] => {
            let device = nsm::Device::load(Path::new(root), image);
            let why = cuse::serve(&Path::new(devices).join("cuse"), "nsm", |request| device.answer(request));
            panic!("the device ended: {why}");
        }
        ["broken", at] => broken(at),
        ["heartbeat"] => heartbeat(),
        ["stranger", port] => call(port.parse().unwrap()),
        _ => panic!("nsm ROOT IMAGE DEVICES, broken HOST:PORT, heartbeat, or stranger PORT"),
    }
}

/// The other end sends a part, and resets when it is told that the part has come.
fn broken(at: &str) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(b"one\n").unwrap();
    let mut part = [0; 8];
    stream.read_exact(&mut part).unwrap();
    stream.write_all(b"two\n").unwrap();
    let end = stream.read(&mut [0]).map_err(|why| why.kind());
    println!("{}, then {end:?}", String::from_utf8_lossy(&part));
}

/// As `nitro-cli` does: one byte, and the same one back.
fn heartbeat() {
    let listener = VsockListener::bind_with_cid_port(VMADDR_CID_ANY, 9000).unwrap();
    println!("parent awaits a heartbeat");
    let (mut enclave, address) = listener.accept().unwrap();
    let mut byte = [0];
    enclave.read_exact(&mut byte).unwrap();
    enclave.write_all(&byte).unwrap();
    println!("parent took heartbeat {:02x} of CID {}", byte[0], address.cid());
}

/// By the machine's own loopback. Says what came back before the end.
fn call(port: u32) {
    let mut stream = VsockStream::connect_with_cid_port(VMADDR_CID_LOCAL, port).unwrap();
    let mut answer = Vec::new();
    // Reset or ended in order: it is told nothing either way.
    let _ = stream.read_to_end(&mut answer);
    println!("parent stranger was told {} bytes", answer.len());
}
