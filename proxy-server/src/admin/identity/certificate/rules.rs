use std::{collections::HashMap, fmt};

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::common_name::common_name;
use crate::admin::identity::{Principal, Roles, Scope, Subject};

/// Which certificates are whose. Without rules, no certificate is anybody's.
#[derive(Clone, Debug, Default)]
pub struct CertificateRules(HashMap<CertificateName, Rights>);

/// One line of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRule {
    /// The name that the certificate must have.
    pub name: CertificateName,
    /// What its holder may do.
    pub roles: Roles,
    /// On which workloads.
    pub scope: Scope,
}

/// A name in a certificate, compared exactly. Each kind is a namespace of its
/// own: a CA may be careful with one and let its users choose another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertificateName {
    /// A URI among the subject alternative names, such as a SPIFFE id.
    Uri(String),
    /// A DNS name among the subject alternative names; letter case does not count.
    Dns(String),
    /// The subject's one common name.
    CommonName(String),
}

#[derive(Clone, Debug)]
struct Rights {
    roles: Roles,
    scope: Scope,
}

impl CertificateRules {
    /// The most rules.
    pub const MAX: usize = 10_000;

    /// Checks the configuration's lines.
    ///
    /// # Errors
    /// [`BadCertificateRules`].
    pub fn new(rules: impl IntoIterator<Item = CertificateRule>) -> Result<Self, BadCertificateRules> {
        let mut table = HashMap::new();
        for CertificateRule { name, roles, scope } in rules {
            let name = name.folded();
            if !name.can_match() {
                return Err(BadCertificateRules::NeverMatches { name });
            }
            if table.len() == Self::MAX {
                return Err(BadCertificateRules::TooMany);
            }
            if table.insert(name.clone(), Rights { roles, scope }).is_some() {
                return Err(BadCertificateRules::Twice { name });
            }
        }
        Ok(Self(table))
    }

    /// Whose certificate it is. TLS must have verified it ([`super::client_verifier`]).
    ///
    /// # Errors
    /// [`CertificateRefused`].
    pub fn identify(&self, verified: &CertificateDer<'_>) -> Result<Principal, CertificateRefused> {
        let certificate = EndEntityCert::try_from(verified).map_err(|_| CertificateRefused::Unreadable)?;
        let uris = certificate.valid_uri_names().map(|name| CertificateName::Uri(name.to_owned()));
        let dns = certificate.valid_dns_names().map(|name| CertificateName::Dns(name.to_owned()));
        let common =
            common_name(certificate.subject()).map(|name| CertificateName::CommonName(name.to_owned()));
        let mut found: Option<(CertificateName, &Rights)> = None;
        for name in uris.chain(dns).chain(common).map(CertificateName::folded) {
            let Some(rights) = self.0.get(&name) else { continue };
            match &found {
                Some((before, _)) if *before != name => {
                    return Err(CertificateRefused::Ambiguous { one: before.clone(), other: name });
                }
                _ => found = Some((name, rights)),
            }
        }
        let (name, Rights { roles, scope }) = found.ok_or(CertificateRefused::Unknown)?;
        Ok(Principal::named(name.subject(), *roles, scope.clone()))
    }
}

impl CertificateName {
    fn folded(self) -> Self {
        match self {
            // RFC 4343: DNS names do not differ by the case of ASCII letters.
            Self::Dns(name) => Self::Dns(name.to_ascii_lowercase()),
            other => other,
        }
    }

    /// A rule that looks like a pattern was meant as one: better a mistake at
    /// the start than an administrator who wonders.
    fn can_match(&self) -> bool {
        let (text, pattern) = match self {
            Self::Uri(text) | Self::CommonName(text) => (text, false),
            Self::Dns(text) => (text, text.contains('*')),
        };
        !text.is_empty() && text.len() <= LONGEST && !pattern
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Uri(name) => Subject::certificate("uri", name),
            Self::Dns(name) => Subject::certificate("dns", name),
            Self::CommonName(name) => Subject::certificate("cn", name),
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.subject().fmt(f)
    }
}

/// Why a configuration's rules are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadCertificateRules {
    /// Two rules for one name.
    Twice {
        /// The name.
        name: CertificateName,
    },
    /// An empty name, one with a `*`, or one longer than 255 bytes.
    NeverMatches {
        /// The name.
        name: CertificateName,
    },
    /// More than [`CertificateRules::MAX`].
    TooMany,
}

impl fmt::Display for BadCertificateRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice { name } => write!(f, "two rules for {name}"),
            Self::NeverMatches { name } => {
                write!(f, "{name} matches no certificate: names are 1 to {LONGEST} bytes and no patterns")
            }
            Self::TooMany => write!(f, "more than {} rules", CertificateRules::MAX),
        }
    }
}

impl std::error::Error for BadCertificateRules {}

/// Why a genuine certificate is nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateRefused {
    /// It cannot be read: TLS should not have let it through.
    Unreadable,
    /// No rule has one of its names.
    Unknown,
    /// Two rules have each one of its names.
    Ambiguous {
        /// The one.
        one: CertificateName,
        /// The other.
        other: CertificateName,
    },
}

impl CertificateRefused {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable => "certificate-unreadable",
            Self::Unknown => "certificate-unknown",
            Self::Ambiguous { .. } => "certificate-ambiguous",
        }
    }
}

impl fmt::Display for CertificateRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the client certificate cannot be read"),
            Self::Unknown => f.write_str("no rule has a name of this client certificate"),
            Self::Ambiguous { one, other } => {
                write!(f, "the client certificate fits two rules, {one} and {other}")
            }
        }
    }
}

impl std::error::Error for CertificateRefused {}

/// The longest name of a rule, in bytes: what a DNS name may have, and a SPIFFE
/// id hardly more. With it every name fits into a [`Subject`].
const LONGEST: usize = 255;
