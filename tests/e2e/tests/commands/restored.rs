//! A backup is made beside a proxy that serves, and put back later: nothing goes on
//! until somebody says that it was meant, and then everything does.

use std::{os::unix::fs::PermissionsExt, path::Path};

use countersign_e2e::{Proxy, Setup};

use super::line::{PROXY, Way, bare};

const ACCEPT: [&str; 2] = ["policy", "accept-restored"];

#[tokio::test]
async fn a_backup_that_is_put_back_serves_once_it_is_accepted() {
    let mut proxy = Proxy::program(Setup::default(), PROXY).await;
    let way = Way::machine(proxy.directory());
    let state = proxy.directory().join("state");
    let nothing = way.say(&[&ACCEPT[..], &["--yes"]].concat()).await.good();
    assert!(nothing.starts_with("nothing was put back: "), "{nothing}");

    proxy.admitted("payments-2.0").await;
    let copied = way.say(&["backup", "--out", "copy.db"]).await.good();
    assert_eq!(copied, "copied the store to copy.db\n");
    let copy = proxy.directory().join("copy.db");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let error = way.say(&["backup", "--out", "copy.db"]).await.bad(1);
    assert!(error.contains("copy.db is there already: a backup overwrites nothing"), "{error}");

    let before = proxy.epoch().await;
    proxy.revoke("payments", "1.0").await;
    let known = proxy.epoch().await;
    assert_eq!(known, before + 1);
    assert_eq!(proxy.admitted_or_refused("payments-1.0").await.unwrap_err().1, "measurement-revoked");
    proxy.terminate();
    assert_eq!(proxy.ended().await.code(), Some(0));
    put_back(&copy, &state);

    // Nothing serves, and the reason names the way out.
    let serve = ["serve", "--config", "countersign.toml"];
    let error = bare(proxy.directory(), &serve).await;
    assert_eq!(error.code, 1, "{error:?}");
    assert!(
        error.err.contains("the store is older than it was") && error.err.contains(&ACCEPT.join(" ")),
        "{error:?}"
    );

    let dry = way.say(&ACCEPT).await;
    assert_eq!((dry.code, dry.err.as_str()), (1, "note: nothing was changed; --yes accepts it\n"), "{dry:?}");
    let next = known + 1;
    for told in [
        format!("epoch {known} was in force"),
        format!("has epoch {before}, committed "),
        "of the audit chain policy\n".to_owned(),
        format!("would raise the epoch to {next}, drop every session"),
        format!("MAKE AGAIN what was revoked in the epochs {known} to {known}, after "),
        format!("stand in epoch {next} as they stood in {before}"),
    ] {
        assert!(dry.out.contains(&told), "{told}: {dry:?}");
    }
    assert_eq!(bare(proxy.directory(), &serve).await.code, 1, "a dry run accepts nothing");

    let accepted = way.say(&[&ACCEPT[..], &["--yes"]].concat()).await.good();
    let aside = state.join(format!("audit-heads.before-{next}"));
    assert!(
        accepted.contains(&format!("accepted: the epoch is {next}, every session was dropped")),
        "{accepted}"
    );
    assert!(accepted.contains("audit-heads.before-") && accepted.contains("MAKE AGAIN"), "{accepted}");
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&aside).unwrap()).unwrap();
    assert_eq!(kept["epoch"], known);
    assert!(way.say(&ACCEPT).await.good().starts_with("nothing was put back: "));

    let proxy = proxy.start_again().await;
    assert_eq!(proxy.epoch().await, next, "enclaves that saw {known} follow");
    let sessions = way.say(&["session", "list", "--output", "json"]).await.json();
    assert_eq!(sessions, serde_json::json!([]), "those of the copy are gone");
    proxy.admitted("payments-1.0").await;
    let rows = way.say(&["audit", "list", "--code", "store-restored", "--output", "json"]).await.json();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    assert!(rows[0]["actor"].as_str().unwrap().starts_with("local:"), "{rows}");
    assert!(rows[0]["detail"].as_str().unwrap().contains("of the audit chain policy"), "{rows}");
    assert!(way.say(&["audit", "verify"]).await.good().contains("the audit holds: "));

    // What was lost is still told by what was set aside.
    let aside = aside.to_str().unwrap();
    let verified = way.say(&["audit", "verify", "--known-heads", aside]).await;
    assert_eq!(verified.code, 1, "{verified:?}");
    assert!(verified.out.contains("THE AUDIT DOES NOT HOLD"), "{verified:?}");
}

/// The same copy put back a second time is found again: what is known begins with the accepted epoch.
#[tokio::test]
async fn a_copy_that_was_accepted_once_is_not_accepted_for_ever() {
    let mut proxy = Proxy::program(Setup::default(), PROXY).await;
    let (way, state) = (Way::machine(proxy.directory()), proxy.directory().join("state"));
    way.say(&["backup", "--out", "copy.db"]).await.good();
    proxy.revoke("payments", "1.0").await;
    proxy.terminate();
    proxy.ended().await;
    for round in 0..2 {
        put_back(&proxy.directory().join("copy.db"), &state);
        assert_eq!(way.say(&ACCEPT).await.code, 1, "{round}");
        way.say(&[&ACCEPT[..], &["--yes"]].concat()).await.good();
    }
}

#[tokio::test]
async fn nothing_is_accepted_beside_a_proxy_that_serves() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let way = Way::machine(proxy.directory());
    let epoch = proxy.epoch().await;
    let error = way.say(&[&ACCEPT[..], &["--above", "900", "--yes"]].concat()).await.bad(1);
    assert!(error.contains("another countersign-proxy serves from "), "{error}");
    assert_eq!(proxy.epoch().await, epoch);
    let dry = way.say(&[&ACCEPT[..], &["--above", "900"]].concat()).await;
    assert!(dry.code == 1 && dry.out.contains("raise the epoch to 901"), "{dry:?}");
    let error = Way::server(&proxy, "cst_x").say(&ACCEPT).await.bad(2);
    assert!(error.contains("say it on the replica's machine, with --config FILE"), "{error}");
}

/// What PostgreSQL's own program does is not done again here: its command is told, and no password.
#[tokio::test]
async fn postgres_is_copied_by_its_own_program() {
    let proxy = Proxy::start(Setup::default()).await;
    let url = "postgres://countersign:top-secret@127.0.0.1:1/policy?sslmode=verify-full";
    let text = format!("state_directory = \"state\"\n[store]\nurl = \"{url}\"\n");
    let directory = proxy.directory().join("postgres");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("countersign.toml"), text).unwrap();
    let error = Way::machine(&directory).say(&["backup", "--out", "copy.dump"]).await.bad(1);
    let command = "(umask 077 && pg_dump --format=custom --file=copy.dump \
                   --dbname='postgres://countersign@127.0.0.1:1/policy?sslmode=verify-full')";
    assert!(error.contains(command) && !error.contains("top-secret"), "{error}");
}

/// As docs/operations.md says it: with the log of the other database gone.
fn put_back(copy: &Path, state: &Path) {
    for log in ["countersign.db-wal", "countersign.db-shm"] {
        let _ = std::fs::remove_file(state.join(log));
    }
    std::fs::copy(copy, state.join("countersign.db")).unwrap();
}
