use std::sync::{Mutex, PoisonError};

use countersign_verifier::{UnixMillis, UnverifiedDocument};
use tokio::time::Instant;

use super::{PeerError, PeerIdentity, exchange};
use crate::device::{Device, DocumentRequest};

/// The time as this enclave's NSM last signed it, and the monotonic clock since.
///
/// The wall clock of an enclave may be wrong, and whoever runs the parent has a
/// hand in it; the NSM's time is the hypervisor's.
#[derive(Debug, Default)]
pub struct NsmTime(Mutex<Option<(UnixMillis, Instant)>>);

impl NsmTime {
    /// Asks the device once.
    ///
    /// # Errors
    /// [`PeerError::Device`], [`PeerError::Refused`] for a document that cannot be read.
    pub async fn ask(&self, device: &Device, identity: &PeerIdentity) -> Result<(), PeerError> {
        let request = DocumentRequest {
            public_key: identity.spki().to_vec(),
            // No binder has this length: the document is worth nothing to anybody.
            user_data: PURPOSE.to_vec(),
            nonce: exchange::nonce()?.as_bytes().to_vec(),
        };
        let document = device.document(request).await.map_err(PeerError::Device)?;
        self.note(UnverifiedDocument::parse(&document)?.timestamp());
        Ok(())
    }

    /// A time that the NSM signed just now.
    pub fn note(&self, at: UnixMillis) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, Instant::now()));
    }

    /// Seconds since 1970; `None` before the first document.
    pub fn now_secs(&self) -> Option<u64> {
        let (at, since) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(at.as_millis() / 1000 + since.elapsed().as_secs())
    }
}

const PURPOSE: &[u8] = b"countersign-time-v1";
