//! Which keys count, and when they are asked for.

use std::time::Duration;

use http::StatusCode;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    signer::Signer,
    world::{NOW, World},
};
use crate::admin::identity::{
    JwtRefused, Oidc, OidcError, ProviderUnavailable,
    oidc::{
        key_cache::{KEPT, QUIET},
        keys::MAX_KEYS,
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn unknown(kid: &str) -> OidcError {
    OidcError::Refused(JwtRefused::UnknownKey { kid: kid.to_owned() })
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_but_not_often() {
    let mut world = World::new().await;
    let old = world.signer.token(&world.provider.claims());
    assert!(world.judge(&old).await.is_ok());
    assert_eq!(world.provider.questions(), 2, "discovery and keys");

    let next = Signer::new("key-2", Algorithm::ES256);
    let new = next.token(&world.provider.claims());
    world.provider.publish(&[&world.signer, &next]);
    for _ in 0..100 {
        assert_eq!(world.after(QUIET - SECOND, &new).await, Err(unknown("key-2")));
    }
    assert_eq!(world.provider.questions(), 0);
    assert!(world.after(QUIET, &new).await.is_ok());
    assert_eq!(world.provider.questions(), 2);
    assert!(world.after(QUIET, &old).await.is_ok());

    let strange = Signer::new("key-3", Algorithm::ES256).token(&world.provider.claims());
    for _ in 0..100 {
        assert_eq!(world.after(QUIET * 2 - SECOND, &strange).await, Err(unknown("key-3")));
    }
    assert_eq!(world.provider.questions(), 0);
}

#[tokio::test]
async fn keys_outlive_an_outage_and_not_for_ever() {
    let mut world = World::new().await;
    let token = world.signer.token(&world.provider.claims());
    assert!(world.judge(&token).await.is_ok());
    world.provider.set("/jwks", StatusCode::SERVICE_UNAVAILABLE, "");
    assert!(world.after(KEPT - SECOND, &token).await.is_ok());
    let url = format!("{}/jwks", world.provider.issuer);
    let failed = OidcError::Unavailable(ProviderUnavailable::Status { url, status: 503 });
    assert_eq!(world.after(KEPT, &token).await, Err(failed.clone()));
    assert_eq!(world.provider.questions(), 4);
    world.provider.publish(&[&world.signer]);
    assert_eq!(world.after(KEPT + SECOND, &token).await, Err(failed), "asked a second ago");
    assert!(world.after(KEPT + QUIET, &token).await.is_ok());
}

#[tokio::test]
async fn a_withdrawn_key_counts_no_more_once_the_keys_are_renewed() {
    let world = World::new().await;
    let token = world.signer.token(&world.provider.claims());
    assert!(world.judge(&token).await.is_ok());
    let next = Signer::new("key-2", Algorithm::ES256);
    world.provider.publish(&[&next]);
    assert!(world.after(QUIET, &next.token(&world.provider.claims())).await.is_ok());
    assert_eq!(world.after(QUIET, &token).await, Err(unknown("key-1")));
}

#[tokio::test]
async fn one_question_for_all_and_nobody_takes_the_answer_away() {
    let mut world = World::new().await;
    world.provider.hold();
    let token = world.signer.token(&world.provider.claims());
    {
        // A client that asks and goes away.
        let gone = world.oidc.authenticate_at(&token, NOW, world.start);
        tokio::select! {
            biased;
            _ = gone => panic!("nothing was answered"),
            path = world.provider.next_question() => assert_eq!(path, "/.well-known/openid-configuration"),
        }
    }
    world.provider.release();
    let judged = futures_util::future::join_all((0..50).map(|_| world.judge(&token))).await;
    assert!(judged.into_iter().all(|one| one.is_ok()));
    assert_eq!(world.provider.questions(), 1, "the keys, once");
}

#[tokio::test]
async fn keys_are_there_before_anybody_logs_in() {
    let mut world = World::new().await;
    let stop = CancellationToken::new();
    let fresh = world.oidc.keep_fresh(stop.clone());
    let watch = async {
        assert_eq!(world.provider.next_question().await, "/.well-known/openid-configuration");
        assert_eq!(world.provider.next_question().await, "/jwks");
        stop.cancel();
    };
    tokio::join!(fresh, watch);
    assert!(world.judge(&world.signer.token(&world.provider.claims())).await.is_ok());
    assert_eq!(world.provider.questions(), 0);
}

/// Judges a good token by a JWKS.
async fn by_keys(change: impl FnOnce(Value) -> Value) -> Result<(), OidcError> {
    let world = World::new().await;
    let set = change(world.signer.jwk());
    world.provider.set("/jwks", StatusCode::OK, &set.to_string());
    world.judge(&world.signer.token(&world.provider.claims())).await.map(drop)
}

#[tokio::test]
async fn keys_for_other_things_are_no_keys() {
    let no_keys = Err(OidcError::Unavailable(ProviderUnavailable::NoKeys));
    for (name, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["sign"])),
        ("alg", json!("ES384")),
        ("alg", json!("ECDH-ES")),
        ("crv", json!("P-521")),
        ("crv", json!("secp256k1")),
        ("kty", json!("oct")),
        ("kid", json!(null)),
        ("x", json!("!")),
    ] {
        let judged = by_keys(|mut key| {
            key[name] = value;
            json!({"keys": [key]})
        });
        assert_eq!(judged.await, no_keys, "{name}");
    }
    assert_eq!(by_keys(|_| json!({"keys": []})).await, no_keys);
}

#[tokio::test]
async fn keys_that_nobody_understands_do_not_hide_the_others() {
    let strange =
        [json!(7), json!({"kty": "AKP", "kid": "key-1"}), json!({"kty": "oct", "k": "AAAA", "kid": "key-1"})];
    let judged = by_keys(|key| json!({"keys": [strange[0], strange[1], strange[2], key]}));
    assert_eq!(judged.await, Ok(()));
    let bare = |mut key: Value| {
        for name in ["use", "alg", "key_ops"] {
            key.as_object_mut().unwrap().remove(name);
        }
        json!({"keys": [key]})
    };
    assert_eq!(by_keys(bare).await, Ok(()), "a key by its type alone");
}

#[tokio::test]
async fn a_flood_of_keys_is_refused() {
    let many = |count: usize| move |key: Value| json!({"keys": vec![key; count]});
    assert_eq!(by_keys(many(MAX_KEYS)).await, Ok(()));
    let found = MAX_KEYS + 1;
    let refused = ProviderUnavailable::TooManyKeys { found, max: MAX_KEYS };
    assert_eq!(by_keys(many(found)).await, Err(OidcError::Unavailable(refused)));
}

#[tokio::test]
async fn a_point_that_is_on_no_curve_verifies_nothing() {
    let judged = by_keys(|mut key| {
        key["y"] = key["x"].clone();
        json!({"keys": [key]})
    });
    assert_eq!(judged.await, Err(OidcError::Refused(JwtRefused::Signature)));
}

#[test]
fn the_audience_must_be_said() {
    let mut config = super::world::config("https://id.example");
    config.audience.clear();
    assert!(matches!(Oidc::new(config), Err(crate::admin::identity::BadOidcConfig::NoAudience)));
}
