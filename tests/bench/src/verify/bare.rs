use std::{hint::black_box, time::Instant};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
        Signature,
    },
};

use crate::failure::{Context, Failure};
use crate::stats::micros;

/// P-384 verifications and nothing else: what no verifier can do without.
pub(super) struct Bare {
    signed: Vec<Signed>,
}

struct Signed {
    key: ParsedPublicKey,
    signature: Signature,
}

impl Bare {
    /// Makes a few keys and signatures.
    ///
    /// # Errors
    /// The cryptographic library's.
    pub(super) fn new() -> Result<Self, Failure> {
        let make = || {
            let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).context("key")?;
            let signature = pair.sign(&SystemRandom::new(), &MESSAGE).context("signature")?;
            let key =
                ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, pair.public_key().as_ref()).context("key")?;
            Ok(Signed { key, signature })
        };
        Ok(Self { signed: (0..5).map(|_| make()).collect::<Result<_, Failure>>()? })
    }

    /// Microseconds of one of `count` verifications.
    ///
    /// # Errors
    /// A signature does not hold.
    pub(super) fn turn(&self, count: usize) -> Result<f64, Failure> {
        let began = Instant::now();
        for Signed { key, signature } in self.signed.iter().cycle().take(count) {
            key.verify_sig(black_box(&MESSAGE), signature.as_ref()).context("bare verification")?;
        }
        Ok(micros(began.elapsed()) / count as f64)
    }
}

/// As long as what is signed in one of AWS's certificates.
const MESSAGE: [u8; 600] = [7; 600];
