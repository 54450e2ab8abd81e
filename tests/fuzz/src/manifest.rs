//! The enclave's manifest, in YAML.

use countersign_enclave::manifest::{Manifest, ManifestError};
use std::io;

/// Any text as a manifest, with no file beside it: what is accepted reaches only what it names, and each mistake has its
/// place.
pub fn raw(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Manifest::parse(text, &|_| Err(io::ErrorKind::NotFound.into())) {
        Ok(manifest) => {
            for proxy in &manifest.proxies {
                assert!((15..=300).contains(&proxy.interval.duration().as_secs()), "{:?}", proxy.interval);
                for destination in &proxy.destinations {
                    assert_eq!(destination.to_string().parse().as_ref(), Ok(destination));
                }
            }
        }
        Err(ManifestError::Mistakes(mistakes)) => {
            assert!(!mistakes.is_empty());
            assert!(mistakes.iter().all(|mistake| !mistake.message.is_empty()), "{mistakes:?}");
        }
        Err(error) => panic!("a text that needs no file: {error:?}"),
    }
}
