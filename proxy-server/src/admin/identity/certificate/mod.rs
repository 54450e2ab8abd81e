//! Administrators who show a client certificate.
//!
//! TLS verifies the chain ([`client_verifier`]); here its names are looked up
//! in the configuration's rules. A name is equal to a rule's or it is not:
//! there are no patterns, and a certificate that fits two rules fits none.

mod common_name;
mod rules;
mod verifier;

pub use rules::{
    BadCertificateRules, CertificateName, CertificateRefused, CertificateRule, CertificateRules,
};
pub use verifier::{NotABundle, client_verifier};

#[cfg(test)]
mod tests;
