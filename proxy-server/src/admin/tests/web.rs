//! The web page over real TLS, without a browser: what it gives, and what it refuses.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};

use super::rig::{Call, Reply, Rig, Setup, pcrs};

/// A browser, as far as these tests need one.
struct Browser<'r> {
    rig: &'r Rig,
    cookie: String,
    csrf: String,
}

impl<'r> Browser<'r> {
    async fn signed_in(rig: &'r Rig, token: &str) -> Self {
        let reply = sign_in(rig, token).await.expect(StatusCode::SEE_OTHER);
        assert_eq!(reply.header("location"), "/ui/");
        let set = reply.header("set-cookie");
        assert!(set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{set}");
        let cookie = set.split(';').next().unwrap().to_owned();
        let mut browser = Self { rig, cookie, csrf: String::new() };
        let page = browser.get("/ui/explain").await.expect(StatusCode::OK);
        browser.csrf = after(text(&page), "name=\"csrf\" value=\"").to_owned();
        browser
    }

    async fn get(&self, path: &str) -> Reply {
        self.rig.call(Call::get(path).header("cookie", &self.cookie)).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let mut fields = fields.to_vec();
        fields.push(("csrf", &self.csrf));
        self.rig.call(form(path, &fields).header("cookie", &self.cookie)).await
    }
}

async fn sign_in(rig: &Rig, token: &str) -> Reply {
    rig.call(form("/ui/sign-in", &[("token", token)]).header("sec-fetch-site", "same-origin")).await
}

fn form(path: &str, fields: &[(&str, &str)]) -> Call {
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    Call::post(path).body("application/x-www-form-urlencoded", &pairs.join("&"))
}

#[track_caller]
fn text(reply: &Reply) -> &str {
    reply.body.as_str().unwrap_or_else(|| panic!("no text: {:?}", reply.body))
}

#[track_caller]
fn after<'t>(text: &'t str, mark: &str) -> &'t str {
    text.split(mark).nth(1).unwrap_or_else(|| panic!("no {mark} in {text}")).split('"').next().unwrap()
}

