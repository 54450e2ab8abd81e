//! A system call that no safe wrapper offers: RNDADDENTROPY (random(4)).
#![allow(unsafe_code)]

use std::{fs::File, io};

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

use super::EntropyPool;

/// The kernel's own pool. Needs CAP_SYS_ADMIN.
#[derive(Clone, Copy, Debug)]
pub struct KernelPool;

impl EntropyPool for KernelPool {
    fn credit(&self, bytes: &[u8]) -> io::Result<()> {
        let random = File::options().read(true).write(true).open("/dev/random")?;
        for chunk in bytes.chunks(CHUNK) {
            let mut info = RandPoolInfo { entropy_count: 0, buf_size: 0, buf: [0; CHUNK] };
            info.buf[..chunk.len()].copy_from_slice(chunk);
            // At most 256, so both fit.
            info.buf_size = chunk.len() as i32;
            info.entropy_count = info.buf_size * 8;
            // SAFETY: RNDADDENTROPY reads a `struct rand_pool_info` (two ints and `buf_size` bytes behind
            // them) and writes nothing back. `info` has that layout, and `buf_size` never exceeds `buf`.
            unsafe { ioctl(&random, Setter::<RNDADDENTROPY, RandPoolInfo>::new(info)) }?;
        }
        Ok(())
    }
}

/// `struct rand_pool_info` of `linux/random.h` with a body of fixed length.
#[repr(C)]
struct RandPoolInfo {
    /// In bits.
    entropy_count: i32,
    /// In bytes.
    buf_size: i32,
    buf: [u8; CHUNK],
}

const CHUNK: usize = 256;

/// `_IOW('R', 0x03, int[2])`: its number names the two leading ints only.
const RNDADDENTROPY: Opcode = opcode::write::<[i32; 2]>(b'R', 0x03);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_that_of_the_header() {
        assert_eq!(RNDADDENTROPY, 0x4008_5203);
        assert_eq!(std::mem::offset_of!(RandPoolInfo, buf), 8);
    }

    /// Adds to this machine's pool, which does no harm: more entropy is never wrong.
    #[test]
    fn the_kernel_takes_it() {
        match KernelPool.credit(&[0x5a; 300]) {
            Ok(()) => assert!(rustix::process::geteuid().is_root()),
            Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                println!("SKIPPED: crediting entropy needs CAP_SYS_ADMIN");
            }
            Err(why) => panic!("{why}"),
        }
    }
}
