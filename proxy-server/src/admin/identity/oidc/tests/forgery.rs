//! Attacks on signatures, keys and form.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;

use super::{
    signer::{Signer, part, sign_with},
    world::World,
};
use crate::admin::identity::{JwtRefused, MAX_BEARER_BYTES, OidcError, Role};

async fn refused(world: &World, token: &str) -> JwtRefused {
    match world.judge(token).await {
        Err(OidcError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_allowed_algorithm_is_taken() {
    for algorithm in
        [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA]
    {
        let world = World::of(algorithm).await;
        let principal = world.judge(&world.signer.token(&world.provider.claims())).await.unwrap();
        assert_eq!(principal.subject().as_str(), "oidc:alice", "{algorithm:?}");
        assert_eq!(principal.roles(), Role::Admin.into());
    }
}

#[tokio::test]
async fn a_token_that_nobody_signed() {
    let world = World::new().await;
    for alg in ["none", "None", "nOnE"] {
        let header = part(&json!({"alg": alg, "kid": "key-1"}));
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{}.{signature}", part(&world.provider.claims()));
            assert_eq!(refused(&world, &token).await, JwtRefused::AlgNone, "{alg}");
        }
    }
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let world = World::of(Algorithm::RS256).await;
    let modulus = world.signer.jwk()["n"].as_str().unwrap().to_owned();
    let secrets = [modulus.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(&modulus).unwrap()];
    for secret in secrets {
        let key = EncodingKey::from_secret(&secret);
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let found = format!("{algorithm:?}");
            let header = json!({"alg": found, "kid": "key-1"});
            let token = sign_with(&key, algorithm, &header, &world.provider.claims());
            assert_eq!(refused(&world, &token).await, JwtRefused::AlgSymmetric { found });
        }
    }
}

#[tokio::test]
async fn weaker_algorithms_are_refused_though_the_key_could() {
    let world = World::of(Algorithm::RS256).await;
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS512] {
        let signer = Signer::new("key-1", algorithm);
        let token = signer.token(&world.provider.claims());
        let found = format!("{algorithm:?}");
        assert_eq!(refused(&world, &token).await, JwtRefused::AlgNotAllowed { found });
    }
}

#[tokio::test]
async fn a_key_is_used_for_its_own_algorithm_only() {
    // The same RSA key can make both signatures; its JWK says RS256.
    let world = World::of(Algorithm::RS256).await;
    let token = Signer::new("key-1", Algorithm::PS256).token(&world.provider.claims());
    let confused =
        |token, key: &str| JwtRefused::KeyConfusion { kid: "key-1".into(), token, key: key.into() };
    assert_eq!(refused(&world, &token).await, confused("PS256", "RS256"));

    let token = Signer::new("key-1", Algorithm::ES256).token(&world.provider.claims());
    assert_eq!(refused(&world, &token).await, confused("ES256", "RS256"));

    let world = World::of(Algorithm::ES256).await;
    let token = Signer::new("key-1", Algorithm::ES384).token(&world.provider.claims());
    assert_eq!(refused(&world, &token).await, confused("ES384", "ES256"));
}

#[tokio::test]
async fn somebody_elses_key() {
    let world = World::new().await;
    let stranger = Signer::new("key-1", Algorithm::ES256);
    let token = stranger.token(&world.provider.claims());
    assert_eq!(refused(&world, &token).await, JwtRefused::Signature);

    // RFC 7515 section 4.1.3: `jwk` "is the public key that corresponds to the key used to
    // digitally sign": the forger's own, and so not looked at.
    for name in ["jwk", "x5c", "jku", "x5u"] {
        let mut header = stranger.header();
        header[name] = stranger.jwk();
        let token = stranger.sign(&header, &world.provider.claims());
        assert_eq!(refused(&world, &token).await, JwtRefused::Signature, "{name}");
    }
}

#[tokio::test]
async fn a_changed_token() {
    let world = World::new().await;
    let token = world.signer.token(&world.provider.claims());
    let parts: Vec<_> = token.split('.').collect();
    let mut claims = world.provider.claims();
    claims["sub"] = json!("mallory");
    let changed = format!("{}.{}.{}", parts[0], part(&claims), parts[2]);
    assert_eq!(refused(&world, &changed).await, JwtRefused::Signature);
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(refused(&world, &unsigned).await, JwtRefused::Signature);
    // r and s of zero: the "psychic signature" of CVE-2022-21449.
    let psychic = format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([0; 64]));
    assert_eq!(refused(&world, &psychic).await, JwtRefused::Signature);
}

#[tokio::test]
async fn an_unknown_key_and_none() {
    let world = World::new().await;
    let token = Signer::new("key-2", Algorithm::ES256).token(&world.provider.claims());
    assert_eq!(refused(&world, &token).await, JwtRefused::UnknownKey { kid: "key-2".into() });
    for kid in [json!(null), json!(""), json!("x".repeat(256))] {
        let mut header = world.signer.header();
        header["kid"] = kid;
        let token = world.signer.sign(&header, &world.provider.claims());
        assert_eq!(refused(&world, &token).await, JwtRefused::NoKeyId);
    }
}

#[tokio::test]
async fn a_token_that_is_too_long() {
    let world = World::new().await;
    let mut claims = world.provider.claims();
    claims["padding"] = json!("x".repeat(MAX_BEARER_BYTES));
    let token = world.signer.token(&claims);
    let expected = JwtRefused::TooLarge { found: token.len(), max: MAX_BEARER_BYTES };
    assert_eq!(refused(&world, &token).await, expected);
}

#[tokio::test]
async fn a_token_for_something_else() {
    let world = World::new().await;
    for (name, value, expected) in [
        ("typ", json!("logout+jwt"), JwtRefused::Type { found: "logout+jwt".into() }),
        ("typ", json!("dpop+jwt"), JwtRefused::Type { found: "dpop+jwt".into() }),
        ("crit", json!(["exp"]), JwtRefused::Critical),
        ("alg", json!(7), JwtRefused::Header),
        ("alg", json!("ES256K"), JwtRefused::AlgNotAllowed { found: "ES256K".into() }),
    ] {
        let mut header = world.signer.header();
        header[name] = value;
        let token = world.signer.sign(&header, &world.provider.claims());
        assert_eq!(refused(&world, &token).await, expected, "{name}");
    }
    for typ in ["JWT", "jwt", "at+JWT", "application/at+jwt"] {
        let mut header = world.signer.header();
        header["typ"] = json!(typ);
        assert!(world.judge(&world.signer.sign(&header, &world.provider.claims())).await.is_ok(), "{typ}");
    }
}

#[tokio::test]
async fn what_is_no_jwt() {
    let world = World::new().await;
    let good = world.signer.token(&world.provider.claims());
    for bad in ["", "x", ".", "a.b", &format!("{good}.x.y"), &format!("a.{good}")] {
        assert_eq!(refused(&world, bad).await, JwtRefused::Form, "{bad}");
    }
    let (_, rest) = good.split_once('.').unwrap();
    for header in ["", "!", "e30", "W10", "e30="] {
        assert_eq!(refused(&world, &format!("{header}.{rest}")).await, JwtRefused::Header, "{header}");
    }
    for claims in [json!([]), json!("text"), json!(null)] {
        assert_eq!(refused(&world, &world.signer.token(&claims)).await, JwtRefused::Claims, "{claims}");
    }
}
