//! What signed claims lead to.

use serde_json::{Value, json};

use super::world::{AUDIENCE, NOW_SECONDS, World};
use crate::admin::identity::{
    ClaimPath, JwtRefused, Oidc, OidcConfig, OidcError, Principal, Scope, WorkloadsFrom,
    oidc::claims::LEEWAY_SECONDS,
};

fn refused(judged: Result<Principal, OidcError>) -> JwtRefused {
    match judged {
        Err(OidcError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

fn bad(name: &str) -> JwtRefused {
    JwtRefused::BadClaim { name: name.to_owned() }
}

#[tokio::test]
async fn the_issuer_is_exactly_the_configured_one() {
    let world = World::new().await;
    let expected = world.provider.issuer.clone();
    for found in [format!("{expected}/"), expected.to_uppercase(), "https://evil.example".to_owned()] {
        let judged = world.with_claim("iss", Some(json!(found))).await;
        assert_eq!(refused(judged), JwtRefused::Issuer { expected: expected.clone(), found });
    }
    assert_eq!(refused(world.with_claim("iss", Some(json!([expected]))).await), bad("iss"));
    assert_eq!(refused(world.with_claim("iss", None).await), JwtRefused::MissingClaim { name: "iss" });
}

#[tokio::test]
async fn the_audience_is_ours() {
    let world = World::new().await;
    assert!(world.with_claim("aud", Some(json!(["x", AUDIENCE]))).await.is_ok());
    for found in [json!("https://admin.example/"), json!("x"), json!(""), json!([]), json!(["x", ["y"]])] {
        let judged = world.with_claim("aud", Some(found.clone())).await;
        let expected = JwtRefused::Audience { expected: AUDIENCE.into(), found: found.to_string() };
        assert_eq!(refused(judged), expected);
    }
    assert_eq!(refused(world.with_claim("aud", Some(json!(1))).await), bad("aud"));
    assert_eq!(refused(world.with_claim("aud", None).await), JwtRefused::MissingClaim { name: "aud" });
}

#[tokio::test]
async fn a_token_counts_in_its_time_only() {
    let world = World::new().await;
    let exp = async |value: Value| world.with_claim("exp", Some(value)).await;
    let just_over = NOW_SECONDS - LEEWAY_SECONDS;
    assert_eq!(refused(exp(json!(just_over)).await), JwtRefused::Expired { at: just_over });
    assert!(exp(json!(just_over + 1)).await.is_ok());
    assert!(exp(json!(NOW_SECONDS as f64 + 0.5)).await.is_ok(), "a NumericDate may have a fraction");
    assert_eq!(refused(exp(json!(-1)).await), JwtRefused::Expired { at: -1 });
    assert!(exp(json!(1e300)).await.is_ok());
    assert_eq!(refused(exp(json!("1900000000")).await), bad("exp"));
    assert_eq!(refused(exp(json!(null)).await), bad("exp"));
    assert_eq!(refused(world.with_claim("exp", None).await), JwtRefused::MissingClaim { name: "exp" });

    let nbf = async |value: Value| world.with_claim("nbf", Some(value)).await;
    let from = NOW_SECONDS + LEEWAY_SECONDS + 1;
    assert_eq!(refused(nbf(json!(from)).await), JwtRefused::NotYet { from });
    assert!(nbf(json!(from - 1)).await.is_ok());
    assert_eq!(refused(nbf(json!("soon")).await), bad("nbf"));
    assert!(world.with_claim("nbf", None).await.is_ok());
}

#[tokio::test]
async fn a_token_is_somebodys() {
    let world = World::new().await;
    for sub in [json!(""), json!("x".repeat(256)), json!(7)] {
        assert_eq!(refused(world.with_claim("sub", Some(sub)).await), bad("sub"));
    }
    assert_eq!(refused(world.with_claim("sub", None).await), JwtRefused::MissingClaim { name: "sub" });
}

#[tokio::test]
async fn roles_come_from_mapped_words_only() {
    let world = World::new().await;
    let roles = async |value: Value| world.with_claim("realm_access", Some(json!({"roles": value}))).await;
    assert_eq!(roles(json!(["on-call"])).await.unwrap().roles().to_string(), "viewer,operator");
    assert_eq!(roles(json!("openid on-call")).await.unwrap().roles().to_string(), "viewer,operator");
    for nothing in [json!([]), json!(""), json!(["admin"]), json!(["Countersign-admins"]), json!("*")] {
        let refused = refused(roles(nothing.clone()).await);
        assert_eq!(refused, JwtRefused::NoRole, "{nothing}");
        assert!(refused.is_genuine());
    }
    for wrong in [json!(true), json!({"countersign-admins": true}), json!(["on-call", 7]), json!(null)] {
        assert_eq!(refused(roles(wrong.clone()).await), bad("realm_access.roles"), "{wrong}");
    }
    assert_eq!(refused(world.with_claim("realm_access", None).await), JwtRefused::NoRole);
}

#[tokio::test]
async fn the_scope_comes_from_its_claim_when_there_is_one() {
    let mut world = World::new().await;
    let scope = |judged: Result<Principal, OidcError>| judged.unwrap().scope().clone();
    assert_eq!(scope(world.with_claim("teams", Some(json!(["a"]))).await), Scope::Everything);

    let workloads = WorkloadsFrom::Claim(ClaimPath::new("teams").unwrap());
    world.oidc = Oidc::new(OidcConfig { workloads, ..world.provider.config() }).unwrap();
    let teams = async |value: Value| world.with_claim("teams", Some(value)).await;
    assert_eq!(scope(teams(json!(["a", "b"])).await), "a,b".parse().unwrap());
    assert_eq!(scope(teams(json!("a b")).await), "a,b".parse().unwrap());
    assert_eq!(scope(teams(json!("*")).await), Scope::Everything);
    for wrong in [json!(["a", "*"]), json!(["A"]), json!(["a", "a"]), json!(7)] {
        assert_eq!(refused(teams(wrong.clone()).await), bad("teams"), "{wrong}");
    }
    for nothing in [json!([]), json!(" ")] {
        assert_eq!(refused(teams(nothing).await), JwtRefused::NoWorkloads);
    }
    assert_eq!(refused(world.with_claim("teams", None).await), JwtRefused::NoWorkloads, "not everything");
}
