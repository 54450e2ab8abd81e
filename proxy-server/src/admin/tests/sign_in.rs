//! Signing in at an OpenID provider with a browser, and attacks on it.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_test_support::{OidcProvider, logs};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::rig::{Call, Reply, Rig, Setup};
use crate::{
    admin::identity::{
        ClientSecret, Oidc, OidcConfig, SignInConfig,
        oidc_tests::{
            signer::Signer,
            world::{Provider, config},
        },
    },
    store::UnixMs,
};

const HOST: &str = "proxy.example:9443";
const CALLBACK: &str = "https://proxy.example:9443/ui/sign-in/callback";
const PENDING: &str = "__Host-countersign-sign-in";

/// What `tests/oidc/server.mjs` knows of the client `web`.
const SECRET: &str = "planted-client-secret-0b7e";

/// What a provider says instead of an object: errors like to repeat it.
const LEAKED: &str = "eyJhbGciOiJFUzI1NiJ9.planted-token-a2c4";

/// A proxy that is the client `web` of this provider.
async fn rig(name: &str, issuer: &str) -> Rig {
    logs::plant("client secret", SECRET);
    let sign_in = SignInConfig {
        client_id: "web".to_owned(),
        client_secret: Some(ClientSecret::new(SECRET).unwrap()),
        public_url: "https://proxy.example:9443".parse().unwrap(),
        scopes: vec!["profile".to_owned()],
        name: "Example".to_owned(),
    };
    let oidc = Oidc::new(OidcConfig { sign_in: Some(sign_in), ..config(issuer) }).unwrap();
    Rig::with(name, Setup { oidc: Some(Arc::new(oidc)), ..Setup::default() }).await
}

/// A browser: its cookies, and what it says of where it comes from.
struct Browser<'r> {
    rig: &'r Rig,
    cookies: Vec<(String, String)>,
}

impl<'r> Browser<'r> {
    fn new(rig: &'r Rig) -> Self {
        Self { rig, cookies: Vec::new() }
    }

    /// Follows a link of the page itself.
    async fn get(&mut self, path: &str) -> Reply {
        self.visit(path, "same-origin").await
    }

    /// Comes by a link or redirect of another site: `Strict` cookies stay at home.
    async fn come(&mut self, path: &str) -> Reply {
        self.visit(path, "cross-site").await
    }

    async fn visit(&mut self, path: &str, site: &str) -> Reply {
        let sent = |name: &str| site == "same-origin" || name == PENDING;
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .filter(|(name, _)| sent(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let call =
            Call::get(path).to(HOST).header("sec-fetch-site", site).header("sec-fetch-mode", "navigate");
        let reply = self
            .rig
            .call(call.header("sec-fetch-dest", "document").header("cookie", &cookies.join("; ")))
            .await;
        for set in reply.headers.get_all("set-cookie") {
            let set = set.to_str().unwrap();
            assert!(set.contains("; Path=/; Secure; HttpOnly; SameSite="), "{set}");
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !set.contains("Max-Age=0") {
                logs::plant("cookie", value);
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        reply
    }

    /// Presses the button: where it leads to.
    async fn begin(&mut self) -> String {
        let reply = self.get("/ui/sign-in/provider").await.expect(StatusCode::SEE_OTHER);
        reply.header("location").to_owned()
    }

    async fn is_signed_in(&mut self) -> bool {
        self.get("/ui/").await.status == StatusCode::OK
    }

    /// Comes back, and must stay outside.
    #[track_caller]
    fn refused(reply: &Reply, status: StatusCode) {
        assert_eq!(reply.status, status, "{}", reply.body);
        let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        assert!(cookies[0].to_str().unwrap().starts_with("__Host-countersign-sign-in=;"), "{cookies:?}");
    }
}

/// One parameter of a URL's query, decoded.
#[track_caller]
fn parameter(url: &str, name: &str) -> String {
    let query: Vec<(String, String)> = axum::extract::Query::try_from_uri(&url.parse().unwrap())
        .map(|axum::extract::Query(all)| all)
        .unwrap();
    let mut found = query.into_iter().filter(|(found, _)| found == name);
    let (_, value) = found.next().unwrap_or_else(|| panic!("no {name} in {url}"));
    assert_eq!(found.next(), None, "{url}");
    value
}

/// What the provider's ID token says to an attempt.
fn claims(provider: &Provider, nonce: &str) -> Value {
    let now = UnixMs::now().0 / 1000;
    json!({
        "iss": provider.issuer, "aud": "web", "sub": "alice", "nonce": nonce, "iat": now, "exp": now + 300,
        "realm_access": { "roles": ["countersign-admins"] },
    })
}

fn token(signer: &Signer, claims: &Value) -> String {
    let token = signer.sign(&json!({ "alg": "ES256", "kid": signer.kid, "typ": "JWT" }), claims);
    logs::plant("ID token", token.rsplit('.').next().unwrap());
    token
}

/// A provider that answers what it is told to, and a proxy that is its client.
struct World {
    provider: Provider,
    signer: Signer,
    rig: Rig,
}

impl World {
    async fn new(name: &str) -> Self {
        let signer = Signer::new("key-1", Algorithm::ES256);
        let provider = Provider::start(&[&signer]).await;
        let rig = rig(name, &provider.issuer).await;
        Self { provider, signer, rig }
    }

    /// The token endpoint gives a token with these claims.
    fn gives(&self, claims: &Value) {
        let answer = json!({ "access_token": "unused", "token_type": "Bearer", "id_token": token(&self.signer, claims) });
        self.provider.set("/token", StatusCode::OK, &answer.to_string());
    }

    /// Signs in with a token that is changed like this.
    async fn with(&self, change: impl FnOnce(&mut Value)) -> Reply {
        let mut browser = Browser::new(&self.rig);
        let url = browser.begin().await;
        let mut claims = claims(&self.provider, &parameter(&url, "nonce"));
        change(&mut claims);
        self.gives(&claims);
        browser.come(&back(&url, "code=c")).await
    }
}

/// The path that the provider sends the browser back to.
fn back(url: &str, what: &str) -> String {
    format!("/ui/sign-in/callback?{what}&state={}", parameter(url, "state"))
}

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

/// The provider's pages, as a browser goes through them: to the path it sends it back to.
async fn at_provider(url: &str, account: &str) -> String {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let (mut cookies, mut next, mut form) = (Vec::<String>::new(), url.to_owned(), None::<String>);
    for _ in 0..6 {
        let request = Request::builder().uri(&next).header("cookie", cookies.join("; "));
        let request = match form.take() {
            None => request.body(Full::default()),
            Some(form) => {
                let request =
                    request.method("POST").header("content-type", "application/x-www-form-urlencoded");
                request.body(Full::<bytes::Bytes>::from(form))
            }
        };
        let response = client.request(request.unwrap()).await.unwrap();
        for set in response.headers().get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let name = pair.split('=').next().unwrap();
            cookies.retain(|known| known.split('=').next() != Some(name));
            cookies.push(pair.to_owned());
        }
        if response.status() == StatusCode::OK {
            form = Some(format!("account={account}"));
            continue;
        }
        let status = response.status();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let Some(location) = location else {
            panic!("{status}: {:?}", response.into_body().collect().await.unwrap().to_bytes());
        };
        if let Some(path) = location.strip_prefix("https://proxy.example:9443") {
            return path.to_owned();
        }
        next = if location.starts_with('/') { format!("{origin}{location}") } else { location };
    }
    panic!("the provider leads nowhere");
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