#[tokio::test]
async fn nobody_sees_a_page_without_signing_in_and_every_page_is_protected() {
    let rig = Rig::start("web-sign-in").await;
    for path in ["/ui/", "/ui/sessions", "/ui/measurements", "/ui/audit", "/ui/explain"] {
        let reply = rig.call(Call::get(path)).await.expect(StatusCode::SEE_OTHER);
        assert_eq!(reply.header("location"), "/ui/sign-in", "{path}");
        assert!(reply.headers.get("set-cookie").is_none(), "a login that the browser did not show goes on");
    }
    rig.call(Call::get("/ui/live")).await.expect(StatusCode::UNAUTHORIZED);
    assert_eq!(rig.call(Call::get("/")).await.expect(StatusCode::SEE_OTHER).header("location"), "/ui/");
    let page = rig.call(Call::get("/ui/sign-in")).await.expect(StatusCode::OK);
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(text(&page).contains("Simulator build"), "a development build says so on every page");
    assert!(!text(&page).contains("<script>") && !text(&page).contains("style="));
    for asset in ["style.css", "live.js", "icon.svg"] {
        rig.call(Call::get(&format!("/ui/assets/{asset}"))).await.expect(StatusCode::OK);
    }
    // A link on another site leads to the page, and to nothing else.
    let visit = |path: &str, mode: &str| {
        let call = Call::get(path).header("sec-fetch-site", "cross-site").header("sec-fetch-mode", mode);
        rig.call(call.header("sec-fetch-dest", "document"))
    };
    visit("/ui/sign-in", "navigate").await.expect(StatusCode::OK);
    visit("/ui/sign-in", "no-cors").await.problem(403, "foreign-origin");
    visit("/v1/sessions", "navigate").await.problem(403, "foreign-origin");
    let told = rig.call(Call::get("/ui/").header("x-countersign-live", "1")).await;
    told.expect(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_sign_in_takes_a_token_of_ours_from_our_own_page() {
    let rig = Rig::start("web-token").await;
    let token = rig.admin().await;
    for (wrong, status) in [("", 422), ("a b", 422), ("nonsense", 401)] {
        let reply = sign_in(&rig, wrong).await;
        assert_eq!(reply.status.as_u16(), status, "{wrong:?}");
        assert!(reply.headers.get("set-cookie").is_none());
    }
    // A page elsewhere that signs somebody in as somebody else.
    let call = form("/ui/sign-in", &[("token", &token)]);
    rig.call(call.clone().header("origin", "https://evil.example")).await.problem(403, "foreign-origin");
    rig.call(call.clone().header("sec-fetch-site", "cross-site")).await.problem(403, "foreign-origin");
    rig.call(call.clone()).await.expect(StatusCode::FORBIDDEN);
    rig.call(call.header("origin", "https://localhost")).await.expect(StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_store_that_does_not_answer_signs_nobody_out() {
    let rig = Rig::start("web-store").await;
    let browser = Browser::signed_in(&rig, &rig.admin().await).await;
    let file = SqliteConnectOptions::new().filename(rig.directory.join("countersign.db"));
    let mut database = file.connect().await.unwrap();
    database.execute("ALTER TABLE token RENAME TO hidden").await.unwrap();
    let page = browser.get("/ui/").await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.headers.get("set-cookie").is_none() && text(&page).contains("still signed in"), "{page:?}");
    database.execute("ALTER TABLE hidden RENAME TO token").await.unwrap();
    browser.get("/ui/").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_login_ends_with_its_token_and_by_signing_out() {
    let rig = Rig::start("web-over").await;
    let (token, record) = rig.token_made("short", "viewer", "*").await;
    let browser = Browser::signed_in(&rig, &token).await;
    browser.get("/ui/").await.expect(StatusCode::OK);
    let admin = rig.admin().await;
    rig.call(Call::delete(&format!("/v1/tokens/{}", record.id)).with(&admin))
        .await
        .expect(StatusCode::NO_CONTENT);
    let over = browser.get("/ui/").await.expect(StatusCode::SEE_OTHER);
    assert!(over.header("set-cookie").contains("Max-Age=0"));

    let browser = Browser::signed_in(&rig, &admin).await;
    browser.post("/ui/sign-out", &[]).await.expect(StatusCode::SEE_OTHER);
    browser.get("/ui/").await.expect(StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_form_without_its_secret_does_nothing() {
    let rig = Rig::start("web-csrf").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 7).await;
    let mut browser = Browser::signed_in(&rig, &admin).await;
    let revoke = "/ui/measurements/payments/v1/revoke";
    let own = std::mem::replace(&mut browser.csrf, "guessed".to_owned());
    browser.post(revoke, &[]).await.expect(StatusCode::FORBIDDEN);
    browser.csrf = String::new();
    browser.post(revoke, &[]).await.expect(StatusCode::FORBIDDEN);
    // The secret of another login.
    browser.csrf = Browser::signed_in(&rig, &admin).await.csrf;
    browser.post(revoke, &[]).await.expect(StatusCode::FORBIDDEN);
    browser.csrf = own;
    let call = form(revoke, &[("csrf", &browser.csrf)]).header("cookie", &browser.cookie);
    rig.call(call.header("origin", "https://evil.example")).await.problem(403, "foreign-origin");
    assert!(!rig.audit().await.contains("policy measurement-revoked"));

    // What it would do is seen first; then it is done, once, by who signed in.
    let page = browser.get(revoke).await.expect(StatusCode::OK);
    assert!(text(&page).contains("this revocation ends no session and cuts no tunnel"), "{}", text(&page));
    let page = browser.post(revoke, &[("reason", "key leaked")]).await.expect(StatusCode::OK);
    assert!(text(&page).contains("Revoked: "), "{}", text(&page));
    let page = browser.get("/ui/audit?kind=policy&workload=payments").await.expect(StatusCode::OK);
    assert!(text(&page).contains("key leaked") && text(&page).contains("token:"), "{}", text(&page));
    browser.post(revoke, &[]).await.expect(StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_viewer_may_look_and_not_touch() {
    let rig = Rig::start("web-viewer").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 7).await;
    let viewer = rig.token("viewer", "viewer", "*").await;
    let browser = Browser::signed_in(&rig, &viewer).await;
    let page = browser.get("/ui/measurements/payments/v1").await.expect(StatusCode::OK);
    assert!(!text(&page).contains("/revoke"), "what he may not is not offered");
    let page = browser.get("/ui/measurements/add").await.expect(StatusCode::OK);
    assert!(text(&page).contains("<option value=\"payments\">"), "{}", text(&page));
    let pcrs = pcrs(8).to_string();
    for (path, fields) in [
        ("/ui/measurements/payments/v1/revoke", &[][..]),
        ("/ui/measurements/payments/v1/approve", &[("revision", "1")]),
        ("/ui/measurements/add", &[("workload", "payments"), ("name", "v2"), ("pcrs", &pcrs)]),
        ("/ui/sessions/5d1f0a9cc4e1b7a25d1f0a9cc4e1b7a2/end", &[]),
    ] {
        let reply = browser.post(path, fields).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}: {}", text(&reply));
        assert!(text(&reply).contains("role-missing"), "{path}");
    }
    // Another team's is as if it were not there.
    let team = rig.token("team", "viewer", "billing").await;
    let browser = Browser::signed_in(&rig, &team).await;
    browser.get("/ui/measurements/payments/v1").await.expect(StatusCode::NOT_FOUND);
    let page = browser.get("/ui/").await.expect(StatusCode::OK);
    assert!(text(&page).contains("for those who may see all workloads"), "{}", text(&page));
}

#[tokio::test]
async fn a_second_person_approves_what_they_saw() {
    let setup = Setup { approvals: 1, ..Setup::default() };
    let rig = Rig::with("web-approval", setup).await;
    let (author, second) = (rig.admin().await, rig.token("second", "approver", "*").await);
    let body = json!({ "name": "payments", "destinations": [] });
    rig.call(Call::post("/v1/workloads").with(&author).json(&body)).await.expect(StatusCode::CREATED);
    let (first, other) = (Browser::signed_in(&rig, &author).await, Browser::signed_in(&rig, &second).await);
    let pcrs = pcrs(9).to_string();
    let fields = [("workload", "payments"), ("name", "v1"), ("pcrs", pcrs.as_str())];
    let checked = first.post("/ui/measurements/add", &[&fields[..], &[("check", "yes")]].concat()).await;
    assert!(text(&checked.expect(StatusCode::OK)).contains("Nothing was changed"));
    let added = first.post("/ui/measurements/add", &fields).await.expect(StatusCode::OK);
    assert!(text(&added).contains("it admits nobody until it is approved"), "{}", text(&added));

    let page = other.get("/ui/measurements/payments/v1").await.expect(StatusCode::OK);
    let revision = after(text(&page), "name=\"revision\" value=\"").to_owned();
    let approve = "/ui/measurements/payments/v1/approve";
    let own = first.post(approve, &[("revision", &revision)]).await.expect(StatusCode::CONFLICT);
    assert!(text(&own).contains("own-approval"));
    other.post(approve, &[("revision", "999")]).await.expect(StatusCode::PRECONDITION_FAILED);
    let done = other.post(approve, &[("revision", &revision)]).await.expect(StatusCode::OK);
    assert!(text(&done).contains("It is in force."), "{}", text(&done));
}

#[tokio::test]
async fn a_longer_validity_is_shown_to_whoever_approves_it() {
    let rig = Rig::with("web-longer", Setup { approvals: 1, ..Setup::default() }).await;
    let author = rig.admin().await;
    let (second, record) = rig.token_made("second", "admin", "*").await;
    let subject = format!("token:{}", record.id);
    let third = rig.token("third", "approver", "*").await;
    let body = json!({ "name": "payments", "destinations": [] });
    rig.call(Call::post("/v1/workloads").with(&author).json(&body)).await.expect(StatusCode::CREATED);
    let until = "2031-01-01T00:00:00Z";
    let body = json!({ "name": "v1", "pcrs": pcrs(9), "expires": until });
    let list = "/v1/workloads/payments/measurements";
    rig.call(Call::post(list).with(&author).json(&body)).await.expect(StatusCode::CREATED);
    let one = "/v1/workloads/payments/measurements/v1";
    let approve = Call::post("/v1/workloads/payments/measurements/v1/approvals")
        .with(&third)
        .header("if-match", "\"1\"");
    rig.call(approve).await.expect(StatusCode::OK);
    let approver = Browser::signed_in(&rig, &third).await;
    let overview = approver.get("/ui/").await.expect(StatusCode::OK);
    assert!(!text(&overview).contains("Waiting for approval"), "{}", text(&overview));

    let patch = |expires| Call::patch(one).with(&second).json(&json!({ "expires": expires }));
    rig.call(patch(json!(null)).header("if-match", "\"2\"")).await.expect(StatusCode::OK);
    let overview = approver.get("/ui/").await.expect(StatusCode::OK);
    assert!(text(&overview).contains(&format!("a validity that {subject} asks for")), "{}", text(&overview));
    let page = approver.get("/ui/measurements/payments/v1").await.expect(StatusCode::OK);
    let waiting = text(&page).split_once("Waits for approval").unwrap().1;
    assert!(waiting.contains(&format!("{subject} asks that it admits longer")), "{waiting}");
    assert!(waiting.contains("<dt>Admits until</dt><dd>for ever</dd>"), "{waiting}");
    assert!(waiting.contains(&format!("Somebody else than {subject} must say yes")), "{waiting}");

    let browser = Browser::signed_in(&rig, &second).await;
    let revision = after(text(&page), "name=\"revision\" value=\"").to_owned();
    let withdraw = "/ui/measurements/payments/v1/withdraw";
    let done = browser.post(withdraw, &[("revision", &revision)]).await.expect(StatusCode::OK);
    assert!(text(&done).contains("Taken back. What was in force stays."), "{}", text(&done));
    let body = json!({ "name": "v2", "pcrs": pcrs(10) });
    rig.call(Call::post(list).with(&author).json(&body)).await.expect(StatusCode::CREATED);
    let withdraw = "/ui/measurements/payments/v2/withdraw";
    let done = browser.post(withdraw, &[("revision", "1")]).await.expect(StatusCode::OK);
    assert!(text(&done).contains("Taken back. Nothing of it is left."), "{}", text(&done));
}

#[tokio::test]
async fn what_others_wrote_is_text_and_never_markup() {
    let rig = Rig::start("web-xss").await;
    let admin = rig.admin().await;
    let hostile = "\"><script>alert(1)</script><img src=x onerror=alert(2)>";
    let escaped = "&lt;script&gt;alert(1)&lt;/script&gt;";
    let body = json!({ "name": "payments", "destinations": [], "description": hostile });
    rig.call(Call::post("/v1/workloads").with(&admin).json(&body)).await.expect(StatusCode::CREATED);
    let body = json!({ "name": "v1", "pcrs": pcrs(3), "version": hostile });
    rig.call(Call::post("/v1/workloads/payments/measurements").with(&admin).json(&body))
        .await
        .expect(StatusCode::CREATED);
    let browser = Browser::signed_in(&rig, &admin).await;
    for path in [
        "/ui/measurements",
        "/ui/measurements/payments/v1",
        "/ui/audit",
        "/ui/audit?actor=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/ui/sessions?workload=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/ui/measurements/%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E/v1",
    ] {
        let page = browser.get(path).await;
        let text = text(&page);
        assert!(!text.contains("<script>alert") && !text.contains("<img src=x"), "{path}: {text}");
        assert!(text.contains(escaped), "{path}: it is shown as what it is: {text}");
    }
    let page = browser.post("/ui/explain", &[("evidence", hostile)]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(&page).contains(escaped) && !text(&page).contains("<script>alert"), "{}", text(&page));
}

#[tokio::test]
async fn an_image_is_explained_before_an_enclave_runs_it() {
    let rig = Rig::start("web-explain").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 7).await;
    rig.enforce().await;
    let browser = Browser::signed_in(&rig, &admin).await;
    let own = browser.post("/ui/explain", &[("evidence", &pcrs(7).to_string())]).await;
    assert!(text(&own.expect(StatusCode::OK)).contains("Would be admitted"));
    let other = browser.post("/ui/explain", &[("evidence", &pcrs(8).to_string())]).await;
    let other = other.expect(StatusCode::OK);
    assert!(text(&other).contains("Would be refused"), "{}", text(&other));
    assert!(
        text(&other).contains("What differs from payments/v1") && text(&other).contains("the enclave image")
    );
    // A program asks the same.
    let told = rig.call(Call::post("/v1/explain").with(&admin).json(&json!({ "pcrs": pcrs(7) }))).await;
    let told = told.expect(StatusCode::OK).body;
    assert_eq!((&told["admitted"], &told["evidence"]), (&json!(true), &json!(null)));
    rig.call(Call::post("/v1/explain").with(&admin).json(&json!({}))).await.problem(422, "invalid");
    let both = json!({ "pcrs": pcrs(7), "document": "AAAA" });
    rig.call(Call::post("/v1/explain").with(&admin).json(&both)).await.problem(422, "invalid");
}

#[tokio::test]
async fn the_stream_of_events_is_the_apis_own() {
    let rig = Rig::start("web-live").await;
    let token = rig.token("viewer", "viewer", "*").await;
    let browser = Browser::signed_in(&rig, &token).await;
    let first = tokio::time::timeout(
        Duration::from_secs(10),
        rig.first_of_stream(Call::get("/ui/live").header("cookie", &browser.cookie)),
    );
    let first = first.await.unwrap();
    assert!(first.starts_with("event: hello\n"), "{first}");
}

/// Not a test of speed: it prints what the first page costs, for docs/benchmarks.md.
#[tokio::test]
#[ignore = "a measurement: make first-page"]
async fn the_first_page_with_a_hundred_thousand_sessions() {
    let rig = Rig::start("web-many").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 7).await;
    rig.enforce().await;
    rig.fill(100_000).await;
    let browser = Browser::signed_in(&rig, &admin).await;
    for path in ["/ui/", "/ui/sessions", "/metrics"] {
        let mut times = Vec::new();
        for _ in 0..20 {
            let began = std::time::Instant::now();
            let call = match path {
                "/metrics" => Call::get(path).with(&admin),
                _ => Call::get(path).header("cookie", &browser.cookie),
            };
            let reply = rig.call(call).await.expect(StatusCode::OK);
            times.push((began.elapsed(), text(&reply).len()));
        }
        times.sort();
        println!("{path}: median {:?}, slowest {:?}, {} bytes", times[10].0, times[19].0, times[0].1);
    }
}
