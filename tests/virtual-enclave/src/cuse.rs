//! A character device in user space (Linux: `Documentation/filesystems/fuse/fuse.rst`, `linux/fuse.h`), as far as
//! a device with one ioctl over two buffers needs it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

/// Makes `/dev/NAME`, says `ready` on standard output, and serves it. Returns only with an error.
///
/// The ioctl is the NSM's: its argument points to two `iovec`s, what is asked and where the answer goes; the
/// length of the second becomes that of the answer.
pub(crate) fn serve(cuse: &Path, name: &str, mut answer: impl FnMut(&[u8]) -> Vec<u8>) -> io::Error {
    let mut device = match OpenOptions::new().read(true).write(true).open(cuse) {
        Ok(device) => device,
        Err(why) => return why,
    };
    let mut room = vec![0; ROOM];
    loop {
        let done =
            device.read(&mut room).and_then(|read| step(&mut device, name, &room[..read], &mut answer));
        if let Err(why) = done {
            return why;
        }
    }
}

fn step(
    device: &mut File,
    name: &str,
    message: &[u8],
    answer: &mut impl FnMut(&[u8]) -> Vec<u8>,
) -> io::Result<()> {
    let (opcode, unique) = (u32_at(message, 4), u64_at(message, 8));
    let body = &message[HEADER..];
    let result = match opcode {
        CUSE_INIT => Ok(init(name)),
        // fuse_open_out: a handle, flags, padding.
        OPEN => Ok(vec![0; 16]),
        RELEASE | FLUSH => Ok(Vec::new()),
        // Answered by nobody: an ioctl is over in milliseconds anyhow.
        INTERRUPT => return Ok(()),
        IOCTL => ioctl(body, answer),
        _ => Err(ENOSYS),
    };
    let (error, body) = result.map_or_else(|error| (-error, Vec::new()), |body| (0, body));
    let mut reply = Vec::with_capacity(16 + body.len());
    reply.extend(u32::try_from(16 + body.len()).unwrap().to_le_bytes());
    reply.extend(error.to_le_bytes());
    reply.extend(unique.to_le_bytes());
    reply.extend(body);
    device.write_all(&reply)?;
    if opcode == CUSE_INIT {
        // The kernel made the device while it took that answer.
        println!("ready");
    }
    Ok(())
}

/// cuse_init_out, and the device's name.
fn init(name: &str) -> Vec<u8> {
    let (major, minor, unused) = (7_u32, 31, 0);
    let mut reply = words(&[major, minor, unused, UNRESTRICTED_IOCTL, 65536, 65536]);
    // Device number: any. Spare: ten words.
    reply.extend([0; 4 * 12]);
    reply.extend(format!("DEVNAME={name}\0").bytes());
    reply
}

/// Asked three times: for the two iovecs, for the request they name, and for the answer.
fn ioctl(body: &[u8], answer: &mut impl FnMut(&[u8]) -> Vec<u8>) -> Result<Vec<u8>, i32> {
    let (command, argument) = (u32_at(body, 12), u64_at(body, 16));
    let (in_size, out_size) = (u32_at(body, 24) as usize, u32_at(body, 28) as usize);
    let given = &body[32..32 + in_size];
    if command != NSM_COMMAND {
        return Err(ENOTTY);
    }
    if given.is_empty() {
        return Ok(retry(&[(argument, IOVECS)], &[]));
    }
    let number = |at| u64_at(given, at);
    if given.len() as u64 == IOVECS {
        let (request, response) = ((number(0), number(8)), (number(16), number(24)));
        let response_length = (argument + 24, 8);
        return Ok(retry(&[(argument, IOVECS), request], &[response_length, response]));
    }
    let answer = answer(&given[IOVECS as usize..]);
    if answer.len() + 8 > out_size {
        return Err(EMSGSIZE);
    }
    let mut reply = words(&[0, 0, 0, 0]);
    reply.extend((answer.len() as u64).to_le_bytes());
    reply.extend(answer);
    Ok(reply)
}

/// fuse_ioctl_out: the kernel shall ask again with these parts of the caller's memory.
fn retry(read: &[(u64, u64)], write: &[(u64, u64)]) -> Vec<u8> {
    let mut reply =
        words(&[0, RETRY, u32::try_from(read.len()).unwrap(), u32::try_from(write.len()).unwrap()]);
    for (base, length) in read.iter().chain(write) {
        reply.extend(base.to_le_bytes());
        reply.extend(length.to_le_bytes());
    }
    reply
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// `_IOWR(0x0A, 0, 32)` of AWS's driver.
const NSM_COMMAND: u32 = 0xC020_0A00;

/// Two `struct iovec`.
const IOVECS: u64 = 32;

const HEADER: usize = 40;
const ROOM: usize = 1 << 18;

// linux/fuse.h
const OPEN: u32 = 14;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INTERRUPT: u32 = 36;
const IOCTL: u32 = 39;
const CUSE_INIT: u32 = 4096;
const UNRESTRICTED_IOCTL: u32 = 1;
const RETRY: u32 = 4;

// errno(3)
const ENOTTY: i32 = 25;
const ENOSYS: i32 = 38;
const EMSGSIZE: i32 = 90;
