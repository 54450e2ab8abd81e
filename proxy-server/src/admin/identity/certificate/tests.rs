use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::pki_types::{CertificateDer, UnixTime};

use super::*;
use crate::admin::identity::{Role, Scope};

struct Ca {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        Self::named("our people")
    }

    fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        params.signed_by(&key, &self.issuer).unwrap().der().clone()
    }
}

fn rule(name: CertificateName, role: Role, scope: &str) -> CertificateRule {
    CertificateRule { name, roles: role.into(), scope: scope.parse().unwrap() }
}

fn uri(name: &str) -> CertificateName {
    CertificateName::Uri(name.to_owned())
}

fn dns(name: &str) -> CertificateName {
    CertificateName::Dns(name.to_owned())
}

fn cn(name: &str) -> CertificateName {
    CertificateName::CommonName(name.to_owned())
}

fn rules() -> CertificateRules {
    CertificateRules::new([
        rule(uri("spiffe://corp/alice"), Role::Admin, "*"),
        rule(dns("CI.corp.example"), Role::Operator, "payments"),
        rule(cn("bob"), Role::Viewer, "*"),
    ])
    .unwrap()
}

#[test]
fn each_kind_of_name_leads_to_its_rule() {
    let ca = Ca::new();
    let alice = ca.issue(|params| {
        params.subject_alt_names = vec![
            SanType::URI("spiffe://corp/other".try_into().unwrap()),
            SanType::URI("spiffe://corp/alice".try_into().unwrap()),
        ];
    });
    let alice = rules().identify(&alice).unwrap();
    assert_eq!(alice.subject().as_str(), "cert:uri:spiffe://corp/alice");
    assert_eq!((alice.roles(), alice.scope()), (Role::Admin.into(), &Scope::Everything));

    let ci = ca.issue(|params| {
        params.subject_alt_names = vec![SanType::DnsName("ci.CORP.example".try_into().unwrap())];
    });
    let ci = rules().identify(&ci).unwrap();
    assert_eq!(ci.subject().as_str(), "cert:dns:ci.corp.example");
    assert_eq!(ci.scope(), &"payments".parse().unwrap());

    let bob = ca.issue(|params| params.distinguished_name.push(DnType::CommonName, "bob"));
    assert_eq!(rules().identify(&bob).unwrap().subject().as_str(), "cert:cn:bob");
}

type Change = Box<dyn FnOnce(&mut CertificateParams)>;

#[test]
fn a_name_of_another_kind_or_nearly_the_same_is_nobodys() {
    let ca = Ca::new();
    let wrong: [Change; 6] = [
        Box::new(|_| ()),
        Box::new(|p| p.distinguished_name.push(DnType::CommonName, "spiffe://corp/alice")),
        Box::new(|p| p.distinguished_name.push(DnType::CommonName, "Bob")),
        Box::new(|p| p.distinguished_name.push(DnType::OrganizationName, "bob")),
        Box::new(|p| p.subject_alt_names = vec![SanType::DnsName("bob".try_into().unwrap())]),
        Box::new(|p| p.subject_alt_names = vec![SanType::DnsName("*.corp.example".try_into().unwrap())]),
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        let refused = rules().identify(&ca.issue(change)).unwrap_err();
        assert_eq!(refused, CertificateRefused::Unknown, "{number}");
    }
    let junk = CertificateDer::from(vec![0x30, 0x00]);
    assert_eq!(rules().identify(&junk), Err(CertificateRefused::Unreadable));
    let alice = ca.issue(|p| {
        p.subject_alt_names = vec![SanType::URI("spiffe://corp/alice".try_into().unwrap())];
    });
    assert_eq!(CertificateRules::default().identify(&alice), Err(CertificateRefused::Unknown));
}

#[test]
fn a_certificate_that_fits_two_rules_fits_none() {
    let both = Ca::new().issue(|params| {
        params.subject_alt_names = vec![SanType::URI("spiffe://corp/alice".try_into().unwrap())];
        params.distinguished_name.push(DnType::CommonName, "bob");
    });
    let expected = CertificateRefused::Ambiguous { one: uri("spiffe://corp/alice"), other: cn("bob") };
    assert_eq!(rules().identify(&both), Err(expected));
}

#[test]
fn rules_that_were_meant_otherwise_are_mistakes() {
    let bad = |rules: Vec<CertificateRule>| CertificateRules::new(rules).unwrap_err();
    let twice = bad(vec![rule(dns("a.b"), Role::Viewer, "*"), rule(dns("A.b"), Role::Admin, "*")]);
    assert_eq!(twice, BadCertificateRules::Twice { name: dns("a.b") });
    for name in [dns("*.b"), uri(""), cn(&"x".repeat(256))] {
        let found = bad(vec![rule(name.clone(), Role::Viewer, "*")]);
        assert_eq!(found, BadCertificateRules::NeverMatches { name });
    }
    let many = (0..=CertificateRules::MAX).map(|n| rule(cn(&n.to_string()), Role::Viewer, "*"));
    assert_eq!(bad(many.collect()), BadCertificateRules::TooMany);
}

#[test]
fn the_verifier_lets_in_its_own_and_the_anonymous() {
    let (ours, other, imposter) = (Ca::new(), Ca::named("other people"), Ca::new());
    let verifier = client_verifier([ours.certificate.clone()]).unwrap();
    assert!(verifier.offer_client_auth() && !verifier.client_auth_mandatory());
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    let verify = |certificate: &CertificateDer<'static>| verifier.verify_client_cert(certificate, &[], now);
    assert!(verify(&ours.issue(|_| ())).is_ok());

    let reason = |certificate| match verify(&certificate) {
        Err(rustls::Error::InvalidCertificate(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(other.issue(|_| ())), rustls::CertificateError::UnknownIssuer);
    assert_eq!(reason(imposter.issue(|_| ())), rustls::CertificateError::BadSignature);
    let server = ours.issue(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert!(matches!(reason(server), rustls::CertificateError::InvalidPurposeContext { .. }));
    let expired = ours.issue(|p| p.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(matches!(reason(expired), rustls::CertificateError::ExpiredContext { .. }));
}

#[test]
fn a_bundle_must_hold_certificates() {
    assert!(matches!(client_verifier([]), Err(NotABundle::Empty)));
    let junk = [Ca::new().certificate, CertificateDer::from(vec![1, 2, 3])];
    assert!(matches!(client_verifier(junk), Err(NotABundle::Certificate { position: 1, .. })));
}
