use countersign_verifier::PcrSet;

use crate::store::ChangeError;

/// Whether every enclave that has all of `pcrs` has all of `revoked`.
pub(in crate::store) fn covers(revoked: &PcrSet, pcrs: &PcrSet) -> bool {
    revoked.iter().all(|(index, value)| pcrs.get(index) == Some(value))
}

/// Whether an enclave may have all of both: no PCR that both name differs.
pub(in crate::store) fn might_match(a: &PcrSet, b: &PcrSet) -> bool {
    a.iter().all(|(index, value)| b.get(index).is_none_or(|other| other == value))
}

/// A measurement that stands: its name and PCRs.
pub(in crate::store) struct Standing {
    pub(in crate::store) workload: String,
    pub(in crate::store) name: String,
    pub(in crate::store) pcrs: PcrSet,
}

/// Whether a set of PCRs may be added to a workload, beside what stands and what was revoked.
pub(in crate::store) fn place(
    workload: &str,
    pcrs: &PcrSet,
    standing: &[Standing],
    buried: &[(PcrSet, String)],
) -> Result<(), ChangeError> {
    if let Some((_, measurement)) = buried.iter().find(|(revoked, _)| covers(revoked, pcrs)) {
        return Err(ChangeError::Buried { measurement: measurement.clone() });
    }
    for other in standing {
        let full = || format!("{}/{}", other.workload, other.name);
        if other.workload == workload && other.pcrs == *pcrs {
            return Err(ChangeError::SamePcrs { other: full() });
        }
        if other.workload != workload && might_match(&other.pcrs, pcrs) {
            return Err(ChangeError::Overlaps { other: full() });
        }
    }
    Ok(())
}
