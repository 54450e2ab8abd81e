//! The security module: what signs a document about this enclave.
//!
//! [`Attestor`] is the one seam between this program and a device. `/dev/nsm`
//! is [`Nsm`]; a software module exists only in builds with the feature
//! `simulator`. The device is replaced, never a check: whoever verifies the
//! document decides by its own trust anchor.

mod clock;
mod nsm;
#[cfg(feature = "simulator")]
mod software;
mod timestamp;

use std::{fmt, io, sync::Arc, time::Duration};

use countersign_protocol::wire;
use tokio::{sync::Semaphore, time::timeout};

pub(crate) use clock::system_ms;
pub use clock::{Clock, ClockPolicy};
pub use nsm::Nsm;
#[cfg(feature = "simulator")]
pub use software::Software;

/// What the document shall carry beside the measurements.
///
/// Limits of the NSM: 512, 512 and 1024 bytes (AWS `attestation_process.md`); ours are far below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRequest {
    /// SPKI of K, DER.
    pub public_key: Vec<u8>,
    /// Digest of the binder.
    pub user_data: Vec<u8>,
    /// The challenge.
    pub nonce: Vec<u8>,
}

/// A device that signs documents. Blocks while it does.
pub trait Attestor: Send + Sync + 'static {
    /// One document for one request.
    ///
    /// # Errors
    /// [`DeviceError`]: the device is missing, or what it answered.
    fn attest(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError>;
}

/// A device that gives true random bytes.
pub trait Entropy {
    /// Some random bytes, at most a few hundred; `None` where there is no such device.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn random(&self) -> Result<Option<Vec<u8>>, DeviceError>;
}

/// A device shared by all attest loops: one request at a time, each with a deadline.
#[derive(Clone)]
pub struct Device {
    attestor: Arc<dyn Attestor>,
    turn: Arc<Semaphore>,
    deadline: Duration,
    clock: Arc<Clock>,
}

impl Device {
    /// The device with the usual deadline, [`DEADLINE`].
    pub fn new(attestor: impl Attestor) -> Self {
        Self::with_deadline(attestor, DEADLINE)
    }

    /// The device with a deadline of its own, waiting for its turn included.
    pub fn with_deadline(attestor: impl Attestor, deadline: Duration) -> Self {
        let clock = Arc::new(Clock::new(ClockPolicy::default()));
        Self { attestor: Arc::new(attestor), turn: Arc::new(Semaphore::new(1)), deadline, clock }
    }

    /// The same device, with another way to treat this machine's clock.
    #[must_use]
    pub fn with_clock(self, policy: ClockPolicy) -> Self {
        Self { clock: Arc::new(Clock::new(policy)), ..self }
    }

    /// The clock as the last document showed it.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Asks for a document on the blocking pool.
    ///
    /// The driver handles one request at a time, so callers wait in line here, not
    /// inside the kernel. A request that outlives its deadline keeps the turn until
    /// it returns: blocked threads never pile up.
    ///
    /// # Errors
    /// [`DeviceError`] from the device, on the deadline, or for a document of impossible size.
    pub async fn document(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
        let asked = self.clock.now_ms();
        let document = timeout(self.deadline, self.ask(request))
            .await
            .map_err(|_| DeviceError::Deadline { deadline: self.deadline })??;
        match document.len() {
            1..=wire::MAX_DOCUMENT => {
                if let Some(made) = timestamp::timestamp(&document) {
                    self.clock.judge(asked, made);
                }
                Ok(document)
            }
            len => Err(DeviceError::Size { len }),
        }
    }

