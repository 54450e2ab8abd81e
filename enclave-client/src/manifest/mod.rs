//! The manifest: what the enclave may reach, and how.
//!
//! ```text
//!   YAML text ─node.rs─► tree with positions ─raw.rs─► what was written ─checked.rs─► what it means
//!                                            ▲                          outbound, rules, ingress, config_map
//!                        words.rs, shape.rs ─┴─ schema.rs ─► JSON Schema
//! ```
//!
//! All mistakes of a manifest are reported at once, each with line and column
//! (serde-saphyr's positions); a text that is no YAML at all is one mistake.
//! The tables of `words.rs` are the only place that knows which words there are.
//! `docs/manifest.md` is the reference of every word.

mod checked;
mod config_map;
mod entries;
mod fields;
mod ingress;
mod kms;
mod mistake;
mod nearest;
mod node;
mod outbound;
mod peers;
mod ports;
mod raw;
mod rules;
mod schema;
mod shape;
mod telemetry;
mod words;

use std::{fs::File, io::Read, path::Path};

pub use checked::Manifest;
pub use entries::{IngressEntry, IngressTls, PeerEntry, PeerPort, PeerSource, ProxyEntry};
pub use kms::{CredentialsFrom, KmsEntry};
pub use mistake::{ManifestError, Mistake};
pub use schema::schema;
pub use telemetry::TelemetryEntry;

impl Manifest {
    /// Reads and checks a file; `config_maps` is the directory that `fqdn.configMap` looks into.
    ///
    /// # Errors
    /// [`ManifestError`]: it cannot be read, or every mistake in it.
    pub fn load(path: &Path, config_maps: Option<&Path>) -> Result<Self, ManifestError> {
        let text = read_bounded(path).map_err(ManifestError::Read)?;
        let text = String::from_utf8(text).map_err(|_| ManifestError::NotText)?;
        let directory = path.parent().unwrap_or(Path::new("."));
        let beside = |file: &Path| read_bounded(&directory.join(file));
        let in_config_map = |file: &Path| read_bounded(&config_maps.unwrap_or(directory).join(file));
        let files =
            Files { beside: &beside, config_maps: config_maps.map(|_| &in_config_map as &ReadFile<'_>) };
        let mut manifest = Self::parse_with(&text, &files)?;
        manifest.config_maps = config_maps.map(Path::to_owned);
        for entry in &mut manifest.ingress {
            if let IngressTls::Files { certificate, key } = &mut entry.tls {
                *certificate = directory.join(&*certificate);
                *key = directory.join(&*key);
            }
        }
        Ok(manifest)
    }

    /// Checks a text. `read` gives the files it names, which are relative to the manifest.
    ///
    /// # Errors
    /// [`ManifestError::Mistakes`], all of them.
    pub fn parse(text: &str, read: &ReadFile<'_>) -> Result<Self, ManifestError> {
        Self::parse_with(text, &Files { beside: read, config_maps: None })
    }

    /// Checks a text.
    ///
    /// # Errors
    /// [`ManifestError::Mistakes`], all of them.
    pub fn parse_with(text: &str, files: &Files<'_>) -> Result<Self, ManifestError> {
        if text.len() as u64 > MAX_FILE {
            return Err(ManifestError::Read(too_large()));
        }
        let tree = node::parse(text).map_err(|mistake| ManifestError::Mistakes(vec![mistake]))?;
        let mut mistakes = Vec::new();
        let raw = raw::Manifest::read(&tree, &mut mistakes);
        let manifest = checked::check(&raw, files, &mut mistakes);
        if mistakes.is_empty() {
            return Ok(manifest);
        }
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        Err(ManifestError::Mistakes(mistakes))
    }
}

/// Where the files that a manifest names come from.
pub struct Files<'a> {
    /// `proxyAnchorFile`, relative to the manifest.
    pub beside: &'a ReadFile<'a>,
    /// `NAME/KEY` of a ConfigMap; `None`: none are mounted.
    pub config_maps: Option<&'a ReadFile<'a>>,
}

/// Gives a file that the manifest names.
pub type ReadFile<'a> = dyn Fn(&Path) -> std::io::Result<Vec<u8>> + 'a;

/// A manifest is a page, an anchor file a few certificates; Kubernetes keeps 1 MiB in a ConfigMap.
const MAX_FILE: u64 = 1 << 20;

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(too_large());
    }
    Ok(bytes)
}

fn too_large() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than 1 MiB")
}

#[cfg(test)]
mod tests;
