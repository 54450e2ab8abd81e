//! For whom KMS encrypts: an RSA key made here, and a document that shows it, made ahead.

mod keeper;
mod key;

pub use keeper::{Recipient, RecipientError, RecipientLimits, Shown};
pub use key::{RecipientKey, RecipientKeyError};
