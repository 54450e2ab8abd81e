//! "The policy is deny by default and supports * single wildcards for matching a specific position of a
//! subdomain (web.*.example.com) or ** greedy wildcards that match all (**.example.com)." (Enclaver,
//! manifest specification.)

use super::{judged, policy};

#[test]
fn the_documented_example() {
    let policy = policy(&[
        "allow kms.*.amazonaws.com",
        "allow s3.amazonaws.com",
        "allow **.mycorp.com",
        "deny auth.mycorp.com",
    ]);
    for (destination, decides) in [
        ("kms.us-west-2.amazonaws.com:443", "allow kms.*.amazonaws.com"),
        ("kms.amazonaws.com:443", "no rule"),
        ("kms.a.b.amazonaws.com:443", "no rule"),
        ("x.kms.us-west-2.amazonaws.com:443", "no rule"),
        ("s3.amazonaws.com:443", "allow s3.amazonaws.com"),
        ("s3.amazonaws.com:80", "allow s3.amazonaws.com"),
        ("S3.AmazonAWS.com:443", "allow s3.amazonaws.com"),
        ("bucket.s3.amazonaws.com:443", "no rule"),
        ("www.mycorp.com:443", "allow **.mycorp.com"),
        ("a.b.c.mycorp.com:443", "allow **.mycorp.com"),
        ("mycorp.com:443", "no rule"),
        ("notmycorp.com:443", "no rule"),
        ("auth.mycorp.com:443", "deny auth.mycorp.com"),
        ("x.auth.mycorp.com:443", "allow **.mycorp.com"),
        ("google.com:443", "no rule"),
    ] {
        assert_eq!(judged(&policy, destination), decides, "{destination}");
    }
}

#[test]
fn addresses_networks_and_the_parent_machine() {
    let policy = policy(&[
        "allow 10.0.0.0/8",
        "deny 10.1.0.0/16",
        "allow 10.1.2.3",
        "allow 192.0.2.7",
        "allow [2001:db8::1]",
        "allow host",
    ]);
    for (destination, decides) in [
        ("10.2.3.4:443", "allow 10.0.0.0/8"),
        ("10.1.9.9:443", "deny 10.1.0.0/16"),
        ("10.1.2.3:443", "deny 10.1.0.0/16"),
        ("192.0.2.7:443", "allow 192.0.2.7"),
        ("192.0.2.8:443", "no rule"),
        ("[2001:db8::1]:443", "allow [2001:db8::1]"),
        ("[2001:db8::2]:443", "no rule"),
        ("host:8080", "allow host"),
        ("HOST.:8080", "allow host"),
        ("x.host:8080", "no rule"),
    ] {
        assert_eq!(judged(&policy, destination), decides, "{destination}");
    }
}

#[test]
fn redirect_targets_must_each_be_listed() {
    let policy = policy(&["allow google.com", "allow www.google.com"]);
    assert_eq!(judged(&policy, "google.com:443"), "allow google.com");
    assert_eq!(judged(&policy, "www.google.com:443"), "allow www.google.com");
    assert_eq!(judged(&policy, "consent.google.com:443"), "no rule");
}

#[test]
fn wildcards() {
    for (pattern, yes, no) in [
        ("*", &["intranet"][..], &["example.com", "host"][..]),
        ("**", &["intranet", "example.com", "a.b.c.example.com"], &["host"]),
        ("*.example.com", &["a.example.com"], &["example.com", "b.a.example.com"]),
        ("**.example.com", &["a.example.com", "b.a.example.com"], &["example.com", "aexample.com"]),
        (
            "web.*.example.com",
            &["web.a.example.com"],
            &["web.example.com", "web.b.a.example.com", "x.a.example.com"],
        ),
        ("*.*.com", &["a.example.com"], &["example.com", "b.a.example.com"]),
        ("www.**", &["www.example.com", "www.com"], &["www", "x.www.com"]),
        ("**.*", &["a.b", "a.b.c"], &["a"]),
        ("*.**", &["a.b", "a.b.c"], &["a"]),
        ("**.**", &["a.b", "a.b.c"], &["a"]),
        ("a.**.z", &["a.b.z", "a.b.c.z"], &["a.z", "b.c.z", "x.a.b.z"]),
        ("a.**.*.z", &["a.b.c.z", "a.b.c.d.z"], &["a.b.z"]),
        ("a.*.**.z", &["a.b.c.z", "a.b.c.d.z"], &["a.b.z"]),
        (
            "a.**.m.**.z",
            &["a.b.m.c.z", "a.b.m.m.c.z", "a.m.m.m.z"],
            &["a.m.z", "a.m.b.z", "a.b.m.z", "a.b.c.z"],
        ),
        ("**.a.**.b.**", &["1.a.2.b.c", "a.a.b.b.b"], &["a.2.b.c", "1.a.b.c", "1.a.2.b"]),
        ("a.*.**.b.*.**.c", &["a.1.2.b.3.4.c"], &["a.1.b.3.4.c", "a.1.2.b.3.c"]),
    ] {
        let line = format!("allow {pattern}");
        let policy = policy(&[&line]);
        for name in yes {
            assert_eq!(judged(&policy, &format!("{name}:443")), line, "{name}");
        }
        for name in no {
            assert_eq!(judged(&policy, &format!("{name}:443")), "no rule", "{pattern}: {name}");
        }
    }
}

#[test]
fn ports_belong_to_their_rule() {
    let policy = policy(&[
        "allow example.com:443",
        "allow example.com:8000-8100",
        "deny example.com:8050",
        "allow *.example.com",
        "deny **.example.com:25",
        "allow 10.0.0.0/8:5432",
        "allow [2001:db8::/32]:443",
        "allow host:8080",
    ]);
    for (destination, decides) in [
        ("example.com:443", "allow example.com:443"),
        ("example.com:80", "no rule"),
        ("example.com:7999", "no rule"),
        ("example.com:8000", "allow example.com:8000-8100"),
        ("example.com:8050", "deny example.com:8050"),
        ("example.com:8100", "allow example.com:8000-8100"),
        ("example.com:8101", "no rule"),
        ("a.example.com:26", "allow *.example.com"),
        ("a.example.com:25", "deny **.example.com:25"),
        ("10.9.9.9:5432", "allow 10.0.0.0/8:5432"),
        ("10.9.9.9:5433", "no rule"),
        ("[2001:db8:1::1]:443", "allow [2001:db8::/32]:443"),
        ("[2001:db8:1::1]:80", "no rule"),
        ("host:8080", "allow host:8080"),
        ("host:8081", "no rule"),
    ] {
        assert_eq!(judged(&policy, destination), decides, "{destination}");
    }
}

#[test]
fn of_rules_that_say_the_same_the_first_is_named() {
    let lines = ["allow **.example.com", "allow *.example.com", "allow a.example.com", "allow a.**.com"];
    for first in 0..lines.len() {
        let mut lines = lines;
        lines.rotate_left(first);
        assert_eq!(judged(&policy(&lines), "a.example.com:443"), lines[0]);
    }
    let lines = ["allow 10.0.0.0/8", "allow 10.0.0.1", "allow 0.0.0.0/0"];
    for first in 0..lines.len() {
        let mut lines = lines;
        lines.rotate_left(first);
        assert_eq!(judged(&policy(&lines), "10.0.0.1:443"), lines[0]);
    }
}
