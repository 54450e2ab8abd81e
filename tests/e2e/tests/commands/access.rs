//! Who may ask over the port, and what somebody is told who may not.

use countersign_e2e::{Proxy, Setup};

use super::line::{PROXY, Way};

#[tokio::test]
async fn without_a_token_one_is_told_how_to_get_one() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let nobody = Way::server(&proxy, "");
    let error = nobody.with("COUNTERSIGN_TOKEN", "").say(&["session", "list"]).await.bad(1);
    assert!(error.contains("(no-credentials, request "), "{error}");
    assert!(error.contains("countersign-proxy token create NAME --role admin --config countersign.toml"), "{error}");

    let unknown = format!("cst_{}", "A".repeat(48));
    let error = Way::server(&proxy, &unknown).say(&["session", "list"]).await.bad(1);
    assert!(error.contains("(bad-credentials, request ") && error.contains("token create"), "{error}");
    assert!(!error.contains(&unknown), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_the_right_one_is_not_asked() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let way = Way::admin(&proxy).await;
    let ca = proxy.directory().join("server.pem");
    let error = way.clone().with("COUNTERSIGN_CA", ca.to_str().unwrap()).say(&["session", "list"]).await.bad(1);
    assert!(error.contains("cannot reach https://localhost:") && error.contains("--ca FILE"), "{error}");

    let address = format!("https://127.0.0.1:{}", proxy.admin.port());
    let error = way.clone().with("COUNTERSIGN_SERVER", &address).say(&["session", "list"]).await.bad(1);
    assert!(error.contains("use a name that the server's certificate has"), "{error}");

    let error = way.clone().with("COUNTERSIGN_SERVER", "https://127.0.0.1:1").say(&["session", "list"]).await.bad(1);
    assert!(error.contains("(GET /v1/sessions)") && error.contains("nobody listens there"), "{error}");

    let error = way.with("COUNTERSIGN_SERVER", "https://127.0.0.1:1/v1").say(&["session", "list"]).await.bad(2);
    assert!(error.contains("COUNTERSIGN_SERVER: expected the admin API's address"), "{error}");
}

#[tokio::test]
async fn the_first_token_is_made_on_the_machine_and_its_secret_is_alone() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let machine = Way::machine(proxy.directory());
    let made = machine.say(&["token", "create", "first", "--role", "admin"]).await;
    assert!(made.err.starts_with("note: made token ") && made.err.contains("(first: admin)"), "{made:?}");
    let secret = made.good();
    let [secret, ""] = secret.split('\n').collect::<Vec<_>>()[..] else { panic!("one line: {secret}") };
    assert!(secret.starts_with("cst_") && secret.len() == 52, "{secret}");

    let file = proxy.directory().join("first.token");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let way = Way::server(&proxy, "").with("COUNTERSIGN_TOKEN", "");
    let listed = way.say(&["token", "list", "--output", "json", "--token-file", file.to_str().unwrap()]).await;
    let listed = listed.json();
    assert_eq!(listed[0]["name"], "first");
    assert!(listed[0]["created_by"][0].as_str().unwrap().starts_with("local:"), "{listed}");
    let listed = way.with("COUNTERSIGN_TOKEN_FILE", file.to_str().unwrap()).say(&["token", "list"]).await.good();
    assert!(!listed.contains(secret), "{listed}");
}

#[tokio::test]
async fn a_token_does_no_more_than_it_may_and_nothing_once_revoked() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let admin = Way::admin(&proxy).await;
    let made = admin.say(&["token", "create", "eyes", "--role", "viewer", "--workload", "payments"]).await.good();
    let viewer = Way::server(&proxy, made.trim());
    assert_eq!(viewer.say(&["workload", "list", "--output", "json"]).await.json()[0]["name"], "payments");
    let error = viewer.say(&["measurement", "revoke", "payments/1.0"]).await.bad(1);
    assert!(error.contains("(role-missing, request "), "{error}");
    let error = viewer.say(&["workload", "show", "others"]).await.bad(1);
    assert!(error.contains("there is no workload others (not-found"), "{error}");
    let error = viewer.say(&["token", "create", "more", "--role", "admin", "--dry-run"]).await.bad(1);
    assert!(error.contains("is no admin"), "{error}");

    let listed = admin.say(&["token", "list", "--output", "json"]).await.json();
    let eyes = listed.as_array().unwrap().iter().find(|token| token["name"] == "eyes").unwrap();
    let id = eyes["id"].as_str().unwrap();
    let dry = admin.say(&["token", "revoke", id, "--dry-run"]).await.good();
    assert!(dry.starts_with("dry run, nothing was changed: revoking the live token "), "{dry}");
    assert_eq!(viewer.say(&["workload", "list"]).await.code, 0);
    let done = admin.say(&["token", "revoke", id]).await.good();
    assert_eq!(done, format!("revoked token {id}: it is worth nothing from now on\n"));
    assert!(viewer.say(&["workload", "list"]).await.bad(1).contains("(bad-credentials"));
    let error = admin.say(&["token", "revoke", "0123456789abcdef0123456789abcdef"]).await.bad(1);
    assert!(error.contains("there is no token"), "{error}");
}
