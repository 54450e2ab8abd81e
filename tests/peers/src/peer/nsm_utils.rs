//! nsm-nitro-enclave-utils: ring through rustls-webpki for the chain, RustCrypto's p384 for the
//! document. The caller brings the root.

use std::hint::black_box;

use nsm_nitro_enclave_utils::api::nsm::AttestationDoc;
use nsm_nitro_enclave_utils::time::Time;
use nsm_nitro_enclave_utils::verify::AttestationDocVerifierExt;
use ttk_server::verifier::TrustStore;

use super::Verifier;

pub(super) fn verifier(at_ms: u64) -> Verifier {
    // Any copy of AWS's root will do: TTKServer ships one.
    let root = TrustStore::builtin().aws_nitro_root;
    Box::new(move |document| {
        let time = Time::new(Box::new(move || at_ms));
        let parsed = AttestationDoc::from_cose(document, &root, time).map_err(|e| format!("{e:?}"))?;
        black_box(parsed);
        Ok(())
    })
}
