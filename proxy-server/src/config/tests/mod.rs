//! What configuration files say, and how mistakes in them are told.

mod aws;
mod sign_in;
mod telemetry;

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::*;
use crate::ca::{SessionRoot, make_trial_certificate};

#[test]
fn a_whole_file_is_understood() {
    let place = Place::new("config-whole");
    let config = place.parse(&format!(
        r#"
deployment = "prod-eu"
state_directory = "state"
workers = 2
drain_seconds = 5

[listen]
attestation = "127.0.0.1:0"
gateway = "[::1]:8443"
proxy_protocol_from = ["10.1.0.0/16", "192.0.2.1"]

[tls]
certificate = "server.pem"
key = "server.key"

[trust]
root = "aws-us-gov"

[session_ca]
file = "shared/root.pem"

[document]
max_age_seconds = 30

[lease]
min_seconds = 40
max_seconds = 120

[limits]
sessions = 7
sessions_per_instance = 3

[audit]
keep_days = 3

[log]
format = "text"

[hosts]
"KMS.example." = ["10.0.0.1", "::1"]

[[workload]]
name = "payments"
destinations = ["KMS.us-west-2.amazonaws.com:443", "[2001:db8::1]:80"]
addresses = ["127.0.0.1", "10.0.0.0/8"]
lease = {{ max_seconds = 60 }}
limits = {{ max_sessions = 3, max_bytes_per_second = 1_000_000 }}

[[workload.measurement]]
name = "v1"
version = "1.0.3"
pcrs = {{ 0 = "{a}", pcr1 = "{a}", "PCR2" = "{a}" }}

[[workload.measurement]]
name = "v2"
file = "eif.json"
state = "pending"
"#,
        a = "a1".repeat(48)
    ));
    let config = config.unwrap();
    assert_eq!(config.deployment.as_str(), "prod-eu");
    assert_eq!(config.state_directory, place.0.join("state"));
    assert_eq!((config.workers, config.drain.as_secs()), (Some(2), 5));
    assert_eq!(config.listen.gateway.to_string(), "[::1]:8443");
    let balancers = ["10.1.0.0/16", "192.0.2.1/32"].map(|net| net.parse().unwrap());
    assert_eq!(config.listen.load_balancers, LoadBalancers::new(balancers).unwrap());
    assert_eq!(config.trust.to_string(), "aws-us-gov");
    assert_eq!(config.session_root, SessionRoot::File(place.0.join("shared/root.pem")));
    assert_eq!((config.window.past.as_secs(), config.window.future.as_secs()), (30, 10));
    assert_eq!(
        config.limits,
        ProxyLimits { sessions: 7, sessions_per_instance: 3, ..ProxyLimits::default() }
    );
    assert_eq!(config.audit.age.as_secs(), 3 * 86_400);
    assert_eq!(config.log, LogFormat::Text);
    assert_eq!(config.hosts["kms.example"].len(), 2);

    let [spec] = config.workloads.as_slice() else { panic!("{:?}", config.workloads) };
    let workload = &spec.workload;
    assert!(workload.destinations.allows(&"kms.us-west-2.amazonaws.com:443".parse().unwrap()));
    assert_eq!(workload.addresses, ["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
    assert_eq!((workload.lease_bounds.min().as_secs(), workload.lease_bounds.max().as_secs()), (40, 60));
    assert_eq!(workload.limits.max_sessions, 3);
    assert_eq!(workload.limits.max_bytes_per_second.map(u64::from), Some(1_000_000));
    assert_eq!(spec.measurements[0].version.as_deref(), Some("1.0.3"));
    assert_eq!(spec.measurements[0].pcrs.len(), 3);
    assert_eq!(spec.measurements[0].state, MeasurementState::Active);
    assert_eq!(spec.measurements[1].state, MeasurementState::Pending);
    assert_eq!(spec.measurements[1].pcrs.len(), 4);
}

#[test]
fn every_mistake_is_named_at_once_with_its_place() {
    let place = Place::new("config-mistakes");
    let text = r#"deployment = "prod eu"
state_dir = "state"
workers = "two"

[listen]
attestation = "localhost"
gatway = "0.0.0.0:8443"

[tls]
certificate = "nowhere.pem"

[trust]
root = "azure"

[lease]
min_seconds = 20

[[workload]]
name = "Payments"
destinations = ["kms.example", "a b:443", 7]
addresses = ["10.0.0.0/33"]

[[workload.measurement]]
name = "v1"
pcrs = { 0 = "12", 40 = "00" }
state = "on"
"#;
    let nowhere = place.0.join("nowhere.pem");
    assert_eq!(
        place.mistakes(text),
        [
            "1:1: state_directory: missing; a directory for the store and the session CA, as \"/var/lib/countersign\"",
            "1:14: deployment: a deployment is 1 to 64 of a-z A-Z 0-9 . _ -; found \"prod eu\"",
            "2:1: state_dir: unknown field; did you mean \"state_directory\"?",
            "3:11: workers: expected a whole number, 0 or more; found text",
            "6:15: listen.attestation: expected an address and a port, as \"0.0.0.0:12200\"; found \"localhost\"",
            "7:1: listen.gatway: unknown field; did you mean \"gateway\"?",
            "9:1: tls.key: missing; the certificate's private key, a PEM file",
            &format!(
                "10:15: tls.certificate: cannot read {}: No such file or directory (os error 2)",
                nowhere.display()
            ),
            "13:8: trust.root: expected \"aws\" or \"aws-us-gov\"; found \"azure\"",
            "16:15: lease.min_seconds: expected 30 to 600; found 20",
            "19:8: workload[0].name: a name is 1 to 64 of a-z 0-9 . _ -, a letter or digit first; found \"Payments\"",
            "20:17: workload[0].destinations[0]: destination lacks its port (write host:port); found \"kms.example\"",
            "20:32: workload[0].destinations[1]: host is no DNS name; found \"a b:443\"",
            "20:43: workload[0].destinations[2]: expected text in quotes; found a number",
            "21:14: workload[0].addresses[0]: expected an address or a network, as \"127.0.0.0/8\"; found \"10.0.0.0/33\"",
            "25:14: workload[0].measurement[0].pcrs.0: a PCR is 96 hexadecimal digits (48 bytes, SHA-384); this text has \
             2 characters; found \"12\"",
            "25:20: workload[0].measurement[0].pcrs: expected 0 to 31 (or pcr0 to pcr31); found \"40\"",
            "26:9: workload[0].measurement[0].state: expected \"pending\", \"active\" or \"revoked\"; found \"on\"",
        ]
    );
}

#[test]
fn what_is_not_toml_says_where() {
    let place = Place::new("config-syntax");
    let mistakes = place.mistakes("deployment = \n[listen\nx = 1\n");
    assert!(mistakes[0].starts_with("1:"), "{mistakes:?}");
    assert!(mistakes.iter().any(|mistake| mistake.contains(": not TOML: ")), "{mistakes:?}");
    assert!(
        mistakes.iter().any(|mistake| mistake.contains("state_directory: missing")),
        "reading goes on: {mistakes:?}"
    );
}

#[test]
fn an_empty_file_says_what_it_takes() {
    let place = Place::new("config-empty");
    assert_eq!(
        place.mistakes(""),
        [
            "1:1: deployment: missing; the name of this installation, as \"prod-eu\"",
            "1:1: state_directory: missing; a directory for the store and the session CA, as \"/var/lib/countersign\"",
            "1:1: tls.certificate: missing; the server's certificate, a PEM file (for a trial, make one with \
             `countersign-proxy dev-certificate --dir DIR --name HOST`)",
            "1:1: tls.key: missing; the certificate's private key, a PEM file",
            "1:1: trust.root: missing; write root = \"aws\" (or \"aws-us-gov\") under [trust]",
        ]
    );
}

#[test]
fn an_enclave_cannot_match_two_workloads() {
    let place = Place::new("config-overlap");
    let (a, b) = ("a1".repeat(48), "b2".repeat(48));
    let base = place.good();
    let two = |extra_one: &str, extra_two: &str| {
        format!(
            "{base}
[[workload]]
name = \"one\"
[[workload.measurement]]
name = \"v1\"
pcrs = {{ 0 = \"{a}\", 1 = \"{a}\", 2 = \"{a}\"{extra_one} }}
[[workload]]
name = \"two\"
[[workload.measurement]]
name = \"v1\"
pcrs = {{ 0 = \"{a}\", 1 = \"{a}\", 2 = \"{a}\"{extra_two} }}
"
        )
    };
    let message = "workload[1].measurement[0]: expected PCRs that tell it from workload[0].measurement[0]; \
                   an enclave could match both workloads";
    for (one, other) in [("", ""), (&*format!(", 3 = \"{a}\""), "")] {
        let mistakes = place.mistakes(&two(one, other));
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].ends_with(message), "{mistakes:?}");
    }
    let told_apart = two(&format!(", 3 = \"{a}\""), &format!(", 3 = \"{b}\""));
    assert_eq!(place.mistakes(&told_apart), Vec::<String>::new());
}

#[test]
fn pcrs_of_debug_mode_are_no_measurement() {
    let place = Place::new("config-debug");
    let zero = "00".repeat(48);
    let text = format!(
        "{}[[workload]]\nname = \"one\"\n[[workload.measurement]]\nname = \"v1\"\npcrs = {{ 0 = \"{zero}\", 1 = \"{zero}\", 2 = \"{zero}\" }}\n",
        place.good()
    );
    let mistakes = place.mistakes(&text);
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].contains("what any enclave in debug mode has"), "{mistakes:?}");
}

#[test]
fn a_key_of_another_certificate_is_found_before_anything_starts() {
    let place = Place::new("config-key");
    let other = place.0.join("other");
    make_trial_certificate(&other, &["localhost".to_owned()], time::OffsetDateTime::now_utc()).unwrap();
    let text = place.good().replace("server.key", "other/server.key");
    let mistakes = place.mistakes(&text);
    assert_eq!(mistakes.len(), 1);
    assert!(
        mistakes[0].ends_with("expected the key of tls.certificate; found the key of another certificate"),
        "{mistakes:?}"
    );
}

#[cfg(not(feature = "simulator"))]
#[test]
fn a_release_build_refuses_another_root_and_says_why() {
    let place = Place::new("config-root");
    let text = place.good().replace("root = \"aws\"", "danger_simulated_root = \"root.der\"");
    let mistakes = place.mistakes(&text);
    assert_eq!(mistakes.len(), 1);
    assert!(
        mistakes[0].contains("trust.danger_simulated_root: this build knows no other root than Amazon's"),
        "{mistakes:?}"
    );
}

#[cfg(feature = "simulator")]
#[test]
fn a_development_build_takes_another_root_and_only_one() {
    let place = Place::new("config-simulated");
    let root = countersign_simulator::SimulatedRoot::generate(1_800_000_000_000).unwrap();
    fs::write(place.0.join("root.der"), root.root_der()).unwrap();
    let text = place.good().replace("root = \"aws\"", "danger_simulated_root = \"root.der\"");
    assert_eq!(place.parse(&text).unwrap().trust.to_string(), "danger-simulated");
    let mistakes = place.mistakes(&format!("{text}root = \"aws\"\n"));
    assert_eq!(mistakes.len(), 1);
    assert!(
        mistakes[0].ends_with("expected one root; found \"root\" beside it, and they exclude each other"),
        "{mistakes:?}"
    );
}

#[test]
fn nobody_may_trust_every_address() {
    let place = Place::new("config-balancers");
    let text = format!("{}[listen]\nproxy_protocol_from = [\"::/0\"]\n", place.good());
    assert_eq!(
        place.mistakes(&text),
        [
            "9:24: listen.proxy_protocol_from: expected the load balancers' networks; found every address, and every \
          client could then choose his own"
        ]
    );
}

#[test]
fn to_revoke_needs_only_the_state_directory() {
    let place = Place::new("config-lenient");
    let file = place.0.join("countersign.toml");
    fs::write(&file, "state_directory = \"state\"\nnonsense = 1\n[tls]\ncertificate = \"gone.pem\"\n")
        .unwrap();
    assert_eq!(MachineConfig::load(&file).unwrap().state_directory, place.0.join("state"));
    fs::write(&file, "deployment = \"x\"\n").unwrap();
    let mistakes = MachineConfig::load(&file).unwrap_err();
    assert!(mistakes.to_string().contains("state_directory: missing"), "{mistakes}");
    let absent = Config::load(&place.0.join("absent.toml")).unwrap_err();
    assert_eq!(absent.list[0].position, None);
}

#[test]
fn keys_are_not_shown() {
    let place = Place::new("config-secret");
    let config = place.parse(&place.good()).unwrap();
    let shown = format!("{:?}", config.identity);
    assert_eq!(shown, "ServerIdentity(1 certificates, key hidden)");
}

/// A directory with a certificate, a key and a describe-eif output.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        make_trial_certificate(&path, &["localhost".to_owned()], time::OffsetDateTime::now_utc()).unwrap();
        let pcr = |byte: &str| byte.repeat(48);
        let eif = format!(
            r#"{{"Measurements": {{"HashAlgorithm": "Sha384 {{ ... }}", "PCR0": "{}", "PCR1": "{}", "PCR2": "{}", "PCR8": "{}"}}}}"#,
            pcr("c0"),
            pcr("c1"),
            pcr("c2"),
            pcr("c8")
        );
        fs::write(path.join("eif.json"), eif).unwrap();
        Self(path)
    }

    fn good(&self) -> String {
        "deployment = \"demo\"\nstate_directory = \"state\"\n[tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n\
         [trust]\nroot = \"aws\"\n"
            .to_owned()
    }

    fn parse(&self, text: &str) -> Result<Config, Mistakes> {
        Config::parse(text, &self.0.join("countersign.toml"))
    }

    /// Each mistake as the user sees it, without the file's name.
    fn mistakes(&self, text: &str) -> Vec<String> {
        let Err(mistakes) = self.parse(text) else { return Vec::new() };
        let prefix = format!("{}:", Path::new(&self.0).join("countersign.toml").display());
        mistakes.to_string().lines().map(|line| line.strip_prefix(&prefix).unwrap().to_owned()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
