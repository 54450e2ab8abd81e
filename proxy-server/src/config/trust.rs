use std::{fmt, path::Path};

use countersign_verifier::TrustAnchor;

use super::{mistake::Collector, raw::RawTrust};

/// The root under which documents must stand.
#[derive(Clone, Debug)]
pub enum TrustRoot {
    /// One of Amazon's.
    Amazon(TrustAnchor),
    /// A simulator's: proves nothing about any machine.
    #[cfg(feature = "simulator")]
    DangerSimulated(TrustAnchor),
}

impl TrustRoot {
    /// The verifier's anchor.
    pub fn anchor(&self) -> TrustAnchor {
        match self {
            Self::Amazon(anchor) => anchor.clone(),
            #[cfg(feature = "simulator")]
            Self::DangerSimulated(anchor) => anchor.clone(),
        }
    }
}

impl fmt::Display for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.anchor().name())
    }
}

pub(super) fn trust(raw: RawTrust, directory: &Path, found: &Collector) -> Option<TrustRoot> {
    let RawTrust { root, danger_simulated_root, span } = raw;
    match (root, danger_simulated_root) {
        (Some(root), None) => {
            let anchor = TrustAnchor::by_name(root.get_ref());
            if anchor.is_none() {
                let message = format!("expected \"aws\" or \"aws-us-gov\"; found \"{}\"", root.get_ref());
                found.note(root.span(), "trust.root", message);
            }
            anchor.map(TrustRoot::Amazon)
        }
        (None, Some(file)) => simulated(&file, directory, found),
        (Some(_), Some(file)) => {
            let message = "expected one root; found \"root\" beside it, and they exclude each other";
            found.note(file.span(), "trust.danger_simulated_root", message);
            None
        }
        (None, None) => {
            found.note(span, "trust.root", "missing; write root = \"aws\" (or \"aws-us-gov\") under [trust]");
            None
        }
    }
}

#[cfg(not(feature = "simulator"))]
fn simulated(file: &toml::Spanned<String>, _directory: &Path, found: &Collector) -> Option<TrustRoot> {
    let message = "this build knows no other root than Amazon's, so that no configuration can make it trust \
                   documents that Amazon did not sign; a development build (cargo feature \"simulator\") can";
    found.note(file.span(), "trust.danger_simulated_root", message);
    None
}

#[cfg(feature = "simulator")]
fn simulated(file: &toml::Spanned<String>, directory: &Path, found: &Collector) -> Option<TrustRoot> {
    let field = "trust.danger_simulated_root";
    let der = super::files::read(file, field, directory, found)?;
    match TrustAnchor::danger_from_der(&der) {
        Ok(anchor) => Some(TrustRoot::DangerSimulated(anchor)),
        Err(fault) => {
            found.note(file.span(), field, format!("expected a root certificate in DER; found: {fault}"));
            None
        }
    }
}
