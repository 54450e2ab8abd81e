use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{RecipientKey, RecipientKeyError};
use crate::{
    attest::Backoff,
    device::{Device, DeviceError, DocumentRequest},
    random::Fraction,
};

/// A recipient key and a document that shows it: what one attested call needs.
#[derive(Debug)]
pub struct Shown {
    key: Arc<RecipientKey>,
    document: String,
    made: Instant,
}

impl Shown {
    /// The key. A call keeps it until its answer is open, whatever is rotated meanwhile.
    pub fn key(&self) -> &RecipientKey {
        &self.key
    }

    /// The document, in base64.
    pub fn document(&self) -> &str {
        &self.document
    }
}

/// How long keys and documents are used.
#[derive(Clone, Copy, Debug)]
pub struct RecipientLimits {
    /// A document older than this is replaced ahead of need.
    pub renew_after: Duration,
    /// A document older than this is not sent: KMS refuses those of about five minutes.
    pub usable_for: Duration,
    /// A key older than this is replaced with the next document.
    pub key_for: Duration,
}

impl Default for RecipientLimits {
    fn default() -> Self {
        Self {
            renew_after: Duration::from_secs(60),
            usable_for: Duration::from_secs(180),
            key_for: Duration::from_secs(3600),
        }
    }
}

/// Keeps one document ready, so that a call costs no round trip to the NSM.
pub struct Recipient {
    device: Device,
    limits: RecipientLimits,
    current: RwLock<Option<Arc<Shown>>>,
    /// Held while a document is made; knows the last failure.
    making: Mutex<Option<Failure>>,
}

struct Failure {
    at: Instant,
    why: Arc<RecipientError>,
}

impl Recipient {
    /// Makes nothing yet: [`Recipient::maintain`] or the first call does.
    pub fn new(device: Device, limits: RecipientLimits) -> Self {
        Self { device, limits, current: RwLock::new(None), making: Mutex::new(None) }
    }

    /// The document that is ready, or a new one. Of many callers that wait, one asks the device and the
    /// others share what it got, a failure too.
    ///
    /// # Errors
    /// [`RecipientError`].
    pub async fn shown(&self) -> Result<Arc<Shown>, Arc<RecipientError>> {
        match self.younger_than(self.limits.usable_for) {
            Some(shown) => Ok(shown),
            None => self.make(self.limits.usable_for).await,
        }
    }

    /// Renews ahead of need, until `stop`.
    pub async fn maintain(&self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&self) {
        let mut backoff = Backoff::default();
        loop {
            match self.make(self.limits.renew_after).await {
                Ok(shown) => {
                    backoff.reset();
                    sleep_until(shown.made + self.limits.renew_after).await;
                }
                Err(why) => {
                    let wait = backoff.fail(Fraction::random());
                    warn!(code = "kms-no-document", "no document for KMS: {why}");
                    sleep(wait).await;
                }
            }
        }
    }

    async fn make(&self, young: Duration) -> Result<Arc<Shown>, Arc<RecipientError>> {
        let asked = Instant::now();
        let mut failure = self.making.lock().await;
        if let Some(shown) = self.younger_than(young) {
            return Ok(shown);
        }
        if let Some(last) = failure.as_ref().filter(|last| last.at >= asked) {
            return Err(last.why.clone());
        }
        match self.ask().await {
            Ok(shown) => {
                let shown = Arc::new(shown);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(shown.clone());
                *failure = None;
                Ok(shown)
            }
            Err(why) => {
                let why = Arc::new(why);
                *failure = Some(Failure { at: Instant::now(), why: why.clone() });
                Err(why)
            }
        }
    }

    async fn ask(&self) -> Result<Shown, RecipientError> {
        let key = match self.current().filter(|shown| shown.key.age() < self.limits.key_for) {
            Some(shown) => shown.key.clone(),
            None => Arc::new(
                tokio::task::spawn_blocking(RecipientKey::generate)
                    .await
                    .map_err(|_| RecipientError::Gone)?
                    .map_err(RecipientError::Key)?,
            ),
        };
        // The age counts from before the device is asked: its document is never older than that.
        let made = Instant::now();
        let request = DocumentRequest {
            public_key: key.spki().to_vec(),
            user_data: PURPOSE.to_vec(),
            nonce: Vec::new(),
        };
        let document = self.device.document(request).await.map_err(RecipientError::Device)?;
        debug!(key = ?key, "document for KMS made");
        Ok(Shown { key, document: STANDARD.encode(document), made })
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<Shown>> {
        self.current().filter(|shown| shown.made.elapsed() < age)
    }

    fn current(&self) -> Option<Arc<Shown>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient").field("current", &self.current()).finish_non_exhaustive()
    }
}

