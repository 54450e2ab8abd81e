//! Special addresses are opened by rules that mean them, and by no others.

use super::{judged, policy, resolved};

#[test]
fn a_special_address_is_allowed_only_by_a_network_that_is_special_throughout() {
    for (rule, address, decides) in [
        ("allow 0.0.0.0/0", "127.0.0.1", "special"),
        ("allow 126.0.0.0/7", "127.0.0.1", "special"),
        ("allow 127.0.0.0/8", "127.0.0.1", "allow 127.0.0.0/8"),
        ("allow 127.0.0.1", "127.0.0.1", "allow 127.0.0.1"),
        ("allow 127.0.0.1", "127.0.0.2", "special"),
        ("allow 169.0.0.0/8", "169.254.169.254", "special"),
        ("allow 169.254.0.0/16", "169.254.169.254", "allow 169.254.0.0/16"),
        ("allow 169.254.169.254", "169.254.169.254", "allow 169.254.169.254"),
        ("allow ::/0", "[::1]", "special"),
        ("allow ::1", "[::1]", "allow ::1"),
        ("allow ::/127", "[::1]", "special"),
        ("allow fe80::/9", "[fe80::1]", "special"),
        ("allow fe80::/10", "[fe80::1]", "allow fe80::/10"),
        ("allow fd00::/8", "[fd00:ec2::254]", "special"),
        ("allow fd00:ec2::/32", "[fd00:ec2::254]", "allow fd00:ec2::/32"),
        ("allow 64:ff9b::/96", "[64:ff9b::7f00:1]", "special"),
        ("allow 64:ff9b::7f00:0/104", "[64:ff9b::7f00:1]", "allow 64:ff9b::7f00:0/104"),
        // The address inside is not the address that would be dialled.
        ("allow 127.0.0.1", "[64:ff9b::7f00:1]", "special"),
        ("allow 2002::/16", "[2002:7f00:1::1]", "special"),
    ] {
        let policy = policy(&[rule, "allow name.example"]);
        assert_eq!(judged(&policy, &format!("{address}:80")), decides, "{rule} {address}");
        let bare = address.trim_matches(['[', ']']);
        let dialled = if decides == "special" { "special" } else { "ok" };
        assert_eq!(resolved(&policy, "name.example:80", bare), dialled, "{rule} {address}");
    }
}

#[test]
fn what_is_no_unicast_address_is_never_allowed() {
    for address in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1"] {
        let exactly = format!("allow {address}");
        let policy = policy(&[
            &exactly,
            "allow 0.0.0.0/0",
            "allow ::/0",
            "allow 224.0.0.0/4",
            "allow ff00::/8",
            "allow **",
        ]);
        let literal = if address.contains(':') { format!("[{address}]:80") } else { format!("{address}:80") };
        assert_eq!(judged(&policy, &literal), "special", "{address}");
        assert_eq!(resolved(&policy, "name.example:80", address), "special", "{address}");
    }
}

#[test]
fn a_special_address_needs_the_port_too() {
    let policy = policy(&["allow 127.0.0.1:5432", "allow **"]);
    assert_eq!(resolved(&policy, "db.example:5432", "127.0.0.1"), "ok");
    assert_eq!(resolved(&policy, "db.example:5433", "127.0.0.1"), "special");
}

#[test]
fn ipv4_networks_deny_inside_ipv6_and_allow_only_themselves() {
    let policy = policy(&["allow 10.0.0.0/8", "deny 10.1.0.0/16", "allow 64:ff9b::/96", "allow 2002::/16"]);
    assert_eq!(judged(&policy, "[64:ff9b::10.2.0.1]:80"), "allow 64:ff9b::/96");
    assert_eq!(judged(&policy, "[64:ff9b::10.1.0.1]:80"), "deny 10.1.0.0/16");
    assert_eq!(judged(&policy, "[2002:a01:1::5]:80"), "deny 10.1.0.0/16");
    assert_eq!(judged(&policy, "[64:ff9b:1::10.2.0.1]:80"), "no rule");
    assert_eq!(judged(&policy, "[::ffff:10.2.0.1]:80"), "allow 10.0.0.0/8");
}

#[test]
fn all_of_ipv6_is_not_all_of_ipv4() {
    let policy = policy(&["allow 0.0.0.0/0", "allow ::/0", "deny 0.0.0.0/0:25", "deny [::/0]:26"]);
    assert_eq!(judged(&policy, "203.0.113.7:26"), "allow 0.0.0.0/0");
    assert_eq!(judged(&policy, "[::ffff:203.0.113.7]:26"), "allow 0.0.0.0/0");
    assert_eq!(judged(&policy, "[2001:db8::1]:26"), "deny [::/0]:26");
    assert_eq!(judged(&policy, "[2001:db8::1]:25"), "allow ::/0");
}
