//! Makes documents of AWS's shape under a root of its own, so that a test can break one thing at a time.
#![allow(dead_code, reason = "each suite uses its part")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use countersign_verifier::{TrustAnchor, UnixMillis};
use minicbor::Encoder;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384,
};
use time::OffsetDateTime;

/// When all forged documents are made: 2026-08-03T20:00:00Z.
pub(crate) const NOW: UnixMillis = UnixMillis::from_millis(1_785_787_200_000);

/// A certificate and its key.
pub(crate) struct Holder {
    pub(crate) der: Vec<u8>,
    params: CertificateParams,
    key: KeyPair,
}

/// The root, regional, zonal and instance certificates.
pub(crate) struct Pki {
    pub(crate) issuers: Vec<Holder>,
}

/// A change to a certificate before it is signed.
pub(crate) type Change<'c> = &'c dyn Fn(&mut CertificateParams);

/// Leaves a certificate as AWS makes it.
pub(crate) fn unchanged(_: &mut CertificateParams) {}

impl Pki {
    pub(crate) fn new() -> Self {
        Self::with(&[&unchanged as Change<'_>; 4])
    }

    /// One issuer below the other, each changed in its own way.
    pub(crate) fn with(changes: &[Change<'_>]) -> Self {
        let mut pki = Self { issuers: Vec::new() };
        for (depth, change) in changes.iter().enumerate() {
            pki.push(depth, change);
        }
        pki
    }

    /// One more issuer under the last.
    pub(crate) fn push(&mut self, depth: usize, change: Change<'_>) {
        let (name, path_length, hours) = match depth {
            0 => ("forged.nitro-enclaves", BasicConstraints::Unconstrained, 24 * 365),
            1 => ("regional", BasicConstraints::Constrained(2), 20 * 24),
            2 => ("zonal", BasicConstraints::Constrained(1), 6 * 24),
            _ => ("instance", BasicConstraints::Constrained(0), 24),
        };
        let mut params = params(name, hours);
        params.is_ca = IsCa::Ca(path_length);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        change(&mut params);
        let holder = issue(params, self.issuers.last());
        self.issuers.push(holder);
    }

    /// The signer of an enclave's documents.
    pub(crate) fn leaf(&self, change: Change<'_>) -> Holder {
        let mut params = params("i-0-enc0", 3);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment];
        change(&mut params);
        issue(params, self.issuers.last())
    }

    pub(crate) fn anchor(&self) -> TrustAnchor {
        TrustAnchor::danger_from_der(&self.issuers[0].der).unwrap()
    }

    pub(crate) fn bundle(&self) -> Vec<&[u8]> {
        self.issuers.iter().map(|issuer| &*issuer.der).collect()
    }
}

fn params(name: &str, hours: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::from_unix_timestamp(NOW.as_millis() as i64 / 1000).unwrap();
    params.not_before = now - time::Duration::minutes(30);
    params.not_after = now + time::Duration::hours(hours);
    params
}

fn issue(params: CertificateParams, issuer: Option<&Holder>) -> Holder {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Holder { der: certificate.der().to_vec(), params, key }
}

/// What a document says; `Default` is a plain one of [`NOW`].
#[derive(Clone)]
pub(crate) struct Claims {
    pub(crate) timestamp: u64,
    pub(crate) pcrs: Vec<(u64, [u8; 48])>,
    pub(crate) public_key: Option<Vec<u8>>,
    pub(crate) user_data: Option<Vec<u8>>,
    pub(crate) nonce: Option<Vec<u8>>,
}

impl Default for Claims {
    fn default() -> Self {
        let pcrs = (0..16).map(|index| (index, [index as u8 + 1; 48])).collect();
        Self { timestamp: NOW.as_millis(), pcrs, public_key: None, user_data: None, nonce: None }
    }
}

/// A document that the leaf signs, with the certificates of the bundle as they are given.
pub(crate) fn document(claims: &Claims, leaf: &Holder, bundle: &[&[u8]]) -> Vec<u8> {
    sign(&payload(claims, leaf, bundle), &leaf.key)
}

/// The map as AWS writes it since August 2025: of indefinite length, unused optionals null.
pub(crate) fn payload(claims: &Claims, leaf: &Holder, bundle: &[&[u8]]) -> Vec<u8> {
    let mut out = Encoder::new(Vec::new());
    out.begin_map().unwrap();
    out.str("module_id").unwrap().str("i-0-enc0").unwrap();
    out.str("digest").unwrap().str("SHA384").unwrap();
    out.str("timestamp").unwrap().u64(claims.timestamp).unwrap();
    out.str("pcrs").unwrap().map(claims.pcrs.len() as u64).unwrap();
    for (index, value) in &claims.pcrs {
        out.u64(*index).unwrap().bytes(value).unwrap();
    }
    out.str("certificate").unwrap().bytes(&leaf.der).unwrap();
    out.str("cabundle").unwrap().array(bundle.len() as u64).unwrap();
    for der in bundle {
        out.bytes(der).unwrap();
    }
    for (key, value) in
        [("public_key", &claims.public_key), ("user_data", &claims.user_data), ("nonce", &claims.nonce)]
    {
        out.str(key).unwrap();
        match value {
            Some(bytes) => out.bytes(bytes).unwrap(),
            None => out.null().unwrap(),
        };
    }
    out.end().unwrap();
    out.into_writer()
}

/// COSE_Sign1 around any payload.
pub(crate) fn sign(payload: &[u8], key: &KeyPair) -> Vec<u8> {
    let protected = [0xa1, 0x01, 0x38, 0x22];
    let mut signed = Encoder::new(Vec::new());
    signed.array(4).unwrap().str("Signature1").unwrap();
    signed.bytes(&protected).unwrap().bytes(&[]).unwrap().bytes(payload).unwrap();
    let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &key.serialize_der()).unwrap();
    let signature = signer.sign(&SystemRandom::new(), &signed.into_writer()).unwrap();
    let mut out = Encoder::new(Vec::new());
    out.array(4).unwrap().bytes(&protected).unwrap().map(0).unwrap();
    out.bytes(payload).unwrap().bytes(signature.as_ref()).unwrap();
    out.into_writer()
}

impl Holder {
    /// Signs any payload as a document.
    pub(crate) fn sign(&self, payload: &[u8]) -> Vec<u8> {
        sign(payload, &self.key)
    }
}
