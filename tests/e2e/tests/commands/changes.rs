//! Workloads and measurements, the same words both ways.

use countersign_e2e::{Proxy, Setup, now_ms};
use countersign_simulator::{AttestationRequest, Module};
use serde_json::Value;

use super::line::{PROXY, Said, Way};

/// A change on the machine and one over the port, beside a proxy that runs.
async fn both(proxy: &Proxy) -> [Way; 2] {
    [Way::machine(proxy.directory()), Way::admin(proxy).await]
}

async fn epoch(way: &Way) -> u64 {
    way.say(&["policy", "show", "--output", "json"]).await.json()["epoch"].as_u64().unwrap()
}

#[tokio::test]
async fn a_workload_is_made_changed_and_shown() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let ways = both(&proxy).await;
    for (way, name) in ways.iter().zip(["local", "remote"]) {
        let error = way.say(&["workload", "set", name]).await.bad(2);
        assert!(error.contains("a new workload needs --destination"), "{error}");
        let error = way.say(&["workload", "set", name, "--destination", "nonsense"]).await.bad(1);
        assert!(error.contains("(invalid, request "), "{error}");

        let before = epoch(way).await;
        let set = ["workload", "set", name, "--destination", "a.example:443", "--max-sessions", "5"];
        let dry = way.say(&[&set[..], &["--dry-run"]].concat()).await.good();
        assert!(
            dry.starts_with(&format!("dry run, nothing was changed: creating {name} is possible")),
            "{dry}"
        );
        assert_eq!(epoch(way).await, before);
        assert_eq!(way.say(&set).await.good(), format!("created {name} in epoch {}\n", before + 1));

        // What is not said stays.
        let done = way.say(&["workload", "set", name, "--destination", "b.example:443"]).await.good();
        assert_eq!(done, format!("changed {name} in epoch {}\n", before + 2));
        let shown = way.say(&["workload", "show", name, "--output", "json"]).await.json();
        assert_eq!(shown["destinations"], serde_json::json!(["b.example:443"]));
        assert_eq!(shown["limits"]["max_sessions"], 5);
        let text = way.say(&["workload", "show", name]).await.good();
        assert!(text.contains("destinations  b.example:443\n"), "{text}");
    }
    let error = ways[1].say(&["workload", "set", "payments", "--no-destinations"]).await.bad(1);
    assert!(error.contains("(kept-by-file, request ") && error.contains("SIGHUP"), "{error}");
}

/// Show, edit, set: whoever was slower is told so.
#[tokio::test]
async fn nobody_overwrites_what_they_have_not_seen() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let [machine, server] = both(&proxy).await;
    machine.say(&["workload", "set", "api", "--destination", "a.example:443"]).await.good();
    let file = proxy.directory().join("api.json");
    std::fs::write(&file, server.say(&["workload", "show", "api", "--output", "json"]).await.good()).unwrap();
    machine.say(&["workload", "set", "api", "--max-sessions", "9"]).await.good();
    let set = ["workload", "set", "api", "--file", "api.json"];
    let error = server.say(&set).await.bad(1);
    assert!(error.contains("(revision-mismatch, request ") && error.contains("look at it again"), "{error}");
    let error = server.say(&[&set[..], &["--if-revision", "0"]].concat()).await.bad(1);
    assert!(error.contains("(already-there, request "), "{error}");

    std::fs::write(&file, server.say(&["workload", "show", "api", "--output", "json"]).await.good()).unwrap();
    assert!(server.say(&set).await.good().starts_with("changed api in epoch "));
    let error = server.say(&["workload", "set", "other", "--file", "api.json"]).await.bad(1);
    assert!(error.contains("is for the workload \"api\", not other"), "{error}");
}

#[tokio::test]
async fn a_measurement_comes_from_a_file_an_image_or_its_registers() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let [machine, server] = both(&proxy).await;
    machine.say(&["workload", "set", "api", "--no-destinations"]).await.good();
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../../verifier/tests/eif/");
    let (image, described) =
        (format!("{images}signed.eif"), std::fs::read(format!("{images}signed.json")).unwrap());

    let added = machine
        .say(&["measurement", "add", "api", "--version", "1.0", "--eif", &image, "--label", "a=b"])
        .await;
    assert!(added.good().starts_with("added api/1.0 in epoch "));
    // The same PCRs, as describe-eif prints them.
    let error =
        server.say_with(&["measurement", "add", "api", "2.0", "--from", "-"], &described).await.bad(1);
    assert!(error.contains("api/1.0 has the same PCRs (same-pcrs, request "), "{error}");
    let pcr3 = "3c".repeat(48);
    let words = ["measurement", "add", "api", "2.0", "--from", "-", "--pcr3", &pcr3, "--expires", "1d"];
    assert!(server.say_with(&words, &described).await.good().starts_with("added api/2.0 in epoch "));
    let shown = server.say(&["measurement", "show", "api/2.0", "--output", "json"]).await.json();
    let described: Value = serde_json::from_slice(&described).unwrap();
    for (index, name) in [("0", "PCR0"), ("1", "PCR1"), ("2", "PCR2"), ("8", "PCR8")] {
        assert_eq!(shown["pcrs"][index], described["Measurements"][name], "{name}");
    }
    assert_eq!(shown["pcrs"]["3"], pcr3);

    let edited =
        server.say(&["measurement", "edit", "api/2.0", "--no-expires", "--label", "stage=old"]).await.good();
    assert!(edited.starts_with("changed api/2.0 in epoch "), "{edited}");
    let shown = server.say(&["measurement", "show", "api/2.0", "--output", "json"]).await.json();
    assert_eq!((&shown["expires"], &shown["labels"]), (&Value::Null, &serde_json::json!({"stage": "old"})));
    let error =
        server.say(&["measurement", "edit", "api/2.0", "--version", "x", "--if-revision", "1"]).await.bad(1);
    assert!(error.contains("(revision-mismatch, request "), "{error}");
}

