use std::{fmt, path::Path, path::PathBuf};

use rustls::pki_types::TrustAnchor;
use time::OffsetDateTime;

#[cfg(feature = "aws")]
use super::kms::{KmsKey, KmsRoot};
use super::{
    CaError,
    intermediate::{Draft, Intermediate},
    root_file::FileRoot,
};

/// Where the root's key is, as the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SessionRoot {
    /// `session-ca.pem` in the state directory, made on first use: one proxy alone.
    #[default]
    State,
    /// A file that every replica is given, never made by itself.
    File(PathBuf),
    /// A key in AWS KMS.
    #[cfg(feature = "aws")]
    Kms(KmsKey),
}

impl fmt::Display for SessionRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State => f.write_str("the state directory"),
            Self::File(path) => path.display().fmt(f),
            #[cfg(feature = "aws")]
            Self::Kms(key) => key.arn().fmt(f),
        }
    }
}

/// A root that can sign.
pub(super) enum Root {
    File(FileRoot),
    #[cfg(feature = "aws")]
    Kms(KmsRoot),
}

impl Root {
    pub(super) async fn open(
        source: &SessionRoot,
        state_directory: &Path,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        match source {
            SessionRoot::State => FileRoot::in_state(state_directory, now).map(Self::File),
            SessionRoot::File(path) => FileRoot::named(path).map(Self::File),
            #[cfg(feature = "aws")]
            SessionRoot::Kms(key) => KmsRoot::open(key).await.map(Self::Kms),
        }
    }

    /// A new intermediate. Under KMS this waits, with a deadline.
    pub(super) async fn intermediate(&self, now: OffsetDateTime) -> Result<Intermediate, CaError> {
        match self {
            Self::File(root) => root.intermediate(now),
            #[cfg(feature = "aws")]
            Self::Kms(root) => {
                let draft = Draft::new(now)?;
                let certificate = root.certify(&draft).await?;
                Ok(draft.certified(certificate))
            }
        }
    }

    pub(super) fn anchor(&self) -> &TrustAnchor<'static> {
        match self {
            Self::File(root) => root.anchor(),
            #[cfg(feature = "aws")]
            Self::Kms(root) => root.anchor(),
        }
    }
}

impl FileRoot {
    /// A new intermediate, at once.
    pub(super) fn intermediate(&self, now: OffsetDateTime) -> Result<Intermediate, CaError> {
        let draft = Draft::new(now)?;
        let certificate = self.certify(&draft)?;
        Ok(draft.certified(certificate))
    }
}
