use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

/// Remembers for [`KEEP`] that a chain of certificates led to the session root,
/// so that an enclave that opens many connections costs one path verification
/// (two P-256 signatures) and not one for each.
///
/// What is remembered is the path and nothing else. That the client holds the
/// key is proved anew in every handshake, and the session record decides anew
/// on every connection. A path may thus be believed up to [`KEEP`] past its
/// certificate's end, which opens nothing by itself: the session must live, by
/// a lease that was renewed meanwhile, and its key must be the one proved.
pub(super) struct KnownCertificates {
    inner: Arc<dyn ClientCertVerifier>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Which chains, and when they were verified.
    verified: HashMap<ChainId, UnixTime>,
    oldest_first: VecDeque<ChainId>,
}

/// SHA-256 over every certificate the client showed, each behind its length.
type ChainId = [u8; 32];

impl KnownCertificates {
    /// Asks `inner` about every chain it does not remember.
    pub(super) fn new(inner: Arc<dyn ClientCertVerifier>) -> Self {
        Self { inner, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientCertVerifier for KnownCertificates {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let id = chain_id(end_entity, intermediates);
        if self.known().holds(&id, now) {
            return Ok(ClientCertVerified::assertion());
        }
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        self.known().remember(id, now);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }
}

impl fmt::Debug for KnownCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownCertificates").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Known {
    fn holds(&self, id: &ChainId, now: UnixTime) -> bool {
        let age = |at: &UnixTime| now.as_secs().checked_sub(at.as_secs());
        self.verified.get(id).and_then(age).is_some_and(|age| age < KEEP.as_secs())
    }

    fn remember(&mut self, id: ChainId, now: UnixTime) {
        if self.verified.insert(id, now).is_none() {
            self.oldest_first.push_back(id);
        }
        while self.oldest_first.len() > MOST {
            if let Some(oldest) = self.oldest_first.pop_front() {
                self.verified.remove(&oldest);
            }
        }
    }
}

fn chain_id(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> ChainId {
    let mut context = Context::new(&SHA256);
    for certificate in std::iter::once(end_entity).chain(intermediates) {
        context.update(&(certificate.len() as u64).to_be_bytes());
        context.update(certificate);
    }
    let mut id = [0; 32];
    id.copy_from_slice(context.finish().as_ref());
    id
}

/// Shorter than any lease, so that a renewed certificate is soon verified too.
const KEEP: Duration = Duration::from_secs(5);

/// Chains remembered: about 600 KB.
const MOST: usize = 8192;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Accepts what begins with a one, and counts how often it is asked.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl ClientCertVerifier for Counting {
        fn verify_client_cert(
            &self,
            end_entity: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: UnixTime,
        ) -> Result<ClientCertVerified, Error> {
            self.0.fetch_add(1, Ordering::Relaxed);
            match end_entity.first() {
                Some(1) => Ok(ClientCertVerified::assertion()),
                _ => Err(Error::DecryptError),
            }
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::DecryptError)
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::DecryptError)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ECDSA_NISTP256_SHA256]
        }

        fn root_hint_subjects(&self) -> &[DistinguishedName] {
            &[]
        }
    }

    fn der(bytes: &'static [u8]) -> CertificateDer<'static> {
        CertificateDer::from(bytes)
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_path_is_verified_once_in_five_seconds() {
        let inner = Arc::new(Counting::default());
        let known = KnownCertificates::new(inner.clone());
        for (second, asked) in [(100, 1), (100, 1), (104, 1), (105, 2), (109, 2), (110, 3)] {
            known.verify_client_cert(&der(&[1]), &[der(&[2])], at(second)).unwrap();
            assert_eq!(inner.0.load(Ordering::Relaxed), asked, "at {second}");
        }
        // A clock that went back knows nothing of the future.
        known.verify_client_cert(&der(&[1]), &[der(&[2])], at(109)).unwrap();
        assert_eq!(inner.0.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn another_chain_is_another_path_and_a_refusal_is_not_remembered() {
        let inner = Arc::new(Counting::default());
        let known = KnownCertificates::new(inner.clone());
        known.verify_client_cert(&der(&[1, 2]), &[der(&[3])], at(1)).unwrap();
        known.verify_client_cert(&der(&[1]), &[der(&[2, 3])], at(1)).unwrap();
        known.verify_client_cert(&der(&[1, 2, 3]), &[], at(1)).unwrap();
        assert_eq!(inner.0.load(Ordering::Relaxed), 3);
        for asked in 4..6 {
            assert_eq!(known.verify_client_cert(&der(&[9]), &[], at(1)).unwrap_err(), Error::DecryptError);
            assert_eq!(inner.0.load(Ordering::Relaxed), asked);
        }
    }

    #[test]
    fn the_signature_of_the_handshake_is_never_remembered() {
        let known = KnownCertificates::new(Arc::new(Counting::default()));
        assert_eq!(known.supported_verify_schemes(), [SignatureScheme::ECDSA_NISTP256_SHA256]);
        assert!(known.client_auth_mandatory());
        assert!(known.offer_client_auth());
    }

    #[test]
    fn the_oldest_chain_makes_room() {
        let mut known = Known::default();
        for number in 0..=MOST {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            known.remember(id, at(1));
        }
        assert!(!known.holds(&[0; 32], at(1)));
        assert_eq!((known.verified.len(), known.oldest_first.len()), (MOST, MOST));
    }
}