    async fn ask(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
        let turn = self.turn.clone().acquire_owned().await.map_err(|_| DeviceError::Gone)?;
        let attestor = self.attestor.clone();
        let work = move || {
            let answer = attestor.attest(request);
            drop(turn);
            answer
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| DeviceError::Gone)?
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// How long one document may take: the NSM needs tens of milliseconds, and a
/// nonce lives for ten seconds ([`wire::NONCE_LIFETIME`]).
pub const DEADLINE: Duration = Duration::from_secs(8);

/// Why there is no document.
#[derive(Debug)]
pub enum DeviceError {
    /// The device file cannot be opened.
    Open {
        /// Its path.
        path: &'static str,
        /// What the system said.
        why: io::Error,
    },
    /// The NSM refused; its own word.
    Refused {
        /// `InvalidArgument`, `InputTooLarge`, …
        code: String,
    },
    /// The NSM answered another question.
    Unexpected,
    /// No answer in time.
    Deadline {
        /// The time it had.
        deadline: Duration,
    },
    /// The document is empty or larger than any document can be.
    Size {
        /// Its length in bytes.
        len: usize,
    },
    /// The program is stopping, or the call panicked.
    Gone,
    /// The software module failed.
    #[cfg(feature = "simulator")]
    Software(String),
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, .. } => {
                write!(f, "{path} does not open (it exists only inside a Nitro Enclave)")
            }
            Self::Refused { code } => write!(f, "the NSM refused with {code}"),
            Self::Unexpected => f.write_str("the NSM answered something else than a document"),
            Self::Deadline { deadline } => write!(f, "the NSM gave no document within {deadline:?}"),
            Self::Size { len } => {
                write!(f, "the document has {len} bytes; 1 to {} are possible", wire::MAX_DOCUMENT)
            }
            Self::Gone => f.write_str("the call to the NSM did not return"),
            #[cfg(feature = "simulator")]
            Self::Software(why) => write!(f, "the software module failed: {why}"),
        }
    }
}

impl std::error::Error for DeviceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { why, .. } => Some(why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;

    fn request() -> DocumentRequest {
        DocumentRequest { public_key: vec![1], user_data: vec![2], nonce: vec![3] }
    }

    struct Counting {
        now: AtomicUsize,
        most: Arc<AtomicUsize>,
    }

    impl Attestor for Counting {
        fn attest(&self, _: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            std::thread::yield_now();
            self.now.fetch_sub(1, Ordering::SeqCst);
            Ok(vec![9])
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn the_driver_sees_one_request_at_a_time() {
        let most = Arc::new(AtomicUsize::new(0));
        let device = Device::new(Counting { now: AtomicUsize::new(0), most: most.clone() });
        let asked: Vec<_> = (0..32)
            .map(|_| {
                let device = device.clone();
                tokio::spawn(async move { device.document(request()).await })
            })
            .collect();
        for one in asked {
            assert_eq!(one.await.unwrap().unwrap(), [9]);
        }
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    /// Blocks until the test lets go of the other end.
    struct Stuck(Mutex<mpsc::Receiver<()>>);

    impl Attestor for Stuck {
        fn attest(&self, _: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
            let _ = self.0.lock().unwrap().recv();
            Ok(vec![9])
        }
    }

    #[tokio::test]
    async fn a_stuck_device_costs_its_deadline_and_one_thread() {
        let (release, held) = mpsc::channel();
        let deadline = Duration::from_millis(20);
        let device = Device::with_deadline(Stuck(Mutex::new(held)), deadline);
        for _ in 0..3 {
            let error = device.document(request()).await.unwrap_err();
            assert!(matches!(error, DeviceError::Deadline { .. }), "{error}");
        }
        assert_eq!(device.turn.available_permits(), 0);
        drop(release);
    }

    struct Fixed(usize);

    impl Attestor for Fixed {
        fn attest(&self, _: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
            Ok(vec![0; self.0])
        }
    }

    #[tokio::test]
    async fn a_document_of_impossible_size_is_not_sent() {
        for len in [0, wire::MAX_DOCUMENT + 1] {
            let error = Device::new(Fixed(len)).document(request()).await.unwrap_err();
            assert!(matches!(error, DeviceError::Size { len: seen } if seen == len), "{error}");
        }
        for len in [1, wire::MAX_DOCUMENT] {
            assert_eq!(Device::new(Fixed(len)).document(request()).await.unwrap().len(), len);
        }
    }

    #[tokio::test]
    async fn outside_an_enclave_the_error_says_so() {
        if std::path::Path::new("/dev/nsm").exists() {
            println!("SKIPPED: this machine has /dev/nsm");
            return;
        }
        let error = Device::new(Nsm).document(request()).await.unwrap_err();
        assert_eq!(error.to_string(), "/dev/nsm does not open (it exists only inside a Nitro Enclave)");
    }
}