/// `user_data` of these documents: they are for KMS, and no admission to a proxy takes them (its
/// documents carry the digest of a binder).
const PURPOSE: &[u8] = b"countersign-kms-v1";

/// Why there is no document.
#[derive(Debug)]
pub enum RecipientError {
    /// No key.
    Key(RecipientKeyError),
    /// No document.
    Device(DeviceError),
    /// The program is stopping.
    Gone,
}

impl fmt::Display for RecipientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(why) => why.fmt(f),
            Self::Device(why) => why.fmt(f),
            Self::Gone => f.write_str("the program is stopping"),
        }
    }
}

impl std::error::Error for RecipientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Device(why) => std::error::Error::source(why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::device::Attestor;

    /// Answers with the public key it was shown; counts; refuses when told to.
    struct Counting {
        asked: Arc<AtomicUsize>,
        refuse: bool,
    }

    impl Attestor for Counting {
        fn attest(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            assert_eq!((request.user_data.as_slice(), request.nonce.len()), (PURPOSE, 0));
            if self.refuse { Err(DeviceError::Unexpected) } else { Ok(request.public_key) }
        }
    }

    fn recipient(refuse: bool) -> (Arc<Recipient>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let device = Device::new(Counting { asked: asked.clone(), refuse });
        (Arc::new(Recipient::new(device, RecipientLimits::default())), asked)
    }

    #[tokio::test]
    async fn many_callers_cost_one_document() {
        let (recipient, asked) = recipient(false);
        let all = futures_of(20, &recipient).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let first = all[0].as_ref().unwrap();
        assert!(all.iter().all(|shown| Arc::ptr_eq(shown.as_ref().unwrap(), first)));
        assert_eq!(first.document(), STANDARD.encode(first.key().spki()));
    }

    #[tokio::test]
    async fn callers_who_wait_share_a_failure_and_the_next_one_asks_again() {
        let (recipient, asked) = recipient(true);
        let all = futures_of(20, &recipient).await;
        assert!(all.iter().all(Result::is_err));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let error = recipient.shown().await.unwrap_err();
        assert_eq!(error.to_string(), "the NSM answered something else than a document");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn documents_are_renewed_and_keys_rotated() {
        let (recipient, asked) = recipient(false);
        let first = recipient.shown().await.unwrap();
        tokio::time::advance(Duration::from_secs(179)).await;
        assert!(Arc::ptr_eq(&recipient.shown().await.unwrap(), &first), "still usable");
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = recipient.shown().await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert_eq!(second.key().spki(), first.key().spki(), "a new document for the same key");
        tokio::time::advance(Duration::from_secs(3600)).await;
        let third = recipient.shown().await.unwrap();
        assert_ne!(third.key().spki(), first.key().spki(), "another key");
    }

    #[tokio::test(start_paused = true)]
    async fn the_keeper_renews_before_anybody_asks() {
        let (recipient, asked) = recipient(false);
        let stop = CancellationToken::new();
        let keeping = tokio::spawn({
            let (recipient, stop) = (recipient.clone(), stop.clone());
            async move { recipient.maintain(stop).await }
        });
        while asked.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        recipient.shown().await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 3, "a call found one ready");
        stop.cancel();
        keeping.await.unwrap();
    }

    async fn futures_of(
        count: usize,
        recipient: &Arc<Recipient>,
    ) -> Vec<Result<Arc<Shown>, Arc<RecipientError>>> {
        let tasks: Vec<_> = (0..count)
            .map(|_| {
                let recipient = recipient.clone();
                tokio::spawn(async move { recipient.shown().await })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.unwrap());
        }
        all
    }
}
