use std::{net::SocketAddr, path::Path};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use toml::Spanned;
use zeroize::Zeroizing;

use super::{
    ServerIdentity,
    check::parse,
    files, limits,
    mistake::Collector,
    raw::{RawAdmin, RawCertificate, RawOidc, RawSignIn},
};
use crate::{
    admin::identity::{
        CertificateName, CertificateRule, CertificateRules, ClaimPath, ClientSecret, Issuer, OidcConfig,
        Role, RoleMap, Roles, Scope, SignInConfig, WorkloadsFrom,
    },
    store::MOST_APPROVALS,
};

/// The admin API's port, and who may sign in there.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where it listens; `None` is off.
    pub listen: Option<SocketAddr>,
    /// What it shows; `None` is what the other ports show.
    pub identity: Option<ServerIdentity>,
    /// Under which CAs client certificates stand. Empty: none can sign in.
    pub client_cas: Vec<CertificateDer<'static>>,
    /// Whose they are.
    pub clients: CertificateRules,
    /// The OpenID provider.
    pub oidc: Option<OidcConfig>,
    /// How many people besides the author approve what allows more.
    pub approvals: u32,
}

pub(super) fn admin(raw: RawAdmin, directory: &Path, found: &Collector) -> AdminConfig {
    let RawAdmin { listen, tls, client_ca, approvals, oidc, certificates } = raw;
    let identity = match (&tls.certificate, &tls.key) {
        (None, None) => None,
        _ => files::identity(tls, "admin", directory, found),
    };
    let without_ca = client_ca.is_none();
    let client_cas = client_ca.map(|file| bundle(&file, directory, found)).unwrap_or_default();
    if let (true, Some(first)) = (without_ca, certificates.first()) {
        let message = "needs admin.client_ca: no client certificate stands without one";
        found.note(first.span.clone(), first.path.clone(), message);
    }
    AdminConfig {
        listen: address(listen, found),
        identity,
        client_cas,
        clients: clients(certificates, found),
        oidc: oidc.and_then(|raw| provider(raw, directory, found)),
        approvals: limits::number(approvals, "admin.approvals", 0..=MOST_APPROVALS.into(), 0, found) as u32,
    }
}

fn address(value: Option<Spanned<String>>, found: &Collector) -> Option<SocketAddr> {
    let default = SocketAddr::from(([127, 0, 0, 1], PORT));
    let Some(value) = value else { return Some(default) };
    if value.get_ref() == "off" {
        return None;
    }
    let address = value.get_ref().parse().ok();
    if address.is_none() {
        let message = format!(
            "expected an address and a port, as \"{default}\", or \"off\"; found \"{}\"",
            value.get_ref()
        );
        found.note(value.span(), "admin.listen", message);
    }
    address
}

fn bundle(file: &Spanned<String>, directory: &Path, found: &Collector) -> Vec<CertificateDer<'static>> {
    let Some(pem) = files::read(file, "admin.client_ca", directory, found) else { return Vec::new() };
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => certificates,
        _ => {
            let message = "expected a PEM file with CA certificates; found none in it";
            found.note(file.span(), "admin.client_ca", message);
            Vec::new()
        }
    }
}

fn clients(raw: Vec<RawCertificate>, found: &Collector) -> CertificateRules {
    let mut rules = Vec::with_capacity(raw.len());
    let place = raw.first().map(|first| (first.span.clone(), first.path.clone()));
    for raw in raw {
        let RawCertificate { path, span, uri, dns, common_name, roles, workloads } = raw;
        let name = match (uri, dns, common_name) {
            (Some(name), None, None) => Some(CertificateName::Uri(name.into_inner())),
            (None, Some(name), None) => Some(CertificateName::Dns(name.into_inner())),
            (None, None, Some(name)) => Some(CertificateName::CommonName(name.into_inner())),
            _ => {
                found.note(span.clone(), path.clone(), "expected exactly one of uri, dns and common_name");
                None
            }
        };
        let roles = roles_of(roles.unwrap_or_default(), &format!("{path}.roles"), span.clone(), found);
        let scope = scope_of(workloads.as_deref(), &format!("{path}.workloads"), span, found);
        if let (Some(name), Some(roles), Some(scope)) = (name, roles, scope) {
            rules.push(CertificateRule { name, roles, scope });
        }
    }
    CertificateRules::new(rules).unwrap_or_else(|error| {
        let (span, path) = place.unwrap_or_default();
        found.note(span, path, error.to_string());
        CertificateRules::default()
    })
}

fn roles_of(
    words: Vec<Spanned<String>>,
    field: &str,
    span: std::ops::Range<usize>,
    found: &Collector,
) -> Option<Roles> {
    if words.is_empty() {
        found.note(span, field, "missing; at least one of viewer, operator, approver, admin");
        return None;
    }
    let roles: Vec<Role> = words.iter().filter_map(|word| parse(word, field, found)).collect();
    if roles.len() == words.len() { Roles::of(roles) } else { None }
}

