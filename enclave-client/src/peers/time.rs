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
pub struct NsmTime(Mutex<Option<SignedTime>>);

/// The time in a document of our NSM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedTime {
    /// What it says.
    pub at: UnixMillis,
    /// When the document came from the device.
    pub came: Instant,
}

impl SignedTime {
    /// Of a document that has come just now.
    ///
    /// # Errors
    /// [`PeerError::Refused`] for one that cannot be read.
    pub(super) fn of(document: &[u8]) -> Result<Self, PeerError> {
        let came = Instant::now();
        Ok(Self { at: UnverifiedDocument::parse(document)?.timestamp(), came })
    }

    /// What time it is at a later instant.
    pub fn later(self, instant: Instant) -> UnixMillis {
        let since = u64::try_from(instant.saturating_duration_since(self.came).as_millis());
        UnixMillis::from_millis(self.at.as_millis().saturating_add(since.unwrap_or(u64::MAX)))
    }
}

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
        self.note(SignedTime::of(&document)?);
        Ok(())
    }

    /// A time that the NSM signed. Rounds overlap and end in any order: the document that came last counts.
    pub fn note(&self, signed: SignedTime) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none_or(|held| held.came <= signed.came) {
            *held = Some(signed);
        }
    }

    /// Seconds since 1970; `None` before the first document.
    pub fn now_secs(&self) -> Option<u64> {
        let held = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(held.later(Instant::now()).as_millis() / 1000)
    }
}

const PURPOSE: &[u8] = b"countersign-time-v1";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_document_that_came_last_counts_from_when_it_came() {
        let signed =
            |seconds: u64| SignedTime { at: UnixMillis::from_millis(seconds * 1000), came: Instant::now() };
        let time = NsmTime::default();
        assert_eq!(time.now_secs(), None);
        let first = signed(1_000);
        tokio::time::advance(Duration::from_secs(7)).await;
        // The hypervisor has set its clock meanwhile.
        let second = signed(900);
        tokio::time::advance(Duration::from_secs(5)).await;
        time.note(first);
        assert_eq!(time.now_secs(), Some(1_012));
        time.note(second);
        assert_eq!(time.now_secs(), Some(905));
        time.note(first);
        assert_eq!(time.now_secs(), Some(905));
    }
}
