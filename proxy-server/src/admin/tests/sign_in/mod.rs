//! Signing in at an OpenID provider with a browser, and attacks on it.

mod world;

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_test_support::{OidcProvider, logs};
use http::StatusCode;
use serde_json::{Value, json};

use super::rig::Call;
use crate::store::UnixMs;
use world::{Browser, CALLBACK, HOST, PENDING, SECRET, World, at_provider, back, claims, parameter, rig};

/// What a provider says instead of an object: errors like to repeat it.
const LEAKED: &str = "eyJhbGciOiJFUzI1NiJ9.planted-token-a2c4";

#[tokio::test]
async fn somebody_signs_in_at_a_real_provider() {
    let Some(provider) = OidcProvider::start(&[CALLBACK]) else { return };
    let rig = rig("sign-in-real", &provider.issuer).await;
    let mut browser = Browser::new(&rig);
    let page = browser.get("/ui/sign-in").await.expect(StatusCode::OK);
    assert!(page.body.as_str().unwrap().contains("Sign in with Example"));
    assert!(page.header("content-security-policy").contains("form-action 'self';"));

    let url = browser.begin().await;
    logs::plant("sign-in state", parameter(&url, "state"));
    logs::plant("sign-in nonce", parameter(&url, "nonce"));
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "web"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid profile"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(parameter(&url, name), value);
    }
    let path = at_provider(&url, "alice").await;
    logs::plant("authorization code", parameter(&format!("https://x{path}"), "code"));
    let page = browser.come(&path).await.expect(StatusCode::OK);
    // The browser came from elsewhere: a redirect would not bring the login's cookie along.
    assert!(page.body.as_str().unwrap().contains("http-equiv=\"refresh\" content=\"0; url=/ui/\""));
    assert!(!browser.cookies.iter().any(|(name, _)| name == PENDING), "used up");
    let page = browser.get("/ui/").await.expect(StatusCode::OK);
    assert!(page.body.as_str().unwrap().contains("oidc:alice"));

    // The same answer once more, in the same browser, says nothing.
    Browser::refused(&browser.come(&path).await, StatusCode::FORBIDDEN);

    // Somebody else's code: the provider gives nothing for it without the verifier (RFC 7636 section 1).
    let mut victim = Browser::new(&rig);
    let stolen = at_provider(&victim.begin().await, "alice").await;
    let mut thief = Browser::new(&rig);
    let own = thief.begin().await;
    let stolen = parameter(&format!("https://x{stolen}"), "code");
    let issuer = crate::percent::encoded(&provider.issuer);
    let injected = thief.come(&back(&own, &format!("iss={issuer}&code={stolen}"))).await;
    Browser::refused(&injected, StatusCode::UNAUTHORIZED);
    rig.audited("access sign-in-code").await;

    // Known there, and nobody here.
    let mut stranger = Browser::new(&rig);
    let path = at_provider(&stranger.begin().await, "mallory").await;
    Browser::refused(&stranger.come(&path).await, StatusCode::FORBIDDEN);
    rig.audited("access no-role").await;

    // Somebody who thinks better of it.
    let mut other = Browser::new(&rig);
    let path = at_provider(&other.begin().await, "").await;
    assert!(path.contains("error=access_denied"), "{path}");
    Browser::refused(&other.come(&path).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_the_provider_is_asked_and_told() {
    let world = World::new("sign-in-form").await;
    world.with(|_| {}).await.expect(StatusCode::OK);
    let forms = world.provider.forms();
    let [(shown, form)] = forms.as_slice() else { panic!("{forms:?}") };
    let expected = format!("Basic {}", STANDARD.encode(format!("web:{SECRET}")));
    assert_eq!(shown.as_deref(), Some(&*expected));
    assert!(
        form.starts_with(
            "grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fproxy.example%3A9443%2F"
        ),
        "{form}"
    );
    assert!(form.contains("&code_verifier=") && !form.contains(SECRET), "{form}");
    // An endpoint's own query stays.
    assert!(
        Browser::new(&world.rig)
            .begin()
            .await
            .starts_with(&format!("{}/auth?tenant=a&response_type=code&", world.provider.issuer))
    );

    // A provider that wants the secret in the form.
    let world = World::new("sign-in-post").await;
    let mut metadata = world.provider.metadata();
    metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    world.provider.discovery(&metadata);
    world.with(|_| {}).await.expect(StatusCode::OK);
    let forms = world.provider.forms();
    assert!(
        forms[0].0.is_none() && forms[0].1.ends_with(&format!("&client_id=web&client_secret={SECRET}")),
        "{forms:?}"
    );
}

#[tokio::test]
async fn nobody_is_signed_in_by_anothers_answer() {
    let world = World::new("sign-in-csrf").await;
    // Login CSRF: an attacker signs in up to the last step, and makes another's browser take it.
    let mut attacker = Browser::new(&world.rig);
    let url = attacker.begin().await;
    world.gives(&claims(&world.provider, &parameter(&url, "nonce")));
    let mut victim = Browser::new(&world.rig);
    Browser::refused(&victim.come(&back(&url, "code=c")).await, StatusCode::FORBIDDEN);
    assert!(!victim.is_signed_in().await);
    // It is used up: the attacker himself gets nothing of it any more.
    Browser::refused(&attacker.come(&back(&url, "code=c")).await, StatusCode::FORBIDDEN);
    assert_eq!(world.provider.forms(), []);

    // A victim who is at the provider himself has a cookie, and it is of his own attempt.
    let url = attacker.begin().await;
    victim.begin().await;
    Browser::refused(&victim.come(&back(&url, "code=c")).await, StatusCode::FORBIDDEN);

    // Answers that are none, or to nothing.
    let url = attacker.begin().await;
    let state = parameter(&url, "state");
    for path in [
        "/ui/sign-in/callback".to_owned(),
        "/ui/sign-in/callback?code=c".to_owned(),
        "/ui/sign-in/callback?code=c&state=guessed".to_owned(),
        format!("/ui/sign-in/callback?state={state}"),
        format!("/ui/sign-in/callback?code=c&code=d&state={state}"),
        format!("/ui/sign-in/callback?code=c&state={state}&state=x"),
    ] {
        let cookies = attacker.cookies.clone();
        Browser::refused(&attacker.come(&path).await, StatusCode::FORBIDDEN);
        attacker.cookies = cookies;
    }
    assert_eq!(world.provider.forms(), []);
    world.gives(&claims(&world.provider, &parameter(&url, "nonce")));
    attacker.come(&back(&url, "code=c")).await.expect(StatusCode::OK);
    assert!(attacker.is_signed_in().await, "the attempt itself is good");
}

#[tokio::test]
async fn a_page_elsewhere_signs_nobody_in() {
    let world = World::new("sign-in-start").await;
    let start = "/ui/sign-in/provider";
    let mut browser = Browser::new(&world.rig);
    browser.come(start).await.expect(StatusCode::FORBIDDEN);
    let silent = Call::get(start).to(HOST);
    world.rig.call(silent).await.expect(StatusCode::FORBIDDEN);
    assert_eq!(browser.cookies, []);
    // In a frame or by a script of another page it never gets so far.
    let framed =
        Call::get(start).to(HOST).header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "navigate");
    world.rig.call(framed.header("sec-fetch-dest", "iframe")).await.problem(403, "foreign-origin");
    let scripted =
        Call::get("/ui/sign-in/callback?code=c&state=s").to(HOST).header("sec-fetch-site", "cross-site");
    world.rig.call(scripted.header("sec-fetch-mode", "no-cors")).await.problem(403, "foreign-origin");
    // By another name of this proxy the cookie would be lost on the way.
    let named = Call::get(start).to("10.0.0.7:9443").header("sec-fetch-site", "same-origin");
    let reply = world.rig.call(named).await.expect(StatusCode::SEE_OTHER);
    assert_eq!(reply.header("location"), "https://proxy.example:9443/ui/sign-in");
}

