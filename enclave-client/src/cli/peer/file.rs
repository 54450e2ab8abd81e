use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use countersign_verifier::UnixMillis;

use crate::{
    attest::chain,
    device::system_ms,
    peers::config::{Pin, Trusted, Verifiers, find_in_config_map, is_config_map},
};

/// What a configuration is held to.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct PinArgs {
    /// PEM file with the public key of whoever must have signed it
    #[arg(long, value_name = "FILE")]
    signer: Option<PathBuf>,
    /// SHA-256 of peer.yaml, in hexadecimal
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
}

/// The root that documents must lead to, where it is not AWS's.
#[derive(Debug, Args)]
pub(super) struct RootArgs {
    /// DEVELOPMENT ONLY: believe documents under this simulated root. Proves nothing
    #[cfg(feature = "simulator")]
    #[arg(long, value_name = "FILE")]
    danger_root: Option<PathBuf>,
}

/// Why there is no configuration to rely on.
pub(super) enum Failed {
    /// A file cannot be read, or an option is wrong.
    Usage(String),
    /// Its code, and the sentence.
    Refused(&'static str, String),
}

impl PinArgs {
    pub(super) fn pin(&self) -> Result<Pin, Failed> {
        let wrong = |what: &str, why: String| Failed::Usage(format!("{what}: {why}"));
        match (&self.signer, &self.sha256) {
            (Some(path), _) => {
                let pem = read(path)?;
                Pin::signer_from_pem(&pem).map_err(|why| wrong(&path.display().to_string(), why.to_string()))
            }
            (None, Some(text)) => {
                Pin::sha256_from_hex(text).map_err(|why| wrong("--sha256", why.to_string()))
            }
            (None, None) => Err(Failed::Usage("--signer or --sha256 is needed".to_owned())),
        }
    }
}

impl RootArgs {
    pub(super) fn verifiers(&self) -> Result<Verifiers, Failed> {
        #[cfg(feature = "simulator")]
        if let Some(path) = &self.danger_root {
            let unusable = |why| Failed::Usage(format!("{}: {why:?}", path.display()));
            return Verifiers::danger_simulated(&read(path)?).map_err(unusable);
        }
        Ok(Verifiers::aws())
    }
}

/// A file that the pin covers, and that counts now by this machine's clock.
pub(super) fn trusted(path: &Path, pin: &PinArgs, roots: &RootArgs) -> Result<Trusted, Failed> {
    let (pin, verifiers) = (pin.pin()?, roots.verifiers()?);
    let mut bytes = read(path)?;
    if is_config_map(&bytes) {
        let inner = find_in_config_map(&bytes);
        let refused = |why| Failed::Refused("peer-config-invalid", format!("{}: {why}", path.display()));
        bytes = inner.map_err(refused)?.into_bytes();
    }
    let trusted = Trusted::new(&bytes, &pin, None, &verifiers);
    let trusted = trusted.and_then(|trusted| {
        trusted.counts_at(now().as_millis() / 1000)?;
        Ok(trusted)
    });
    trusted.map_err(|why| Failed::Refused(why.code(), format!("{}: {}", path.display(), chain(&why))))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    fs::read(path).map_err(|why| Failed::Usage(format!("{}: cannot be read: {why}", path.display())))
}

pub(super) fn now() -> UnixMillis {
    UnixMillis::from_millis(system_ms())
}
