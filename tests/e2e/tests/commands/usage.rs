//! Wrong input: exit code 2 and a sentence that says what to do.

use countersign_e2e::{Proxy, Scratch, Setup};

use super::line::{PROXY, Way, bare};

#[tokio::test]
async fn wrong_usage_is_exit_code_two() {
    let place = Scratch::new("usage");
    let hex = "1a".repeat(48);
    for (words, reason) in [
        (&["measurement", "revoke", "payments"][..], "expected WORKLOAD/NAME"),
        (&["measurement", "revoke", "a/b/c"], "the measurement: "),
        (&["measurement", "revoke", "a/b", "--wait", "11s"], "expected 1ms to 10s"),
        (&["measurement", "revoke", "a/b", "--wait", "1s", "--dry-run"], "cannot be used with"),
        (&["measurement", "add", "payments"], "<NAME>"),
        (&["measurement", "add", "payments", "--version", "1.0"], "say the PCRs: --from"),
        (&["measurement", "add", "payments", "--version", "1+2", "--pcr0", &hex], "say a NAME beside --version"),
        (&["measurement", "add", "payments", "v1", "--pcr0", "1a"], "96 hexadecimal digits"),
        (&["measurement", "add", "payments", "v1", "--pcr", "32=00"], "expected a register from 0 to 31"),
        (&["measurement", "add", "payments", "v1", "--from", "a", "--eif", "b"], "cannot be used with"),
        (&["measurement", "edit", "payments/v1"], "--version"),
        (&["token", "create", "x"], "--role"),
        (&["token", "create", "x", "--role", "root"], "[possible values: viewer, operator, approver, admin]"),
        (&["token", "create", "x", "--role", "admin", "--expires", "2y"], "expected a number and a unit"),
        (&["session", "end", "not-an-id"], "16 to 32 hexadecimal digits"),
        (&["audit", "list", "--from", "yesterday"], "RFC 3339"),
        (&["session", "list", "--limit", "0"], "1..=200000"),
        (&["session", "list", "--server", "http://localhost:9443"], "https://proxy.internal:9443"),
        (&["session", "list", "--server", "https://a", "--config", "b"], "cannot be used with"),
        (&["session", "list", "--token-file", "b"], "add --server"),
        (&["session", "list", "--token", "cst_x"], "unexpected argument"),
    ] {
        let error = bare(place.path(), words).await.bad(2);
        assert!(error.contains(reason), "{words:?}: {error}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_exit_code_two() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let way = Way::machine(proxy.directory());
    for words in [
        &["measurement", "add", "payments", "v1", "--from", "absent"][..],
        &["measurement", "add", "payments", "v1", "--eif", "absent"],
        &["measurement", "explain", "absent"],
        &["workload", "set", "payments", "--file", "absent"],
        &["audit", "verify", "absent"],
        &["audit", "verify", "--key", "absent"],
    ] {
        let error = way.say(words).await.bad(2);
        assert!(error.starts_with("error: cannot read absent: No such file"), "{words:?}: {error}");
    }
    let error = bare(proxy.directory(), &["session", "list", "--config", "absent"]).await.bad(2);
    assert!(error.starts_with("absent: cannot read the file"), "{error}");
}

#[tokio::test]
async fn a_file_of_another_kind_is_exit_code_one() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let way = Way::machine(proxy.directory());
    for (words, reason) in [
        (&["measurement", "add", "payments", "v1", "--from", "server.key"][..], "expected what nitro-cli"),
        (&["measurement", "add", "payments", "v1", "--eif", "server.key"], "not an enclave image"),
        (&["workload", "set", "payments", "--file", "server.key"], "server.key: not TOML"),
        (&["audit", "verify", "server.key"], "server.key: no export of an audit"),
        (&["audit", "verify", "--key", "server.pem"], "server.pem: an audit key is"),
        (&["audit", "verify", "--known-heads", "server.pem"], "server.pem: no known heads"),
    ] {
        let error = way.say(words).await.bad(1);
        assert!(error.contains(reason), "{words:?}: {error}");
    }
    // Standard input is read like a file, and an empty one is no document.
    let error = way.say_with(&["measurement", "explain", "-"], b" \n").await.bad(1);
    assert!(error.contains("-: is empty: expected an attestation document"), "{error}");
}

/// Whoever names the wrong file must not believe that something was revoked.
#[tokio::test]
async fn without_a_store_nothing_is_made() {
    let place = Scratch::new("nowhere");
    std::fs::write(place.path().join("countersign.toml"), "state_directory = \"state\"\n").unwrap();
    let error = Way::machine(place.path()).say(&["measurement", "revoke", "payments/1.0"]).await.bad(1);
    assert!(error.starts_with("error: no store at "), "{error}");
    assert!(!place.path().join("state").exists());
}
