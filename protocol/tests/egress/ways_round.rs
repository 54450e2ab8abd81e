//! Each test is a way round a policy of this kind that worked somewhere.

use countersign_protocol::egress::{EgressPolicy, Entry};

use super::{judged, policy, resolved};

#[test]
fn a_trailing_dot() {
    let policy = policy(&["allow **", "deny evil.com", "deny *.bad.example."]);
    assert_eq!(judged(&policy, "evil.com.:443"), "deny evil.com");
    assert_eq!(judged(&policy, "x.bad.example:443"), "deny *.bad.example.");
    assert_eq!(judged(&policy, "x.bad.example.:443"), "deny *.bad.example.");
}

#[test]
fn another_case_or_another_script() {
    let policy = policy(&["allow **", "deny evil.com", "deny *.BÜCHER.example"]);
    for spelling in ["EVIL.com", "evil。com", "ｅｖｉｌ.com", "evil．COM", "ev\u{ad}il.com"] {
        assert_eq!(judged(&policy, &format!("{spelling}:443")), "deny evil.com", "{spelling}");
    }
    for spelling in ["a.bücher.example", "a.xn--bcher-kva.example", "A.BU\u{308}CHER.example"] {
        assert_eq!(judged(&policy, &format!("{spelling}:443")), "deny *.BÜCHER.example", "{spelling}");
    }
}

#[test]
fn a_pattern_that_takes_in_the_parent_machine() {
    for pattern in ["*", "**", "host.**", "**.host", "0.0.0.0/0", "127.0.0.0/8", "::/0", "localhost"] {
        let line = format!("allow {pattern}");
        assert_eq!(judged(&policy(&[&line]), "host:8080"), "no rule", "{pattern}");
        assert_eq!(judged(&policy(&[&line]), "ＨＯＳＴ.:8080"), "no rule", "{pattern}");
    }
    assert_eq!(judged(&policy(&["allow host", "deny host:22"]), "host:22"), "deny host:22");
    assert_eq!(judged(&policy(&["allow host", "deny **"]), "host:80"), "allow host");
    // Nor is it taken away by rules for what it is not.
    assert_eq!(judged(&policy(&["allow host", "deny 127.0.0.0/8"]), "host:80"), "allow host");
    assert_eq!(resolved(&policy(&["allow host", "deny 127.0.0.0/8"]), "host:80", "127.0.0.1"), "ok");
}

#[test]
fn an_address_in_disguise() {
    let policy = policy(&["allow **", "allow 0.0.0.0/0", "deny 169.254.0.0/16", "deny 10.0.0.5"]);
    for metadata in [
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.16689662",
        "0xA9.0xFE.0xA9.0xFE",
        "１６９.254.169.254",
        "169.254.169.254.",
        "[::ffff:169.254.169.254]",
        "[::FFFF:a9fe:a9fe]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[::169.254.169.254]",
    ] {
        assert_eq!(judged(&policy, &format!("{metadata}:80")), "deny 169.254.0.0/16", "{metadata}");
    }
    assert_eq!(judged(&policy, "167772165:80"), "deny 10.0.0.5");
}

#[test]
fn a_rule_in_disguise_holds_for_the_plain_address() {
    for spelling in [
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "::ffff:169.254.0.0/112",
    ] {
        let line = format!("deny {spelling}");
        let policy = policy(&["allow 169.254.169.254", &line]);
        assert_eq!(judged(&policy, "169.254.169.254:80"), line);
    }
}

#[test]
fn a_name_that_resolves_to_what_is_denied() {
    let policy = policy(&["allow **", "allow 10.0.0.0/8", "deny 10.0.0.5", "deny 2001:db8::/32"]);
    let rebinding = "a.example.com:443";
    assert_eq!(judged(&policy, rebinding), "allow **");
    for (address, said) in [
        ("203.0.113.7", "ok"),
        ("10.0.0.4", "ok"),
        ("10.0.0.5", "deny 10.0.0.5"),
        ("::ffff:10.0.0.5", "deny 10.0.0.5"),
        ("64:ff9b::10.0.0.5", "deny 10.0.0.5"),
        ("2002:a00:5::", "deny 10.0.0.5"),
        ("2001:db8::1", "deny 2001:db8::/32"),
        ("169.254.169.254", "special"),
        ("::ffff:169.254.169.254", "special"),
        ("fd00:ec2::254", "special"),
        ("127.0.0.1", "special"),
        ("::1", "special"),
        ("0.0.0.0", "special"),
        ("::", "special"),
        ("fe80::1", "special"),
    ] {
        assert_eq!(resolved(&policy, rebinding, address), said, "{address}");
    }
}

#[test]
fn a_resolver_that_leads_elsewhere() {
    let policy = policy(&["allow host", "allow **", "allow 192.0.2.1", "allow 127.0.0.0/8"]);
    assert_eq!(resolved(&policy, "host:80", "127.0.0.1"), "ok");
    assert_eq!(resolved(&policy, "host:80", "::1"), "ok");
    assert_eq!(resolved(&policy, "host:80", "203.0.113.7"), "elsewhere");
    assert_eq!(resolved(&policy, "host:80", "169.254.169.254"), "elsewhere");
    assert_eq!(resolved(&policy, "192.0.2.1:80", "192.0.2.1"), "ok");
    assert_eq!(resolved(&policy, "192.0.2.1:80", "::ffff:192.0.2.1"), "ok");
    assert_eq!(resolved(&policy, "192.0.2.1:80", "192.0.2.2"), "elsewhere");
}

#[test]
fn only_the_right_end_of_a_pattern_counts() {
    let policy = policy(&["allow auth.**.mycorp.com"]);
    assert_eq!(judged(&policy, "x.mycorp.com:443"), "no rule");
    assert_eq!(judged(&policy, "auth.mycorp.com:443"), "no rule");
    assert_eq!(judged(&policy, "auth.eu.mycorp.com:443"), "allow auth.**.mycorp.com");
}

#[test]
fn nothing_written_and_everything_allowed() {
    for policy in [EgressPolicy::default(), policy(&[]), policy(&["deny evil.com"])] {
        for text in ["example.com:443", "10.0.0.1:443", "host:80", "[2001:db8::1]:443"] {
            assert_eq!(judged(&policy, text), "no rule", "{text}");
        }
        assert_eq!(judged(&policy, "127.0.0.1:80"), "special");
    }
}

#[test]
fn a_name_rule_for_an_address_and_the_other_way_round() {
    assert_eq!(judged(&policy(&["allow **"]), "203.0.113.7:443"), "no rule");
    assert_eq!(judged(&policy(&["allow 0.0.0.0/0", "allow ::/0"]), "example.com:443"), "no rule");
    // Written as if it were a name: refused, since it would deny nothing.
    for entry in ["10.0.0.*", "*.*.*.254", "169.254.**", "**.0x7f"] {
        assert!(entry.parse::<Entry>().is_err(), "{entry}");
    }
}

#[test]
fn a_deny_rule_that_stands_after_or_is_wider() {
    let policy = policy(&["allow a.b.example.com:443", "allow 10.0.0.1/32:443", "deny **", "deny 0.0.0.0/0"]);
    assert_eq!(judged(&policy, "a.b.example.com:443"), "deny **");
    assert_eq!(judged(&policy, "10.0.0.1:443"), "deny 0.0.0.0/0");
}