/// `["*"]` is everything: nobody means that by leaving a line out.
fn scope_of(
    words: Option<&[Spanned<String>]>,
    field: &str,
    span: std::ops::Range<usize>,
    found: &Collector,
) -> Option<Scope> {
    let names: Vec<&str> = words.unwrap_or_default().iter().map(|word| word.get_ref().as_str()).collect();
    match names.as_slice() {
        [] => {
            found.note(span, field, "missing; names of workloads, or [\"*\"] for all of them");
            None
        }
        ["*"] => Some(Scope::Everything),
        _ => Scope::of_names(names).map_err(|error| found.note(span, field, error.to_string())).ok(),
    }
}

fn provider(raw: RawOidc, directory: &Path, found: &Collector) -> Option<OidcConfig> {
    let RawOidc { span, issuer, audience, roles_claim, workloads_claim, workloads, ca, roles, sign_in } = raw;
    let field = |key: &str| format!("admin.oidc.{key}");
    if issuer.is_none() {
        found.note(
            span.clone(),
            field("issuer"),
            "missing; the provider's URL, as \"https://id.example.com\"",
        );
    }
    if audience.is_none() {
        found.note(span.clone(), field("audience"), "missing; what the tokens' aud must contain");
    }
    let issuer = issuer.and_then(|issuer| parse(&issuer, &field("issuer"), found));
    let claim = |value: Option<Spanned<String>>, key: &str| {
        let value = value?;
        let path = ClaimPath::new(value.get_ref());
        path.map_err(|error| found.note(value.span(), field(key), error.to_string())).ok()
    };
    let workloads = match (workloads_claim, workloads) {
        (Some(path), None) => claim(Some(path), "workloads_claim").map(WorkloadsFrom::Claim),
        (None, Some(all)) if all.get_ref() == "*" => Some(WorkloadsFrom::Everything),
        _ => {
            let message = "expected workloads = \"*\", or workloads_claim with the claim that names them";
            found.note(span.clone(), field("workloads"), message);
            None
        }
    };
    let roles_claim = match roles_claim {
        Some(path) => claim(Some(path), "roles_claim"),
        None => ClaimPath::new("roles").ok(),
    };
    let roles = role_map(roles, &field("roles"), span, found);
    let sign_in = match sign_in {
        Some(raw) => Some(client(raw, issuer.as_ref(), directory, found)?),
        None => None,
    };
    Some(OidcConfig {
        issuer: issuer?,
        audience: audience?.into_inner(),
        roles_claim: roles_claim?,
        roles: roles?,
        workloads: workloads?,
        sign_in,
        ca_file: ca.map(|file| directory.join(file.get_ref())),
    })
}

/// What this proxy is to the provider.
fn client(
    raw: RawSignIn,
    issuer: Option<&Issuer>,
    directory: &Path,
    found: &Collector,
) -> Option<SignInConfig> {
    let RawSignIn { span, client_id, client_secret_file, public_url, scopes, name } = raw;
    let field = |key: &str| format!("admin.oidc.sign_in.{key}");
    if client_id.is_none() {
        found.note(span.clone(), field("client_id"), "missing; this proxy's name at the provider");
    }
    if public_url.is_none() {
        let message = "missing; where browsers find this proxy's page, as \"https://proxy.example.com:9443\"";
        found.note(span, field("public_url"), message);
    }
    let secret = client_secret_file.map(|file| {
        let bytes = Zeroizing::new(files::read(&file, &field("client_secret_file"), directory, found)?);
        let secret = ClientSecret::new(&String::from_utf8_lossy(&bytes));
        // The value is not repeated.
        secret.map_err(|error| found.note(file.span(), field("client_secret_file"), error.to_string())).ok()
    });
    let scopes = scopes.unwrap_or_default();
    for scope in &scopes {
        if !is_scope(scope.get_ref()) {
            found.note(scope.span(), field("scopes"), "expected one word for each scope, as \"profile\"");
        }
    }
    let host = issuer.and_then(|issuer| issuer.as_str().split('/').nth(2)).unwrap_or("OpenID");
    let public_url = public_url.and_then(|url| parse(&url, &field("public_url"), found));
    Some(SignInConfig {
        client_id: client_id?.into_inner(),
        client_secret: secret.map_or(Some(None), |secret| secret.map(Some))?,
        public_url: public_url?,
        scopes: scopes.into_iter().map(Spanned::into_inner).collect(),
        name: name.map_or_else(|| host.to_owned(), Spanned::into_inner),
    })
}

/// RFC 6749 section 3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
fn is_scope(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !text.is_empty() && text.bytes().all(allowed)
}

/// The file says for each of our roles which of the provider's words give it.
fn role_map(
    raw: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
    field: &str,
    span: std::ops::Range<usize>,
    found: &Collector,
) -> Option<RoleMap> {
    let mut words: Vec<(String, Roles)> = Vec::new();
    for (role, given_by) in raw {
        let Some(role) = parse::<Role>(&role, field, found) else { continue };
        for word in given_by {
            let word = word.into_inner();
            match words.iter_mut().find(|(known, _)| *known == word) {
                Some((_, roles)) => *roles = roles.with(role),
                None => words.push((word, role.into())),
            }
        }
    }
    RoleMap::new(words).map_err(|error| found.note(span, field, error.to_string())).ok()
}

/// The port when the file names none.
const PORT: u16 = 9443;