/// Without PCR3, 4, 8 or 16 anybody may run the image: said, and on stderr, so
/// that what is piped stays what it is.
#[tokio::test]
async fn a_warning_is_not_in_the_result() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let way = Way::machine(proxy.directory());
    way.say(&["workload", "set", "api", "--no-destinations"]).await.good();
    let pcrs = ["11", "22", "33"].map(|byte| byte.repeat(48));
    let words = ["--pcr0", &pcrs[0], "--pcr1", &pcrs[1], "--pcr2", &pcrs[2], "--output", "json"];
    let added = way.say(&[&["measurement", "add", "api", "bare"], &words[..]].concat()).await;
    assert!(added.err.starts_with("note: no PCR3, 4, 8 or 16 is pinned"), "{added:?}");
    assert_eq!(added.json()["standing"]["state"], "in-force");
}

/// Two people: what one wrote another one approves. The other one comes with a
/// certificate, since every token here was made by the first.
#[tokio::test]
async fn what_allows_waits_for_somebody_else() {
    let proxy = Proxy::program(Setup { admin: APPROVALS, ..Setup::default() }, PROXY).await;
    let [machine, server] = both(&proxy).await;
    let json = Module::from_image("new").pcr_json();
    let add = ["measurement", "add", "payments", "3.0", "--from", "-"];
    let dry = machine.say_with(&[&add[..], &["--dry-run"]].concat(), json.as_bytes()).await.good();
    assert!(dry.contains("it would wait for 1 approval"), "{dry}");
    let added = machine.say_with(&add, json.as_bytes()).await.good();
    assert_eq!(added, "added payments/3.0; it waits: 0 of 1 approval so far\n");
    let waiting = ["measurement", "list", "--waiting", "--output", "json"];
    let waits = server.say(&waiting).await.json();
    let names: Vec<_> = waits.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["3.0"]);
    let approve = ["measurement", "approve", "payments/3.0"];
    // His own yes, and that of a token which he made.
    for way in [&machine, &server] {
        let error = way.say(&approve).await.bad(1);
        assert!(
            error.contains("(own-approval, request ") && error.contains("somebody else approves"),
            "{error}"
        );
    }
    let other = server.with("COUNTERSIGN_TOKEN", "");
    let certificate = ["--client-cert", "admin.pem", "--client-key", "admin.key"];
    let error = other.say(&[&approve[..], &certificate, &["--if-revision", "9"]].concat()).await.bad(1);
    assert!(error.contains("(revision-mismatch, request "), "{error}");
    let approved = other.say(&[&approve[..], &certificate].concat()).await.good();
    assert!(approved.starts_with("approved payments/3.0 in epoch "), "{approved}");
    let error = machine.say(&["measurement", "withdraw", "payments/3.0"]).await.bad(1);
    assert!(error.contains("(nothing-waits, request "), "{error}");
    let error = other
        .say(&[&approve[..], &["--client-cert", "admin.pem", "--client-key", "server.key"]].concat())
        .await;
    assert!(error.bad(1).contains("server.key: not the key of that certificate"));
}

#[tokio::test]
async fn a_document_is_explained_both_ways() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let document = |image: &str| proxy.nsm(image).attest(now_ms(), &AttestationRequest::default()).unwrap();
    for way in both(&proxy).await {
        let known = document("payments-1.0");
        let explained = way.say_with(&["measurement", "explain", "-"], &known).await.good();
        assert!(explained.contains("  matches     payments/1.0\n"), "{explained}");
        let other = way
            .say_with(&["measurement", "explain", "-"], hex::encode(document("payments-9")).as_bytes())
            .await;
        assert_eq!(other.code, 1, "{other:?}");
        assert!(
            other.out.contains("  nearest     payments/") && other.out.contains("PCR0, the enclave image"),
            "{other:?}"
        );
        let mut forged = known;
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let forged = way.say_with(&["measurement", "explain", "-", "--output", "json"], &forged).await;
        let Said { code, out, .. } = forged;
        let said: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &said["admitted"]), (1, &false.into()), "{said}");
        assert_eq!(said["verification"]["verdict"], "refused");
    }
}

/// The admin port's own certificate stands in for somebody's: it is its own anchor.
const APPROVALS: &str = "approvals = 1\nclient_ca = \"admin.pem\"\n[[admin.client]]\ndns = \"localhost\"\n\
                         roles = [\"approver\"]\nworkloads = [\"*\"]\n";
