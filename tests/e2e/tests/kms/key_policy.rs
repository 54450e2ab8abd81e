//! `kms policy` and `kms drift`, on the machine and over the admin port, with a policy from KMS or from a file.

use std::{path::Path, process::Output};

use countersign_e2e::{Proxy, Setup};
use serde_json::{Value, json};

use crate::shim::{PROXY, REGION, Shim, python};

async fn say(directory: &Path, words: &[&str], environment: &[(&str, String)]) -> (i32, String, String) {
    let mut command = tokio::process::Command::new(PROXY);
    command.args(words).current_dir(directory).env_clear();
    command.envs(environment.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Codes of the findings.
fn codes(json: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(json).unwrap_or_default();
    let Some(findings) = report["findings"].as_array() else { return vec!["no report".to_owned()] };
    assert_eq!(report["drift"], !findings.is_empty());
    findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

const ROLE: &str = "arn:aws:iam::111122223333:role/payments";

#[tokio::test]
async fn a_policy_that_was_printed_has_no_drift_until_something_is_revoked() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let directory = proxy.directory();
    let (code, _, complaint) = say(directory, &["kms", "policy", "payments"], &[]).await;
    assert_eq!(code, 2, "{complaint}");
    assert!(complaint.contains("--principal ARN"), "{complaint}");

    let (code, policy, _) = say(directory, &["kms", "policy", "payments", "--principal", ROLE], &[]).await;
    assert_eq!(code, 0);
    let parsed: Value = serde_json::from_str(&policy).unwrap();
    let statements = parsed["Statement"].as_array().unwrap();
    assert_eq!(statements.len(), 2, "1.0 and 2.0: {policy}");
    assert_eq!(statements[0]["Principal"]["AWS"], ROLE);
    std::fs::write(directory.join("policy.json"), &policy).unwrap();

    let drift = ["kms", "drift", "payments", "--policy", "policy.json"];
    let (code, said, _) = say(directory, &drift, &[]).await;
    assert_eq!((code, &*said), (0, "no drift: the key's policy is what the measurements say\n"));

    // The same over the admin port, by whoever may see the policy.
    let (_, token, _) = say(directory, &["token", "create", "looker", "--role", "viewer"], &[]).await;
    let remote = [
        ("COUNTERSIGN_SERVER", format!("https://localhost:{}", proxy.admin.port())),
        ("COUNTERSIGN_CA", directory.join("admin.pem").display().to_string()),
        ("COUNTERSIGN_TOKEN", token.trim().to_owned()),
    ];
    let (code, said, complaint) =
        say(directory, &[&drift[..], &["--output", "json"]].concat(), &remote).await;
    assert_eq!((code, codes(&said)), (0, vec![]), "{complaint}");

    proxy.revoke("payments", "1.0").await;
    let (code, said, _) = say(directory, &[&drift[..], &["--output", "json"]].concat(), &[]).await;
    assert_eq!((code, codes(&said)), (1, vec!["revoked-named".to_owned()]));
    let (code, said, _) = say(directory, &drift, &[]).await;
    assert_eq!(code, 1);
    assert!(said.contains("names payments/1.0, which is revoked"), "{said}");
}

#[tokio::test]
async fn wrong_usage_is_not_drift() {
    let proxy = Proxy::start(Setup::default()).await;
    let directory = proxy.directory();
    std::fs::write(directory.join("broken.json"), "{}").unwrap();
    for (words, complaint) in [
        (&["kms", "drift", "payments"][..], "--key <ARN>|--policy <FILE>"),
        (&["kms", "drift", "--policy", "broken.json"], "<WORKLOAD>"),
        (&["kms", "drift", "payments", "--policy", "broken.json"], "no key policy that can be judged"),
        (&["kms", "drift", "payments", "--policy", "absent.json"], "cannot read absent.json"),
        (&["kms", "drift", "payments", "--key", "alias/payments"], "expected a key's ARN"),
        (&["kms", "drift", "payments", "--policy", "broken.json", "--endpoint", "https://x"], "--key"),
        (&["kms", "policy", "payments", "--principal", "*"], "expected the ARN of a principal"),
    ] {
        let (code, out, said) = say(directory, words, &[]).await;
        assert_eq!((code, &*out), (2, ""), "{words:?}: {said}");
        assert!(said.contains(complaint), "{words:?}: {said}");
    }
    let (code, _, said) = say(directory, &["kms", "policy", "nobody", "--principal", ROLE], &[]).await;
    assert_eq!(code, 1);
    assert!(said.contains("not-found"), "{said}");
}

#[tokio::test]
async fn the_policy_in_force_is_asked_of_kms() {
    let Some(shim) = Shim::start() else { return };
    let proxy = shim.proxy(shim.address("moto"), shim.address("port")).await;
    let directory = proxy.directory();
    let environment = shim.proxy_environment();
    let endpoint = format!("http://{}", shim.address("moto"));
    let key = shim.text("key");
    let drift = ["kms", "drift", "payments", "--key", key, "--endpoint", &endpoint, "--output", "json"];

    // What AWS gives a key that nobody wrote a policy for.
    let (code, said, complaint) = say(directory, &drift, &environment).await;
    assert_eq!(
        (code, codes(&said)),
        (1, ["no-condition", "missing", "missing"].map(str::to_owned).to_vec()),
        "{complaint}"
    );

    // The role of the configuration is the principal.
    let (_, policy, _) = say(directory, &["kms", "policy", "payments", "--output", "json"], &[]).await;
    let mut policy: Value = serde_json::from_str(&policy).unwrap();
    assert_eq!(policy["Statement"][0]["Principal"]["AWS"], shim.text("role"));
    let administer = json!({
        "Sid": "Administer", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::123456789012:root" },
        "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:Put*", "kms:ScheduleKeyDeletion"], "Resource": "*",
    });
    policy["Statement"].as_array_mut().unwrap().push(administer);
    let put = "import boto3, sys; boto3.client('kms', endpoint_url=sys.argv[1]).put_key_policy(KeyId=sys.argv[2], \
               PolicyName='default', Policy=sys.argv[3])";
    let done = tokio::process::Command::new(python().unwrap())
        .args(["-c", put, &endpoint, key, &policy.to_string()])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("AWS_DEFAULT_REGION", REGION)
        .output();
    let done = done.await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let (code, said, complaint) = say(directory, &drift, &environment).await;
    assert_eq!((code, codes(&said)), (0, vec![]), "{complaint}");

    let (code, _, complaint) = say(directory, &drift, &[]).await;
    assert_eq!(code, 1, "no credentials, no answer: {complaint}");
}
