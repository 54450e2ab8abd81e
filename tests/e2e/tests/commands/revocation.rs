//! The emergency brake, from the command line: with a proxy that runs, with one
//! that hangs, with a configuration that is broken.

use countersign_e2e::{Proxy, Setup, Upstream, read_to_end, round_trip};

use super::line::{PROXY, Way};

#[tokio::test]
async fn a_revocation_is_asked_about_made_and_waited_for() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::program(Setup::to(&[echo]), PROXY).await;
    for (way, name) in [(Way::machine(proxy.directory()), "1.0"), (Way::admin(&proxy).await, "2.0")] {
        let session = proxy.admitted(&format!("payments-{name}")).await;
        let mut tunnel = proxy.open(&session.dialer, &echo.to_string()).await.unwrap();
        let listed = way.say(&["session", "list", "--measurement", name, "--output", "json"]).await.json();
        assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
        assert_eq!(listed[0]["measurement"], name);
        let path = format!("payments/{name}");

        let dry = way.say(&["measurement", "revoke", &path, "--dry-run"]).await.good();
        assert!(dry.contains(&format!("revoking {path} is possible; this revocation ends 1 session")), "{dry}");
        round_trip(&mut tunnel, b"still here").await;

        let revoked = way.say(&["measurement", "revoke", &path, "--reason", "a test", "--wait", "5s"]).await.good();
        assert!(revoked.starts_with(&format!("revoked {path} in epoch ")), "{revoked}");
        assert!(revoked.contains(": 1 session ended, ") && revoked.contains("\n  cut       "), "{revoked}");
        // Acknowledged means cut: nothing is waited for here.
        assert!(read_to_end(&mut tunnel).await.is_err(), "reset, not closed");

        let error = way.say(&["measurement", "revoke", &path]).await.bad(1);
        assert!(error.contains("is revoked already (already-revoked, request "), "{error}");
        let rows = way.say(&["audit", "list", "--code", "measurement-revoked", "--output", "json"]).await.json();
        assert_eq!((&rows[0]["measurement"], &rows[0]["workload"]), (&name.into(), &"payments".into()));
    }
}

#[tokio::test]
async fn a_session_is_ended_and_may_come_back() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::program(Setup::to(&[echo]), PROXY).await;
    let way = Way::admin(&proxy).await;
    let session = proxy.admitted("payments-1.0").await;
    let mut tunnel = proxy.open(&session.dialer, &echo.to_string()).await.unwrap();
    let id = session.grant.session.to_string();
    let dry = way.say(&["session", "end", &id, "--dry-run"]).await.good();
    assert!(dry.contains(&format!("ending session {id} is possible")), "{dry}");
    let ended = way.say(&["session", "end", &id, "--reason", "stuck"]).await.good();
    assert!(ended.starts_with(&format!("ended session {id} in epoch ")), "{ended}");
    assert!(read_to_end(&mut tunnel).await.is_err(), "reset, not closed");
    proxy.admitted("payments-1.0").await;
}

/// A replica that hangs has not cut: exit code 1, and its name.
#[tokio::test]
async fn a_laggard_is_named() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let way = Way::machine(proxy.directory());
    proxy.freeze();
    let revoked = way.say(&["measurement", "revoke", "payments/1.0", "--wait", "300ms"]).await;
    assert_eq!(revoked.code, 1, "{revoked:?}");
    assert!(revoked.out.starts_with("revoked payments/1.0 in epoch "), "{revoked:?}");
    assert!(revoked.out.contains("to end, ") && revoked.out.contains("\n  LAGGARD   "), "{revoked:?}");
    assert!(revoked.err.contains("1 replica has not said within 300ms that everything is cut"), "{revoked:?}");
}

/// Nobody who must stop something has to repair a file first; and a file that is
/// not understood allows nothing.
#[tokio::test]
async fn a_broken_configuration_revokes_and_allows_nothing() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let config = proxy.directory().join("countersign.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[admin]\n", "[admin]\naprovals = 2\n")).unwrap();
    for file in ["server.pem", "server.key", "admin.key", "root.der"] {
        std::fs::remove_file(proxy.directory().join(file)).unwrap();
    }
    let way = Way::machine(proxy.directory());
    for words in [
        &["workload", "set", "api", "--no-destinations"][..],
        &["measurement", "edit", "payments/1.0", "--no-expires"],
        &["measurement", "approve", "payments/1.0"],
        &["tombstone", "lift", "--pcr0", &"1a".repeat(48)],
    ] {
        let error = way.say(words).await.bad(1);
        assert!(error.contains("admin.aprovals: unknown field; did you mean \"approvals\"?"), "{words:?}: {error}");
    }
    assert!(way.say(&["measurement", "list"]).await.good().contains("payments/1.0"));
    let revoked = way.say(&["measurement", "revoke", "payments/1.0", "--wait", "5s"]).await.good();
    assert!(revoked.contains("\n  cut       "), "{revoked}");
    assert!(way.say(&["workload", "revoke", "payments"]).await.good().starts_with("revoked payments in epoch "));
}

/// PCRs are refused wherever they are, before any measurement has them.
#[tokio::test]
async fn a_tombstone_is_laid_and_lifted() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let way = Way::admin(&proxy).await;
    let json = countersign_simulator::Module::from_image("leaked").pcr_json();
    let pcrs = ["--from", "-"];
    let say = async |words: &[&str]| way.say_with(&[words, &pcrs].concat(), json.as_bytes()).await;
    let error = say(&["tombstone", "lift"]).await.bad(1);
    assert!(error.contains("there is no tombstone"), "{error}");
    assert!(say(&["tombstone", "add", "--reason", "leaked"]).await.good().starts_with("revoked the PCRs 0, 1, 2"));
    let error = say(&["measurement", "add", "payments", "9.0"]).await.bad(1);
    assert!(error.contains("(buried, request ") && error.contains("tombstone lift"), "{error}");
    let listed = way.say(&["tombstone", "list", "--output", "json"]).await.json();
    assert_eq!(listed[0]["reason"], "leaked");
    assert!(say(&["tombstone", "lift", "--dry-run"]).await.good().starts_with("dry run, nothing was changed"));
    let id = listed[0]["id"].as_str().unwrap();
    assert!(way.say(&["tombstone", "lift", id]).await.good().starts_with("lifted tombstone "));
    assert_eq!(way.say(&["tombstone", "list", "--output", "json"]).await.json(), serde_json::json!([]));
}