#[tokio::test]
async fn where_it_goes_on_to_is_never_asked() {
    let world = World::new("sign-in-redirect").await;
    let mut browser = Browser::new(&world.rig);
    let more = "return_to=https://evil.example&next=//evil.example&redirect_uri=https://evil.example";
    let reply = browser.get(&format!("/ui/sign-in/provider?{more}")).await.expect(StatusCode::SEE_OTHER);
    let url = reply.header("location").to_owned();
    assert!(!url.contains("evil"), "{url}");
    assert_eq!(parameter(&url, "redirect_uri"), CALLBACK);
    world.gives(&claims(&world.provider, &parameter(&url, "nonce")));
    let page = browser.come(&back(&url, &format!("code=c&{more}"))).await.expect(StatusCode::OK);
    assert!(!page.body.as_str().unwrap().contains("evil"));
    assert!(page.body.as_str().unwrap().contains("content=\"0; url=/ui/\""));
    // Nor is what others wrote repeated.
    let url = browser.begin().await;
    let told = "error=%3Cscript%3Ealert(1)%3C/script%3E&error_description=call+0900-evil";
    let page = browser.come(&back(&url, told)).await;
    Browser::refused(&page, StatusCode::FORBIDDEN);
    let text = page.body.as_str().unwrap();
    assert!(!text.contains("alert(1)") && !text.contains("0900"), "{text}");
}

#[tokio::test]
async fn an_answer_of_another_provider_is_refused() {
    // RFC 9700 section 4.4, RFC 9207: a provider that names itself, and one that promised to.
    let world = World::new("sign-in-mix-up").await;
    let mut browser = Browser::new(&world.rig);
    let url = browser.begin().await;
    world.gives(&claims(&world.provider, &parameter(&url, "nonce")));
    let reply = browser.come(&back(&url, "code=c&iss=https%3A%2F%2Fevil.example")).await;
    Browser::refused(&reply, StatusCode::UNAUTHORIZED);
    assert_eq!(world.provider.forms(), [], "the code goes nowhere");
    let url = browser.begin().await;
    world.gives(&claims(&world.provider, &parameter(&url, "nonce")));
    let own = format!("code=c&iss={}", crate::percent::encoded(&world.provider.issuer));
    browser.come(&back(&url, &own)).await.expect(StatusCode::OK);

    let world = World::new("sign-in-promised").await;
    let mut metadata = world.provider.metadata();
    metadata["authorization_response_iss_parameter_supported"] = json!(true);
    world.provider.discovery(&metadata);
    Browser::refused(&world.with(|_| {}).await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.provider.forms(), []);
    world.rig.audited("access sign-in-issuer").await;
}

