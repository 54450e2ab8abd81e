//! How long a document takes, beside the bare P-384 verifications it cannot do without.
//!
//! `cargo run --release -p countersign-verifier --example cost -- FILE` (a genuine document).
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement needs a clock")]

use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
};
use countersign_verifier::{
    CacheCapacity, Expectations, Expected, Freshness, TrustAnchor, UnverifiedDocument, Verifier,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

fn main() {
    let path = std::env::args().nth(1).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let at = UnverifiedDocument::parse(&bytes).unwrap().timestamp();
    let expectations = Expectations {
        at,
        freshness: Freshness::Within { past: Duration::from_secs(60), future: Duration::from_secs(5) },
        nonce: Expected::Unchecked,
        public_key: Expected::Unchecked,
        user_data: Expected::Unchecked,
    };
    let verify = |verifier: &Verifier| {
        let document = UnverifiedDocument::parse(black_box(&bytes)).unwrap();
        black_box(verifier.verify(&document, &expectations)).unwrap();
    };
    let warm = Verifier::new(TrustAnchor::aws(), CacheCapacity::default());
    let no_leaves = Verifier::new(TrustAnchor::aws(), CacheCapacity { issuers: 16, leaves: 0 });
    let cold = Verifier::new(TrustAnchor::aws(), CacheCapacity::NONE);

    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let message = [7; 600];
    let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), &message).unwrap();
    let key = ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, pair.public_key().as_ref()).unwrap();

    let mut rounds: [Vec<f64>; 6] = Default::default();
    for _ in 0..9 {
        let samples = [
            micros(300, || key.verify_sig(black_box(&message), signature.as_ref()).unwrap()),
            micros(300, || _ = black_box(UnverifiedDocument::parse(black_box(&bytes)).unwrap())),
            micros(300, || verify(&warm)),
            micros(200, || verify(&no_leaves)),
            micros(100, || verify(&cold)),
            micros(300, || {
                drop(black_box(ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, pair.public_key().as_ref())))
            }),
        ];
        rounds.iter_mut().zip(samples).for_each(|(all, sample)| all.push(sample));
    }
    let [bare, parse, warm, new_leaf, cold, key_parse] = rounds.map(median);
    println!("bare P-384 verification  {bare:8.1} µs");
    println!("key from a point         {key_parse:8.1} µs");
    println!("parse                    {parse:8.2} µs");
    println!("warm      (1)            {warm:8.1} µs  {:.3} times its verifications", warm / bare);
    println!("new leaf  (2)            {new_leaf:8.1} µs  {:.3}", new_leaf / bare / 2.0);
    println!("cold      (5)            {cold:8.1} µs  {:.3}", cold / bare / 5.0);
}

fn micros(count: u32, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| work());
    start.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
