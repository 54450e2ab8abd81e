//! The audit: exported and verified both ways, and what somebody changed is found.

use countersign_e2e::{Proxy, Setup};
use serde_json::Value;

use super::line::{PROXY, Way};

#[tokio::test]
async fn the_audit_holds_both_ways_and_as_a_file() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let (machine, server) = (Way::machine(proxy.directory()), Way::admin(&proxy).await);
    proxy.admitted("payments-1.0").await;
    machine.say(&["measurement", "revoke", "payments/1.0"]).await.good();
    let held = machine.say(&["audit", "verify"]).await.good();
    assert!(held.contains("the audit holds: "), "{held}");

    let replicas = server.say(&["replica", "list", "--output", "json"]).await.json();
    std::fs::write(proxy.directory().join("replica.key"), replicas[0]["audit_key"].as_str().unwrap())
        .unwrap();
    let key = ["--key", "replica.key"];
    let report = server.say(&[&["audit", "verify", "--output", "json"], &key[..]].concat()).await.json();
    assert_eq!(report["findings"], serde_json::json!([]), "{report}");

    let exported = server.say(&["audit", "export", "--file", "audit.jsonl"]).await.good();
    assert!(exported.starts_with("audit.jsonl: "), "{exported}");
    let error = server.say(&["audit", "export", "--file", "audit.jsonl"]).await.bad(1);
    assert!(error.contains("audit.jsonl: cannot be made: ") && error.contains("name a new file"), "{error}");
    let held = machine.say(&[&["audit", "verify", "audit.jsonl"], &key[..]].concat()).await.good();
    assert!(held.contains("the audit holds: "), "{held}");
    let piped = machine.say(&["audit", "export"]).await.good();
    assert!(piped.lines().count() > 4, "{piped}");
    assert!(piped.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{piped}");
}

/// A revocation ends sessions of enclaves; each end leaves a row of its own, with its reason.
#[tokio::test]
async fn each_end_of_a_session_leaves_a_row() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let (machine, server) = (Way::machine(proxy.directory()), Way::admin(&proxy).await);
    let admitted = proxy.admitted("payments-1.0").await;
    server.say(&["measurement", "revoke", "payments/1.0", "--wait", "5s"]).await.good();
    let list = ["audit", "list", "--kind", "end", "--output", "json"];
    // The row is written in its turn, after the tunnels were cut.
    let mut rows = Value::Null;
    for _ in 0..100 {
        rows = machine.say(&list).await.json();
        if rows.as_array().is_some_and(|rows| !rows.is_empty()) {
            break;
        }
    }
    let found: Vec<_> = rows.as_array().unwrap().iter().map(|row| (&row["session"], &row["code"])).collect();
    let session = Value::from(admitted.grant.session.to_string());
    assert_eq!(found, [(&session, &Value::from("measurement-revoked"))]);
    machine.say(&["audit", "verify"]).await.good();
}

#[tokio::test]
async fn what_somebody_changed_is_found() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let way = Way::machine(proxy.directory());
    way.say(&["measurement", "revoke", "payments/1.0", "--reason", "leaked"]).await.good();
    let text = way.say(&["audit", "export"]).await.good();
    let edited = text.replace("leaked", "unused");
    assert_ne!(edited, text);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.pop();
    let cut = format!("{}\n", lines.join("\n"));
    for (what, text, finding) in [("edited", edited, "the row was changed"), ("cut", cut, "cut off")] {
        let verified = way.say_with(&["audit", "verify", "-"], text.as_bytes()).await;
        assert_eq!(verified.code, 1, "{what}: {verified:?}");
        assert!(verified.out.contains("FOUND ") && verified.out.contains(finding), "{what}: {verified:?}");
        assert!(verified.out.contains("THE AUDIT DOES NOT HOLD"), "{what}: {verified:?}");
    }
}

/// A list of more rows than a page has, joined, and cut where it was asked to be.
#[tokio::test]
async fn lists_are_joined_and_limited() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let way = Way::machine(proxy.directory());
    way.say(&["measurement", "revoke", "payments/1.0"]).await.good();
    let all = way.say(&["audit", "list", "--output", "json"]).await.json();
    assert!(all.as_array().unwrap().len() > 1, "{all}");
    let one = way.say(&["audit", "list", "--limit", "1", "--output", "json"]).await.json();
    assert_eq!(one[0], all[0]);
    assert_eq!(one.as_array().unwrap().len(), 1);
    let none = way.say(&["audit", "list", "--actor", "nobody: at & all"]).await;
    assert_eq!((none.code, none.err.as_str()), (0, "note: there are no rows in the audit\n"));
}
