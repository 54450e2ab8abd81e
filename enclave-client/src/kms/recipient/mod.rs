//! For whom KMS encrypts: an RSA key made here, and documents that show it.

mod key;

pub use key::{RecipientKey, RecipientKeyError};
