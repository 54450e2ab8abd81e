//! nitro_attest: ring through x509-parser, each certificate against the one before it. Carries the
//! root's fingerprint.

use std::hint::black_box;

use nitro_attest::UnparsedAttestationDoc;
use time::OffsetDateTime;

use super::Verifier;

pub(super) fn verifier(at_ms: u64) -> Result<Verifier, String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000)
        .map_err(|e| format!("timestamp {at_ms}: {e}"))?;
    Ok(Box::new(move |document| {
        let parsed =
            UnparsedAttestationDoc::from(document).parse_and_verify(at).map_err(|e| format!("{e}: {e:?}"))?;
        black_box(parsed);
        Ok(())
    }))
}
