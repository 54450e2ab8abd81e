//! Random numbers: identifiers and jitter.

use aws_lc_rs::rand;

/// A number from 0 to 1, both included, for jitter.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Fraction(f64);

impl Fraction {
    /// 0.
    pub const ZERO: Self = Self(0.0);
    /// One half.
    pub const HALF: Self = Self(0.5);
    /// 1.
    pub const ONE: Self = Self(1.0);

    /// A random one. If the system's generator fails, one half: jitter is no secret.
    pub fn random() -> Self {
        let mut bytes = [0; 4];
        match rand::fill(&mut bytes) {
            Ok(()) => Self(f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)),
            Err(_) => Self::HALF,
        }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// 16 hex digits that find one decision in the log.
pub fn request_id() -> String {
    let mut bytes = [0; 8];
    // Without random bytes ids repeat; nothing but a search in the log depends on them.
    let _ = rand::fill(&mut bytes);
    hex::encode(bytes)
}
