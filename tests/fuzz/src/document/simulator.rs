//! Documents of the software NSM: any request, any fault, any edit.

use super::signed::{Part, at_own_time, edited, verifier, verify};
use super::{check, reread};
use crate::recipe::Recipe;
use countersign_simulator::{AttestationRequest, Fault, Module, SimulatedRoot, SoftwareNsm};
use countersign_verifier::{
    DebugMode, Expectations, Expected, Freshness, Measurement, ReferenceValues, UnixMillis,
    UnverifiedDocument, Verifier,
};
use std::sync::LazyLock;
use std::time::Duration;

/// A document as the device would make it is accepted and says what was asked for; with a fault it never passes; edited, it
/// passes only with the payload that was signed.
pub fn simulated(bytes: &[u8]) {
    let mut recipe = Recipe::new(bytes);
    match recipe.pick(&[Kind::Honest, Kind::Edited, Kind::Faulty]) {
        Kind::Honest => honest(&mut recipe),
        Kind::Edited => edited_document(&mut recipe),
        Kind::Faulty => faulty(recipe.pick(Fault::ALL)),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Honest,
    Edited,
    Faulty,
}

fn honest(recipe: &mut Recipe<'_>) {
    let request = AttestationRequest {
        public_key: optional(recipe, 1024),
        user_data: optional(recipe, 512),
        nonce: optional(recipe, 512),
    };
    if recipe.seldom() {
        BENCH.nsm.rotate_leaf();
    }
    let made = MADE + recipe.number(0..=PAST.as_millis() as u64);
    let at = made + recipe.number(0..=PAST.as_millis() as u64);
    let bytes = BENCH.nsm.attest(made, &request).expect("a request within the device's limits");
    let document = check(&bytes).expect("a document in order");
    assert_eq!(admit(&document, at, &request), Ok(()), "{request:02x?}");
    assert_eq!(document.public_key(), request.public_key.as_deref());
    assert_eq!(document.user_data(), request.user_data.as_deref());
    assert_eq!(document.nonce(), request.nonce.as_deref());
    assert!(
        admit(&document, made + PAST.as_millis() as u64 + 1, &request).is_err(),
        "a document that is too old"
    );
    let other = AttestationRequest { nonce: Some(b"another challenge".to_vec()), ..request };
    assert!(
        admit(&document, at, &other).is_err() || document.nonce() == other.nonce.as_deref(),
        "a document for another challenge"
    );
}

fn faulty(fault: Fault) {
    let bytes =
        BENCH.nsm.attest_with(MADE, &BENCH.request, fault).expect("a request within the device's limits");
    let admitted = check(&bytes).map(|document| admit(&document, MADE, &BENCH.request));
    assert!(!matches!(admitted, Some(Ok(()))), "admitted with the fault {fault}");
}

fn edited_document(recipe: &mut Recipe<'_>) {
    let part = recipe.pick(&[Part::Payload, Part::Signature, Part::Whole]);
    let mutant = edited(recipe, &BENCH.document, part);
    if let Some(document) = check(&mutant)
        && verify(&BENCH.verifier, &document, &at_own_time(UnixMillis::from_millis(MADE))).is_ok()
    {
        assert_eq!(
            reread::payload(&mutant),
            reread::payload(&BENCH.document),
            "accepted with a payload that was never signed"
        );
    }
}

/// All of the way: document, evidence, admitted.
fn admit(
    document: &UnverifiedDocument<'_>,
    at: u64,
    request: &AttestationRequest,
) -> Result<(), &'static str> {
    let AttestationRequest { public_key, user_data, nonce } = request;
    let expectations = Expectations {
        freshness: Freshness::Within { past: PAST, future: Duration::ZERO },
        public_key: expected(public_key.as_deref()),
        user_data: expected(user_data.as_deref()),
        nonce: expected(nonce.as_deref()),
        ..at_own_time(UnixMillis::from_millis(at))
    };
    verify(&BENCH.verifier, document, &expectations).map_err(|refusal| refusal.code())?;
    BENCH.references.appraise(document.pcrs(), DebugMode::Refuse).map(drop).map_err(|refusal| refusal.code())
}

fn expected(asked: Option<&[u8]>) -> Expected<'_> {
    asked.map_or(Expected::Unchecked, Expected::Exactly)
}

fn optional(recipe: &mut Recipe<'_>, limit: usize) -> Option<Vec<u8>> {
    recipe.pick(&[true, false]).then(|| recipe.run(0..=limit))
}

/// A module and a verifier that know each other; the keys are new in each process.
static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let root = SimulatedRoot::generate(MADE).expect("a new root");
    let nsm = SoftwareNsm::new(&root, Module::from_image("fuzz"));
    let request = AttestationRequest {
        public_key: Some(vec![2; 91]),
        user_data: Some(vec![3; 48]),
        nonce: Some(vec![1; 32]),
    };
    let wanted = Measurement::from_json("fuzz", nsm.module().pcr_json().as_bytes())
        .expect("the module's own measurement");
    Bench {
        verifier: verifier(root.root_der()),
        document: nsm.attest(MADE, &request).expect("a document in order"),
        references: ReferenceValues::from_iter([wanted]),
        nsm,
        request,
    }
});

struct Bench {
    nsm: SoftwareNsm,
    verifier: Verifier,
    references: ReferenceValues,
    request: AttestationRequest,
    document: Vec<u8>,
}

const MADE: u64 = 1_795_297_611_000;
const PAST: Duration = Duration::from_secs(60);
