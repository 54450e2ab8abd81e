//! Refusals by binding: the document answers somebody else.

use super::{Refusal, Row, excerpt};

/// The fields that an enclave fills and a caller compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BoundField {
    /// `nonce`: the caller's challenge.
    Nonce,
    /// `public_key`: the key of the enclave at the other end.
    PublicKey,
    /// `user_data`: the binder of the exchange.
    UserData,
}

/// A bound field with another value than the caller's, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRefusal {
    /// Which field.
    pub field: BoundField,
    /// What the caller wanted there. Not a secret: each of the three goes over the wire in the document.
    pub expected: Vec<u8>,
    /// What the document has; `None` when the field is null or absent.
    pub actual: Option<Vec<u8>>,
}

impl From<BindingRefusal> for Refusal {
    fn from(refusal: BindingRefusal) -> Self {
        Self::Binding(refusal)
    }
}

impl BindingRefusal {
    pub(super) fn row(&self) -> Row {
        let (missing, differs, name) = match self.field {
            BoundField::Nonce => ("nonce-missing", "nonce-mismatch", "nonce"),
            BoundField::PublicKey => ("public-key-missing", "public-key-mismatch", "public_key"),
            BoundField::UserData => ("user-data-missing", "user-data-mismatch", "user_data"),
        };
        let expected = format!("the {name} {}", excerpt(&self.expected));
        match &self.actual {
            Some(actual) => Row::new(differs, expected, excerpt(actual)),
            None => Row::new(missing, expected, "no value in that field"),
        }
    }
}
