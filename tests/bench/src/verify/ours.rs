use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm};
use countersign_verifier::{
    CacheCapacity, Expectations, Expected, Freshness, TrustAnchor, UnixMillis, UnverifiedDocument, Verifier,
};

use crate::failure::{Context, Failure};
use crate::stats::micros;

/// Our verifier, in this process. Each verification starts from the document's bytes.
pub(super) struct Ours {
    anchor: TrustAnchor,
    document: Vec<u8>,
    at: UnixMillis,
    /// Knows the document's certificates.
    warm: Verifier,
    simulated: Simulated,
}

/// Documents of one instance, each under a leaf of its own. Amazon's are not to be had.
struct Simulated {
    anchor: TrustAnchor,
    at: UnixMillis,
    first: Vec<u8>,
    others: Vec<Vec<u8>>,
}

impl Ours {
    /// Verifies a document of AWS.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn genuine(document: &[u8], at_ms: u64) -> Result<Self, Failure> {
        Self::new(TrustAnchor::aws(), document.to_vec(), UnixMillis::from_millis(at_ms), Simulated::new()?)
    }

    /// Verifies a simulated document.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn simulated() -> Result<Self, Failure> {
        let simulated = Simulated::new()?;
        Self::new(simulated.anchor.clone(), simulated.first.clone(), simulated.at, simulated)
    }

    /// Microseconds of a verification by a verifier that has just been made.
    ///
    /// # Errors
    /// A refusal.
    pub(super) fn cold(&self, count: usize) -> Result<f64, Failure> {
        timed(count, || {
            let verifier = Verifier::new(self.anchor.clone(), CacheCapacity::default());
            verify(&verifier, &self.document, self.at)
        })
    }

    /// Microseconds of a verification when everything but the leaf is known.
    ///
    /// # Errors
    /// A refusal.
    pub(super) fn new_leaf(&self) -> Result<f64, Failure> {
        let Simulated { anchor, at, first, others } = &self.simulated;
        let verifier = Verifier::new(anchor.clone(), CacheCapacity::default());
        verify(&verifier, first, *at)?;
        let mut others = others.iter();
        timed(others.len(), || others.next().map_or(Ok(()), |document| verify(&verifier, document, *at)))
    }

    /// Microseconds of a verification when every certificate is known.
    ///
    /// # Errors
    /// A refusal.
    pub(super) fn warm(&self, count: usize) -> Result<f64, Failure> {
        timed(count, || verify(&self.warm, &self.document, self.at))
    }

    fn new(
        anchor: TrustAnchor,
        document: Vec<u8>,
        at: UnixMillis,
        simulated: Simulated,
    ) -> Result<Self, Failure> {
        let warm = Verifier::new(anchor.clone(), CacheCapacity::default());
        verify(&warm, &document, at)?;
        Ok(Self { anchor, document, at, warm, simulated })
    }
}

impl Simulated {
    fn new() -> Result<Self, Failure> {
        let root = SimulatedRoot::generate(NOW_MS).context("simulated root")?;
        let nsm = SoftwareNsm::new(&root, Module::from_image("bench"));
        let request = AttestationRequest {
            public_key: Some(vec![1; 91]),
            user_data: Some(vec![2; 48]),
            nonce: Some(vec![3; 32]),
        };
        let attest = || nsm.attest(NOW_MS, &request).context("simulated NSM");
        let first = attest()?;
        let next = |_| {
            nsm.rotate_leaf();
            attest()
        };
        let others = (0..LEAVES).map(next).collect::<Result<_, _>>()?;
        let anchor = TrustAnchor::danger_from_der(root.root_der())
            .map_err(|fault| Failure::new(format!("simulated root: {fault:?}")))?;
        Ok(Self { anchor, at: UnixMillis::from_millis(NOW_MS), first, others })
    }
}

fn verify(verifier: &Verifier, bytes: &[u8], at: UnixMillis) -> Result<(), Failure> {
    let document = UnverifiedDocument::parse(black_box(bytes)).context("our verifier")?;
    let expectations = Expectations {
        at,
        freshness: Freshness::Within { past: Duration::from_secs(60), future: Duration::from_secs(5) },
        // As the peers: none of them is asked to compare these.
        nonce: Expected::Unchecked,
        public_key: Expected::Unchecked,
        user_data: Expected::Unchecked,
    };
    black_box(verifier.verify(&document, &expectations)).context("our verifier")?;
    Ok(())
}

fn timed(count: usize, mut work: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let began = Instant::now();
    for _ in 0..count {
        work()?;
    }
    Ok(micros(began.elapsed()) / count as f64)
}

const LEAVES: usize = 250;
/// 2026-05-21; the verifier is told the time.
const NOW_MS: u64 = 1_779_365_257_360;
