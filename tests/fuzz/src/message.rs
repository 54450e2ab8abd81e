//! The messages of the attestation port: the three of the exchange, and two about AWS credentials.

use crate::edit::edits;
use crate::recipe::Recipe;
use countersign_protocol::message::{
    AskCredentials, Attest, Challenge, Grant, IssuedCredentials, MessageError,
};
use countersign_protocol::{BootId, Deployment, Epoch, Lease, LeaseBounds, Nonce, SessionId, wire};
use std::fmt::Debug;

/// Any bytes as each of the messages.
pub fn raw(bytes: &[u8]) {
    check(bytes);
}

/// Messages in order are read as they were written, and never as another one; edited ones keep every bound.
pub fn structured(bytes: &[u8]) {
    let mut recipe = Recipe::new(bytes);
    let mut written = match recipe.number(0..=4) {
        0 => {
            let challenge = challenge(&mut recipe);
            let written = challenge.encode();
            assert_eq!(Challenge::decode(&written), Ok(challenge));
            assert!(Attest::decode(&written).is_err() && Grant::decode(&written).is_err());
            written
        }
        1 => {
            let limit = if recipe.seldom() { wire::MAX_DOCUMENT + 64 } else { 300 };
            let document = recipe.run(0..=limit);
            let attest = Attest {
                document: &document,
                lease: lease(&mut recipe),
                boot_id: BootId::from_bytes(recipe.own()),
                sequence: recipe.number(0..=u64::MAX),
            };
            let written = attest.encode();
            let too_long = MessageError::DocumentTooLong { len: document.len() };
            assert_eq!(
                Attest::decode(&written),
                if document.len() <= wire::MAX_DOCUMENT { Ok(attest) } else { Err(too_long) }
            );
            assert!(Challenge::decode(&written).is_err() && Grant::decode(&written).is_err());
            written
        }
        2 => {
            let ask = AskCredentials { session: SessionId::from_bytes(recipe.own()) };
            let written = ask.encode();
            assert!(written.len() <= wire::MAX_ASK_CREDENTIALS);
            assert_eq!(AskCredentials::decode(&written), Ok(ask));
            assert!(IssuedCredentials::decode(&written).is_err() && Grant::decode(&written).is_err());
            written
        }
        3 => {
            let mut text =
                |most| recipe.pick(&["A/+=", "~!", "a b", "\u{7f}", "ä"]).repeat(recipe.size(0..=most));
            let (id, secret, token) = (text(20), text(20), text(600));
            let issued = IssuedCredentials {
                access_key_id: &id,
                secret_access_key: &secret,
                session_token: &token,
                expires: recipe.number(0..=u64::MAX),
            };
            let written = issued.encode();
            let fits = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            let may_be = fits(&id) && fits(&secret) && fits(&token);
            assert_eq!(IssuedCredentials::decode(&written).ok(), may_be.then_some(issued));
            assert!(AskCredentials::decode(&written).is_err() && Attest::decode(&written).is_err());
            written
        }
        _ => {
            let grant = grant(&mut recipe);
            let written = grant.encode();
            let may_be = (1..=Grant::MAX_CERTIFICATES).contains(&(grant.certificates.len() as u64));
            assert_eq!(Grant::decode(&written).ok(), may_be.then_some(grant));
            assert!(Challenge::decode(&written).is_err() && Attest::decode(&written).is_err());
            written
        }
    };
    edits(&mut recipe, &mut written);
    check(&written);
}

/// What holds for any bytes.
fn check(bytes: &[u8]) {
    read(bytes, Challenge::decode, Challenge::encode, |challenge| {
        assert!(challenge.lease_bounds.min() <= challenge.lease_bounds.max());
        within_bounds(challenge.lease_bounds.min());
        within_bounds(challenge.lease_bounds.max());
        assert!((1..=Deployment::MAX).contains(&challenge.deployment.as_str().len()));
    });
    read(bytes, Grant::decode, Grant::encode, |grant| {
        within_bounds(grant.lease);
        assert!((1..=Grant::MAX_CERTIFICATES).contains(&(grant.certificates.len() as u64)));
    });
    read(bytes, AskCredentials::decode, AskCredentials::encode, |_| ());
    match IssuedCredentials::decode(bytes) {
        Ok(issued) => {
            let written = issued.encode();
            assert_eq!(
                IssuedCredentials::decode(&written),
                Ok(issued),
                "not the same when written and read again"
            );
            assert!(written.len() <= bytes.len(), "written longer than read");
            assert!(
                IssuedCredentials::decode(&bytes[..bytes.len() - 1]).is_err(),
                "a message without its last byte"
            );
        }
        Err(error) => readable(&error),
    }
    // Attest borrows from what it is read from, so it does not fit the two above.
    match Attest::decode(bytes) {
        Ok(attest) => {
            within_bounds(attest.lease);
            assert!(attest.document.len() <= wire::MAX_DOCUMENT);
            let written = attest.encode();
            assert_eq!(Attest::decode(&written), Ok(attest), "not the same when written and read again");
            assert!(written.len() <= bytes.len(), "written longer than read");
            assert!(Attest::decode(&bytes[..bytes.len() - 1]).is_err(), "a message without its last byte");
            assert!(matches!(
                Attest::decode(&[bytes, &[0]].concat()),
                Err(MessageError::Trailing { extra: 1, .. })
            ));
        }
        Err(error) => readable(&error),
    }
}

fn read<M: Debug + PartialEq>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<M, MessageError>,
    encode: impl Fn(&M) -> Vec<u8>,
    invariants: impl Fn(&M),
) {
    match decode(bytes) {
        Ok(message) => {
            invariants(&message);
            let written = encode(&message);
            assert_eq!(decode(&written).as_ref(), Ok(&message), "not the same when written and read again");
            assert!(written.len() <= bytes.len(), "written longer than read");
            assert!(decode(&bytes[..bytes.len() - 1]).is_err(), "a message without its last byte");
            assert!(matches!(decode(&[bytes, &[0]].concat()), Err(MessageError::Trailing { extra: 1, .. })));
        }
        Err(error) => readable(&error),
    }
}

fn readable(error: &MessageError) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
}

fn within_bounds(lease: Lease) {
    assert!((30..=600).contains(&lease.as_secs()), "{lease:?}");
}

fn challenge(recipe: &mut Recipe<'_>) -> Challenge {
    let (one, other) = (lease(recipe), lease(recipe));
    let length = recipe.size(1..=Deployment::MAX);
    let name: String = recipe.pick(&["demo", "a.b_c-9", "Z"]).chars().cycle().take(length).collect();
    Challenge {
        nonce: Nonce::from_bytes(recipe.own()),
        deployment: name.parse().expect("a deployment in order"),
        epoch: Epoch(recipe.number(0..=u64::MAX)),
        lease_bounds: LeaseBounds::new(one.min(other), one.max(other)).expect("bounds in order"),
    }
}

fn grant(recipe: &mut Recipe<'_>) -> Grant {
    Grant {
        session: SessionId::from_bytes(recipe.own()),
        lease: lease(recipe),
        epoch: Epoch(recipe.number(0..=u64::MAX)),
        certificates: (0..recipe.size(0..=4)).map(|_| recipe.run(0..=1_000)).collect(),
    }
}

fn lease(recipe: &mut Recipe<'_>) -> Lease {
    Lease::from_secs(recipe.number(30..=600)).expect("a lease in order")
}
