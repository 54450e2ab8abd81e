use super::*;

#[test]
fn a_chain_has_one_name() {
    let replica = ChainName::Replica([0xab; 16]);
    assert_eq!(replica.to_string(), format!("replica/{}", "ab".repeat(16)));
    for name in [ChainName::Policy, replica] {
        assert_eq!(name.to_string().parse(), Ok(name));
    }
    let upper = format!("replica/{}", "AB".repeat(16));
    let short = format!("replica/{}", "ab".repeat(15));
    for bad in ["", "Policy", "policy ", "replica/", "replica", &upper, &short, &format!("{replica}0")] {
        assert_eq!(bad.parse::<ChainName>(), Err(NotAChain), "{bad:?}");
    }
}

#[test]
fn a_public_key_is_read_as_pem_and_as_one_line() {
    let key = key().public();
    assert_eq!(key.to_string().parse(), Ok(key));
    assert_eq!(key.to_pem().parse(), Ok(key));
    let p256 = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
    let mut long = key.to_string();
    long.push_str("AAAA");
    for bad in ["", p256, &long, &key.to_string()[1..], "-----BEGIN PUBLIC KEY-----\n"] {
        assert_eq!(bad.parse::<AuditPublicKey>(), Err(NotAnAuditKey), "{bad:?}");
    }
}

#[test]
fn no_two_events_share_an_encoding() {
    let mut encodings = std::collections::BTreeSet::new();
    let base = event(1);
    let mut variants = vec![base.clone()];
    // The same text in another field, and split elsewhere between two fields.
    let text = || Some("x".to_owned());
    variants.push(Event { workload: text(), ..base.clone() });
    variants.push(Event { measurement: text(), ..base.clone() });
    variants.push(Event { request_id: text(), ..base.clone() });
    variants.push(Event { actor: text(), ..base.clone() });
    variants.push(Event { before: text(), ..base.clone() });
    variants.push(Event { after: text(), ..base.clone() });
    variants.push(Event { detail: text(), ..base.clone() });
    variants.push(Event { workload: Some(String::new()), ..base.clone() });
    variants.push(Event { kind: "policym".into(), code: "easurement-revoked".into(), ..base.clone() });
    variants.push(Event { session: Some(SessionId::from_bytes([0; 16])), ..base.clone() });
    variants.push(Event { evidence: Some([0; 32]), ..base.clone() });
    let count = variants.len();
    for variant in variants {
        let mut bytes = Vec::new();
        variant.encode(&mut bytes);
        encodings.insert(bytes);
    }
    assert_eq!(encodings.len(), count);
}