#[tokio::test]
async fn an_id_token_is_for_this_sign_in_of_this_client() {
    // One failed login is free of a wait five times; each mistake has a proxy of its own.
    for (code, status, change) in [
        ("jwt-nonce", 401, json!({ "nonce": "another" })),
        ("jwt-missing-claim", 401, json!({ "nonce": null })),
        ("jwt-audience", 401, json!({ "aud": "other" })),
        ("jwt-audience", 401, json!({ "aud": ["web", "https://other.example"] })),
        ("jwt-audience", 401, json!({ "aud": "https://admin.example" })),
        ("jwt-authorized-party", 401, json!({ "azp": "other" })),
        ("jwt-issuer", 401, json!({ "iss": "https://evil.example" })),
        ("jwt-expired", 401, json!({ "exp": 1 })),
        ("jwt-missing-claim", 401, json!({ "iat": null })),
        ("no-role", 403, json!({ "realm_access": { "roles": ["nobody"] } })),
    ] {
        let world = World::new(&format!("sign-in-{code}-{status}")).await;
        let reply = world
            .with(|claims| {
                for (name, value) in change.as_object().unwrap() {
                    match value {
                        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                        value => claims[name] = value.clone(),
                    }
                }
            })
            .await;
        Browser::refused(&reply, StatusCode::from_u16(status).unwrap());
        world.rig.audited(&format!("access {code}")).await;
    }
    // The API's own audience beside the client's is no stranger.
    let world = World::new("sign-in-both").await;
    let both = world.with(|claims| claims["aud"] = json!(["web", "https://admin.example"])).await;
    both.expect(StatusCode::OK);

    // An access token, and a token that nobody signed, are no ID tokens.
    for (code, header) in [
        ("jwt-type", json!({ "alg": "ES256", "kid": "key-1", "typ": "at+jwt" })),
        ("jwt-alg-none", json!({ "alg": "none", "kid": "key-1", "typ": "JWT" })),
    ] {
        let world = World::new(&format!("sign-in-{code}")).await;
        let mut browser = Browser::new(&world.rig);
        let url = browser.begin().await;
        let forged = world.signer.sign(&header, &claims(&world.provider, &parameter(&url, "nonce")));
        world.provider.set("/token", StatusCode::OK, &json!({ "id_token": forged }).to_string());
        Browser::refused(&browser.come(&back(&url, "code=c")).await, StatusCode::UNAUTHORIZED);
        world.rig.audited(&format!("access {code}")).await;
    }
}

#[tokio::test]
async fn a_provider_that_gives_nothing_of_use_is_no_failure_of_the_person() {
    let world = World::new("sign-in-away").await;
    let elsewhere = format!("{}/other", world.provider.issuer);
    let answers = [
        (StatusCode::OK, "{}".to_owned()),
        (StatusCode::OK, format!("\"{LEAKED}\"")),
        (StatusCode::OK, " ".repeat(300 * 1024)),
        (StatusCode::FOUND, elsewhere),
        (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        (StatusCode::UNAUTHORIZED, "{\"error\":\"invalid_client\"}".to_owned()),
    ];
    logs::plant("ID token", LEAKED);
    // After five failed logins there would be a wait.
    for (number, (status, body)) in answers.iter().chain(&answers).enumerate() {
        world.provider.set("/token", *status, body);
        let mut browser = Browser::new(&world.rig);
        let url = browser.begin().await;
        Browser::refused(&browser.come(&back(&url, "code=c")).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(world.provider.forms().len(), number + 1, "asked once, redirects not followed");
    }
    // One that gives tokens and signs nobody in, and one that would send people over plain HTTP.
    for (name, value) in
        [("token_endpoint", json!(null)), ("authorization_endpoint", json!("http://evil.example/auth"))]
    {
        let world = World::new("sign-in-endpoints").await;
        let mut metadata = world.provider.metadata();
        metadata[name] = value;
        world.provider.discovery(&metadata);
        let reply = Browser::new(&world.rig).get("/ui/sign-in/provider").await;
        reply.expect(StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn a_login_does_not_outlive_the_providers_word() {
    let world = World::new("sign-in-end").await;
    // A clock that differs is forgiven where a token is judged, and no login is made longer by it.
    let over = UnixMs::now().0 / 1000 - 1;
    world.with(|claims| claims["exp"] = json!(over)).await.expect(StatusCode::OK);
    let mut browser = Browser::new(&world.rig);
    let url = browser.begin().await;
    let mut told = claims(&world.provider, &parameter(&url, "nonce"));
    told["exp"] = json!(over);
    world.gives(&told);
    browser.come(&back(&url, "code=c")).await.expect(StatusCode::OK);
    assert!(!browser.is_signed_in().await);
}
