//! KMS key policies, which AWS or a file gives to `kms drift`.

use countersign_proxy::key_policy::{KeyPolicy, Known, Standing, drift};
use countersign_verifier::{PcrIndex, PcrSet};

/// Any bytes as a policy. What can be read is judged to the end: each finding says something, and a measurement that
/// nobody denies is missing or named.
pub fn raw(bytes: &[u8]) {
    let known =
        [known("payments/1.0", "a1", Standing::Active), known("payments/0.9", "b1", Standing::Revoked)];
    match KeyPolicy::read(bytes) {
        Ok(policy) => {
            let found = drift(&policy, &known);
            for finding in &found {
                assert!(
                    !finding.operations.is_empty() && !finding.fault.to_string().is_empty(),
                    "{finding:?}"
                );
                assert_eq!(finding.statement.is_none(), finding.fault.class() == "missing", "{finding:?}");
            }
            let missing = found.iter().filter(|finding| finding.fault.class() == "missing").count();
            assert!(missing <= 1, "one measurement is active: {found:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn known(name: &str, byte: &str, standing: Standing) -> Known {
    let mut pcrs = PcrSet::EMPTY;
    for index in [PcrIndex::PCR0, PcrIndex::PCR1, PcrIndex::PCR2] {
        pcrs.insert(index, byte.repeat(48).parse().expect("a PCR in order")).expect("each once");
    }
    Known { name: name.to_owned(), pcrs, standing }
}
