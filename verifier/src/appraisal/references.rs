//! The measurements that may pass, found fast.

use super::{DebugMode, Explanation, Measurement};
use crate::pcr::{Pcr, PcrIndex, PcrSet};
use crate::refusal::{AppraisalRefusal, Mismatch, Refusal};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The measurements that may pass. None of them, and nobody passes.
///
/// They stand by PCR0; those that share one (an image that is pinned to several roles, instances or signers) are sorted
/// by which PCRs they name, then by the values. A match is one look into the map and, for each *set of indexes* named
/// under this PCR0, a binary search: ten thousand measurements cost no more than ten, however many share their PCR0.
#[derive(Clone, Debug, Default)]
pub struct ReferenceValues {
    /// Each list in [`Measurement::order`]. Behind an `Arc`, so that an insertion moves pointers only and a copy shares
    /// what it holds.
    by_pcr0: BTreeMap<Pcr, Vec<Arc<Measurement>>>,
    count: usize,
}

impl ReferenceValues {
    /// No measurement: every enclave is refused.
    pub const fn new() -> Self {
        Self { by_pcr0: BTreeMap::new(), count: 0 }
    }

    /// Adds a measurement.
    pub fn insert(&mut self, measurement: Measurement) {
        let image = self.by_pcr0.entry(*measurement.pcr0()).or_default();
        let place = image.partition_point(|other| other.order(&measurement).is_le());
        image.insert(place, Arc::new(measurement));
        self.count += 1;
    }

    /// How many measurements there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none, and so nobody passes.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Every measurement, by PCR0.
    pub fn iter(&self) -> impl Iterator<Item = &Measurement> {
        self.by_pcr0.values().flatten().map(Arc::as_ref)
    }

    /// The measurement all of whose PCRs are these; of several, the most specific one: that which names the most PCRs,
    /// then that which names the lower indexes, then the first by name. A PCR that a measurement does not name is not
    /// compared.
    ///
    /// A match is fast. A refusal compares up to a thousand measurements to name the closest, those of the same PCR0
    /// first, and costs what that takes: whoever has only a *claim* of PCRs (a document not verified yet) can ask
    /// [`Self::knows`]. [`Self::explain`] compares all of them.
    ///
    /// # Errors
    /// As [`Evidence::appraise`](crate::Evidence::appraise).
    pub fn appraise(&self, pcrs: &PcrSet, debug: DebugMode) -> Result<&Measurement, Refusal> {
        if pcrs.is_debug() && debug == DebugMode::Refuse {
            return Err(AppraisalRefusal::DebugMode.into());
        }
        self.matching(pcrs).next().ok_or_else(|| self.mismatch(pcrs).into())
    }

    /// Whether any measurement has all of its PCRs among these: as fast as a match, whatever the answer.
    ///
    /// It says nothing of debug mode and admits nobody; [`Self::appraise`] does.
    pub fn knows(&self, pcrs: &PcrSet) -> bool {
        self.matching(pcrs).next().is_some()
    }

    /// Every measurement that these PCRs match, the one that [`Self::appraise`] gives first, and the `limit` nearest of
    /// the others, each with what differs; of those that `among` picks, since not everybody may see all. For people: it
    /// looks at every measurement, and sorts them.
    pub fn explain(
        &self,
        pcrs: &PcrSet,
        limit: usize,
        among: impl Fn(&Measurement) -> bool,
    ) -> Explanation<'_> {
        let matching = self.matching(pcrs).filter(|one| among(one)).collect();
        Explanation::new(matching, self.iter().filter(|one| among(one)), pcrs, limit)
    }

    /// Every measurement that these PCRs match, the most specific first.
    fn matching<'r>(&'r self, pcrs: &PcrSet) -> impl Iterator<Item = &'r Measurement> {
        let image = pcrs.get(PcrIndex::PCR0).and_then(|pcr0| self.by_pcr0.get(pcr0));
        OfOneShape { rest: image.map_or(&[], Vec::as_slice) }
            .filter(|alike| alike.first().is_some_and(|first| first.shape().is_within(pcrs)))
            .flat_map(|alike| {
                let start = alike.partition_point(|measurement| measurement.order_against(pcrs).is_lt());
                alike.iter().skip(start).take_while(|measurement| measurement.order_against(pcrs).is_eq())
            })
            .map(Arc::as_ref)
    }

    fn mismatch(&self, pcrs: &PcrSet) -> AppraisalRefusal {
        let pcr0 = pcrs.get(PcrIndex::PCR0);
        let same_image = pcr0.and_then(|pcr0| self.by_pcr0.get(pcr0)).into_iter().flatten().map(Arc::as_ref);
        let others = self.iter().filter(|measurement| Some(measurement.pcr0()) != pcr0);
        let compared = same_image.chain(others).take(MAX_COMPARED);
        let Some(closest) = compared.min_by_key(|measurement| measurement.distance(pcrs)) else {
            return AppraisalRefusal::NoReferenceValues;
        };
        AppraisalRefusal::Mismatch(Box::new(Mismatch {
            closest: closest.name().to_owned(),
            known: self.count,
            differences: closest.differences(pcrs).collect(),
        }))
    }
}

impl Extend<Measurement> for ReferenceValues {
    fn extend<I: IntoIterator<Item = Measurement>>(&mut self, measurements: I) {
        measurements.into_iter().for_each(|measurement| self.insert(measurement));
    }
}

impl FromIterator<Measurement> for ReferenceValues {
    fn from_iter<I: IntoIterator<Item = Measurement>>(measurements: I) -> Self {
        let mut references = Self::new();
        references.extend(measurements);
        references
    }
}

/// Measurements of one PCR0, in runs that name the same PCRs.
struct OfOneShape<'r> {
    rest: &'r [Arc<Measurement>],
}

impl<'r> Iterator for OfOneShape<'r> {
    type Item = &'r [Arc<Measurement>];

    fn next(&mut self) -> Option<Self::Item> {
        let shape = self.rest.first()?.shape();
        let end = self.rest.partition_point(|measurement| measurement.shape() == shape);
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(run)
    }
}

/// How many measurements a refusal compares. PCR0 covers all that PCR1 and PCR2 do, so what shares it is closest, and
/// among other images the closest is a hint to people, not worth a look at ten thousand for each stranger.
const MAX_COMPARED: usize = 1_000;
