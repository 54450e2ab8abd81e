//! The table `[admin]`.

use std::ops::Range;

use toml::Spanned;

use super::{Number, RawTls, Text, Texts};
use crate::config::reader::Section;

#[derive(Debug, Default)]
pub(in crate::config) struct RawAdmin {
    pub(in crate::config) listen: Text,
    pub(in crate::config) tls: RawTls,
    pub(in crate::config) client_ca: Text,
    pub(in crate::config) approvals: Number,
    pub(in crate::config) oidc: Option<RawOidc>,
    pub(in crate::config) certificates: Vec<RawCertificate>,
}

#[derive(Debug, Default)]
pub(in crate::config) struct RawOidc {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) issuer: Text,
    pub(in crate::config) audience: Text,
    pub(in crate::config) roles_claim: Text,
    pub(in crate::config) workloads_claim: Text,
    pub(in crate::config) workloads: Text,
    pub(in crate::config) ca: Text,
    pub(in crate::config) roles: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
    pub(in crate::config) sign_in: Option<RawSignIn>,
}

#[derive(Debug, Default)]
pub(in crate::config) struct RawSignIn {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) client_id: Text,
    pub(in crate::config) client_secret_file: Text,
    pub(in crate::config) public_url: Text,
    pub(in crate::config) scopes: Texts,
    pub(in crate::config) name: Text,
}

#[derive(Debug, Default)]
pub(in crate::config) struct RawCertificate {
    pub(in crate::config) path: String,
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) uri: Text,
    pub(in crate::config) dns: Text,
    pub(in crate::config) common_name: Text,
    pub(in crate::config) roles: Texts,
    pub(in crate::config) workloads: Texts,
}

pub(super) fn admin(section: &Section<'_>) -> RawAdmin {
    RawAdmin {
        listen: section.text("listen"),
        tls: RawTls {
            certificate: section.text("certificate"),
            key: section.text("key"),
            span: section.span(),
        },
        client_ca: section.text("client_ca"),
        approvals: section.number("approvals"),
        oidc: section.section("oidc").map(oidc),
        certificates: section.sections("client").into_iter().map(certificate).collect(),
    }
}

fn oidc(section: Section<'_>) -> RawOidc {
    let oidc = RawOidc {
        span: section.span(),
        issuer: section.text("issuer"),
        audience: section.text("audience"),
        roles_claim: section.text("roles_claim"),
        workloads_claim: section.text("workloads_claim"),
        workloads: section.text("workloads"),
        ca: section.text("ca"),
        roles: section.section("roles").map(|s| s.free_texts()).unwrap_or_default(),
        sign_in: section.section("sign_in").map(sign_in),
    };
    section.finish();
    oidc
}

fn sign_in(section: Section<'_>) -> RawSignIn {
    let sign_in = RawSignIn {
        span: section.span(),
        client_id: section.text("client_id"),
        client_secret_file: section.text("client_secret_file"),
        public_url: section.text("public_url"),
        scopes: section.texts("scopes"),
        name: section.text("name"),
    };
    section.finish();
    sign_in
}

fn certificate(section: Section<'_>) -> RawCertificate {
    let certificate = RawCertificate {
        path: section.path().to_owned(),
        span: section.span(),
        uri: section.text("uri"),
        dns: section.text("dns"),
        common_name: section.text("common_name"),
        roles: section.texts("roles"),
        workloads: section.texts("workloads"),
    };
    section.finish();
    certificate
}
