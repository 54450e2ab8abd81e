use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_verifier::{Pcr, PcrIndex, PcrSet};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Moment, Pcrs};
use crate::store::TombstoneRow;

/// A revoked set of PCRs.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct TombstoneView {
    /// The set itself, as the path of its DELETE has it.
    #[schema(pattern = "^[A-Za-z0-9_-]{66,2096}$")]
    id: String,
    pcrs: Pcrs,
    /// The workload it was revoked in; null when PCRs were revoked by themselves.
    workload: Option<String>,
    measurement: Option<String>,
    #[schema(minimum = 0)]
    epoch: u64,
    revoked: Moment,
    /// Who.
    author: Option<String>,
    /// Why.
    reason: Option<String>,
}

impl From<TombstoneRow> for TombstoneView {
    fn from(row: TombstoneRow) -> Self {
        let TombstoneRow { pcrs, workload, measurement, epoch, revoked, author, reason } = row;
        let named = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            id: id_of(&pcrs),
            pcrs: Pcrs(pcrs),
            workload: named(workload),
            measurement: named(measurement),
            epoch: epoch.0,
            revoked: Moment(revoked),
            author,
            reason,
        }
    }
}

/// A set as one word: base64url of an index byte and 48 bytes for each PCR,
/// lowest index first. One set has one word.
pub(in crate::admin) fn id_of(pcrs: &PcrSet) -> String {
    let mut bytes = Vec::with_capacity(pcrs.len() * (1 + Pcr::LEN));
    for (index, value) in pcrs.iter() {
        bytes.push(index.get());
        bytes.extend_from_slice(value.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The set that a word stands for.
pub(in crate::admin) fn set_of(id: &str) -> Option<PcrSet> {
    let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
    let mut set = PcrSet::EMPTY;
    let (entries, rest) = bytes.as_chunks::<{ 1 + Pcr::LEN }>();
    for entry in entries {
        let (index, value) = entry.split_first()?;
        set.insert(PcrIndex::new(u64::from(*index))?, Pcr::new(value.try_into().ok()?)).ok()?;
    }
    (rest.is_empty() && !set.is_empty() && id_of(&set) == id).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_word() {
        let mut set = PcrSet::EMPTY;
        for index in [8, 0, 2, 1] {
            set.insert(PcrIndex::new(index).unwrap(), Pcr::new([index as u8 + 1; 48])).unwrap();
        }
        let id = id_of(&set);
        assert_eq!(set_of(&id), Some(set));
        for bad in ["", "AA", &id[1..], &format!("{id}{id}"), "////"] {
            assert_eq!(set_of(bad), None, "{bad}");
        }
    }
}
