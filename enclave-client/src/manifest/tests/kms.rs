//! The words of `kms_proxy` that choose something.

use super::*;
use crate::{kms::Standard, manifest::CredentialsFrom};

fn text(lines: &str, proxies: usize) -> String {
    let one = |number: usize| {
        format!(
            "- {{type: proxy, fqdn: kms{number}.example, port: 443, proxyUrl: 'https://proxy{number}.example'}}\n"
        )
    };
    let connections: String = (0..proxies).map(one).collect();
    let connections =
        if proxies == 0 { String::new() } else { format!("outboundConnections:\n{connections}") };
    format!("version: v1\nkms_proxy:\n  listen_port: 9999\n{lines}{connections}")
}

#[test]
fn the_fips_endpoints_are_those_of_every_region_that_is_not_named() {
    let region = "us-east-2".parse().unwrap();
    for (lines, standard, host) in [
        ("", Standard::Public, "kms.us-east-2.amazonaws.com"),
        ("  endpoint_kind: public\n", Standard::Public, "kms.us-east-2.amazonaws.com"),
        ("  endpoint_kind: fips\n", Standard::Fips, "kms-fips.us-east-2.amazonaws.com"),
    ] {
        let kms = parse(&text(lines, 0)).unwrap().kms.unwrap();
        assert_eq!(kms.endpoints.standard, standard, "{lines}");
        assert_eq!(kms.endpoints.site(&region).unwrap().authority(), host);
    }
    let named = "  endpoint_kind: fips\n  endpoints: { us-east-2: vpce.example }\n";
    let kms = parse(&text(named, 0)).unwrap().kms.unwrap();
    assert_eq!(kms.endpoints.site(&region).unwrap().authority(), "vpce.example");
    let wrong = mistakes(&text("  endpoint_kind: fipps\n", 0));
    assert_eq!(wrong, ["4:18: kms_proxy.endpoint_kind: expected public or fips, found \"fipps\""]);
}

#[test]
fn credentials_come_from_one_place() {
    let from = |word: &str, proxies| {
        parse(&text(&format!("  credentials: {word}\n"), proxies)).unwrap().kms.unwrap().credentials
    };
    assert_eq!(from("environment", 0), Some(CredentialsFrom::Environment));
    assert_eq!(from("instance", 2), Some(CredentialsFrom::Instance));
    assert_eq!(from("proxy", 1), Some(CredentialsFrom::Proxy));
    assert_eq!(parse(&text("", 1)).unwrap().kms.unwrap().credentials, None);
    for proxies in [0, 2] {
        let expected = format!(
            "4:16: kms_proxy.credentials: expected outboundConnections through exactly one proxy; found {proxies}"
        );
        assert_eq!(mistakes(&text("  credentials: proxy\n", proxies)), [expected]);
    }
    let wrong = mistakes(&text("  credentials: role\n", 1));
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].starts_with("4:16: kms_proxy.credentials: expected "), "{wrong:?}");
}
