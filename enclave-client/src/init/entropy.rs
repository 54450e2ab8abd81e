use std::{fmt, io};

use super::Step;
use crate::device::{DeviceError, Entropy};

/// Takes entropy in and counts it.
pub trait EntropyPool {
    /// Mixes `bytes` in and credits eight bits for each.
    ///
    /// # Errors
    /// What the system says: it takes privilege.
    fn credit(&self, bytes: &[u8]) -> io::Result<()>;
}

/// Hands what the device gives to the pool.
///
/// A virtual machine without disk, network or clock drift has little that its
/// host cannot watch or replay. The NSM's generator belongs to the Nitro card;
/// its bytes count in full.
///
/// # Errors
/// [`EntropyError`].
pub fn credit(device: &dyn Entropy, pool: &dyn EntropyPool) -> Result<Step, EntropyError> {
    let Some(bytes) = device.random().map_err(EntropyError::Device)? else {
        return Ok(Step::NotNeeded);
    };
    if bytes.len() < ENOUGH {
        return Err(EntropyError::TooFew { actual: bytes.len() });
    }
    pool.credit(&bytes).map_err(EntropyError::Pool)?;
    Ok(Step::Done(format!("{} random bytes of the NSM credited to the kernel", bytes.len())))
}

/// The kernel's generator is seeded with 256 bits (random(4)).
const ENOUGH: usize = 32;

/// Why the kernel got no entropy.
#[derive(Debug)]
pub enum EntropyError {
    /// The device failed.
    Device(DeviceError),
    /// It gave too little to be worth a credit.
    TooFew {
        /// So many bytes.
        actual: usize,
    },
    /// The kernel did not take it.
    Pool(io::Error),
}

impl fmt::Display for EntropyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(_) => f.write_str("the device gave no random bytes"),
            Self::TooFew { actual } => {
                write!(f, "the device gave {actual} random bytes; {ENOUGH} are the least to be credited")
            }
            Self::Pool(_) => f.write_str("the kernel took no entropy"),
        }
    }
}

impl std::error::Error for EntropyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Device(why) => Some(why),
            Self::Pool(why) => Some(why),
            Self::TooFew { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    struct Gives(Option<Vec<u8>>);

    impl Entropy for Gives {
        fn random(&self) -> Result<Option<Vec<u8>>, DeviceError> {
            Ok(self.0.clone())
        }
    }

    #[derive(Default)]
    struct Taken(RefCell<Vec<Vec<u8>>>);

    impl EntropyPool for Taken {
        fn credit(&self, bytes: &[u8]) -> io::Result<()> {
            self.0.borrow_mut().push(bytes.to_vec());
            Ok(())
        }
    }

    #[test]
    fn what_the_device_gives_is_credited_once() {
        let pool = Taken::default();
        assert_eq!(credit(&Gives(None), &pool).unwrap(), Step::NotNeeded);
        assert!(pool.0.borrow().is_empty());
        let done = credit(&Gives(Some(vec![7; 256])), &pool).unwrap();
        assert_eq!(done, Step::Done("256 random bytes of the NSM credited to the kernel".to_owned()));
        assert_eq!(*pool.0.borrow(), [vec![7; 256]]);
    }

    #[test]
    fn a_trickle_is_not_credited() {
        let pool = Taken::default();
        let error = credit(&Gives(Some(vec![7; 31])), &pool).unwrap_err();
        assert!(matches!(error, EntropyError::TooFew { actual: 31 }), "{error}");
        assert!(pool.0.borrow().is_empty());
    }
}
