//! Certificates: the DER reader of `countersign-verifier`, through its summary and its trust anchor.

mod structured;

use countersign_verifier::{CertificateSummary, TrustAnchor, UnixMillis};
use rustls_pki_types::CertificateDer;

pub use structured::structured;

/// Any bytes as a certificate.
pub fn raw(bytes: &[u8]) {
    check(bytes);
}

/// What holds for any bytes. Gives what was read when they are a certificate.
pub(crate) fn check(der: &[u8]) -> Option<CertificateSummary> {
    let summary = match CertificateSummary::parse(der) {
        Ok(summary) => summary,
        Err(fault) => {
            assert_eq!(TrustAnchor::danger_from_der(der).map(drop), Err(fault));
            return None;
        }
    };
    assert_eq!(TrustAnchor::danger_from_der(der).expect("what has a summary can be an anchor").der(), der);
    assert!(CertificateSummary::parse(&der[..der.len() - 1]).is_err(), "a certificate without its last byte");
    assert!(CertificateSummary::parse(&[der, &[0]].concat()).is_err(), "a certificate and one byte more");
    let serial: Vec<u8> = (0..summary.serial.len())
        .step_by(2)
        .filter_map(|at| u8::from_str_radix(&summary.serial[at..at + 2], 16).ok())
        .collect();
    assert!((1..=21).contains(&serial.len()) && contains(der, &serial), "serial {}", summary.serial);
    assert!(contains(der, &time_in_der(summary.not_before)), "{}", summary.not_before);
    assert!(contains(der, &time_in_der(summary.not_after)), "{}", summary.not_after);
    webpki_reads_it(der);
    Some(summary)
}

/// rustls-webpki accepts whatever this reader accepts, but for extensions that it looks into and the attestation process
/// does not use: there, ours passes over what is not critical.
fn webpki_reads_it(der: &[u8]) {
    if UNUSED_EXTENSIONS.iter().any(|id| contains(der, id)) {
        return;
    }
    let read = webpki::EndEntityCert::try_from(&CertificateDer::from(der)).map(drop);
    assert_eq!(read, Ok(()), "accepted, and refused by webpki");
}

/// RFC 5280 section 4.1.2.5, made from the moment as it is displayed: `2026-08-03T19:19:53.000Z`.
fn time_in_der(moment: UnixMillis) -> Vec<u8> {
    let text = moment.to_string();
    let digits: String =
        text.split('.').next().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    let start = if digits.as_str() < "2050" { 2 } else { 0 };
    format!("{}Z", &digits[start..]).into_bytes()
}

fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

/// As in DER: subjectAltName, nameConstraints, cRLDistributionPoints (2.5.29.17, 30, 31).
const UNUSED_EXTENSIONS: &[&[u8]] =
    &[&[0x06, 3, 0x55, 0x1d, 0x11], &[0x06, 3, 0x55, 0x1d, 0x1e], &[0x06, 3, 0x55, 0x1d, 0x1f]];
