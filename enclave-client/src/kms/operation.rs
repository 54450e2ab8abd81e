use std::{fmt, str::FromStr};

/// The name of an operation, from `X-Amz-Target: TrentService.NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operation(Box<str>);

impl Operation {
    /// Reads the header.
    ///
    /// # Errors
    /// [`OperationError::Target`] when it is another service's, else as for [`FromStr`].
    pub fn from_target(target: &str) -> Result<Self, OperationError> {
        target.strip_prefix("TrentService.").ok_or(OperationError::Target)?.parse()
    }

    /// The name: `Decrypt`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which of the five attested ones it is, if any.
    pub fn attested(&self) -> Option<Attested> {
        Attested::ALL.into_iter().find(|attested| attested.name() == self.as_str())
    }
}

impl FromStr for Operation {
    type Err = OperationError;

    fn from_str(name: &str) -> Result<Self, OperationError> {
        if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            Ok(Self(name.into()))
        } else {
            Err(OperationError::Name)
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The operations that take `Recipient` (KMS API reference, RecipientInfo); no other does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attested {
    /// `Decrypt`.
    Decrypt,
    /// `GenerateDataKey`.
    GenerateDataKey,
    /// `GenerateDataKeyPair`.
    GenerateDataKeyPair,
    /// `GenerateRandom`.
    GenerateRandom,
    /// `DeriveSharedSecret`.
    DeriveSharedSecret,
}

impl Attested {
    /// All five.
    pub const ALL: [Self; 5] = [
        Self::Decrypt,
        Self::GenerateDataKey,
        Self::GenerateDataKeyPair,
        Self::GenerateRandom,
        Self::DeriveSharedSecret,
    ];

    /// The operation's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decrypt => "Decrypt",
            Self::GenerateDataKey => "GenerateDataKey",
            Self::GenerateDataKeyPair => "GenerateDataKeyPair",
            Self::GenerateRandom => "GenerateRandom",
            Self::DeriveSharedSecret => "DeriveSharedSecret",
        }
    }

    /// The member of the answer that KMS leaves empty, and that is filled in here.
    pub fn plaintext(self) -> &'static str {
        match self {
            Self::Decrypt | Self::GenerateDataKey | Self::GenerateRandom => "Plaintext",
            Self::GenerateDataKeyPair => "PrivateKeyPlaintext",
            Self::DeriveSharedSecret => "SharedSecret",
        }
    }
}

/// Why text names no operation of KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationError {
    /// Not `TrentService.`, which is KMS's name on the wire.
    Target,
    /// Not 1 to 64 letters and digits.
    Name,
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target => f.write_str("X-Amz-Target is not TrentService.OPERATION"),
            Self::Name => write!(f, "an operation's name has 1 to {MAX_NAME} letters and digits"),
        }
    }
}

impl std::error::Error for OperationError {}

const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_operations_are_attested_and_their_names_are_whole() {
        for attested in Attested::ALL {
            let operation = Operation::from_target(&format!("TrentService.{}", attested.name())).unwrap();
            assert_eq!(operation.attested(), Some(attested));
        }
        for name in ["Encrypt", "GenerateDataKeyWithoutPlaintext", "GenerateMac", "decrypt", "ReEncrypt"] {
            assert_eq!(name.parse::<Operation>().unwrap().attested(), None, "{name}");
        }
    }

    #[test]
    fn other_services_and_odd_names_are_refused() {
        assert_eq!(Operation::from_target("DynamoDB_20120810.GetItem"), Err(OperationError::Target));
        for name in ["", "De crypt", "Decrypt\n", &"D".repeat(65)] {
            assert_eq!(Operation::from_target(&format!("TrentService.{name}")), Err(OperationError::Name));
        }
    }
}
