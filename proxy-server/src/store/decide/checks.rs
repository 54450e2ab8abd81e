use countersign_verifier::PcrIndex;

use crate::{
    policy::check_name,
    store::{ChangeError, MeasurementEdit, NewMeasurement, UnixMs},
};

/// Whether a new measurement makes sense by itself, and what its author should know.
pub(in crate::store) fn check_new(
    measurement: &NewMeasurement,
    now: UnixMs,
) -> Result<Vec<String>, ChangeError> {
    let NewMeasurement { name, pcrs, edit } = measurement;
    check_name(name).map_err(|error| invalid("name", error.to_string()))?;
    let needed = [PcrIndex::PCR0, PcrIndex::PCR1, PcrIndex::PCR2];
    if let Some(missing) = needed.into_iter().find(|index| pcrs.get(*index).is_none()) {
        return Err(invalid("pcrs", format!("{missing} is missing: a measurement has PCR0, 1 and 2")));
    }
    if pcrs.is_debug() {
        let reason = "PCR0, 1 and 2 are zeros, which is what any enclave in debug mode has";
        return Err(invalid("pcrs", reason.to_owned()));
    }
    check_edit(edit, now)?;
    let pinned = |index: &u64| PcrIndex::new(*index).and_then(|index| pcrs.get(index)).is_some();
    Ok(if PINS.iter().any(pinned) { Vec::new() } else { vec![NOTHING_PINNED.to_owned()] })
}

/// Whether what people read of a measurement, and its validity, makes sense.
pub(in crate::store) fn check_edit(edit: &MeasurementEdit, now: UnixMs) -> Result<(), ChangeError> {
    let MeasurementEdit { version, labels, not_before, expires } = edit;
    if version.as_ref().is_some_and(|version| version.len() > LONGEST_TEXT) {
        return Err(invalid("version", format!("it has more than {LONGEST_TEXT} bytes")));
    }
    if labels.len() > MOST_LABELS {
        return Err(invalid("labels", format!("there are more than {MOST_LABELS}")));
    }
    if labels.iter().any(|(key, value)| key.is_empty() || key.len() + value.len() > LONGEST_TEXT) {
        return Err(invalid("labels", format!("a label has a key, and at most {LONGEST_TEXT} bytes")));
    }
    if expires.is_some_and(|expires| expires <= now) {
        return Err(invalid("expires", "it lies in the past: revoke the measurement instead".to_owned()));
    }
    if let (Some(from), Some(to)) = (not_before, expires)
        && from >= to
    {
        return Err(invalid("not_before", "it does not lie before expires".to_owned()));
    }
    Ok(())
}

/// A change that makes no sense.
pub(in crate::store) fn invalid(field: &'static str, reason: String) -> ChangeError {
    ChangeError::Invalid { field, reason }
}

/// The role of the instance (3), the instance (4), the signer (8), what the image extends (16).
const PINS: [u64; 4] = [3, 4, 8, 16];

const NOTHING_PINNED: &str =
    "no PCR3, 4, 8 or 16 is pinned: anyone may run this image on a machine of theirs and be admitted";

/// The longest version, and the longest label with its key, in bytes.
const LONGEST_TEXT: usize = 256;

/// The most labels of one measurement.
const MOST_LABELS: usize = 32;
