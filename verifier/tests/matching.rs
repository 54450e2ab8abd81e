//! The fast matcher beside a naive one, over many random policies: few values and few indexes, so that PCR0 is often
//! shared, one measurement is often more specific than another, and some are the same.
#![allow(clippy::unwrap_used, clippy::panic)]

use countersign_verifier::{
    AppraisalRefusal, DebugMode, Difference, Measurement, Pcr, PcrIndex, PcrSet, ReferenceValues, Refusal,
};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// What matches, the one that admits first: by looking at each.
fn naive<'m>(known: &'m [Measurement], pcrs: &PcrSet) -> Vec<&'m Measurement> {
    let mut matching: Vec<_> =
        known.iter().filter(|m| m.pcrs().all(|(index, value)| pcrs.get(index) == Some(value))).collect();
    matching.sort_by_key(|m| {
        let indexes: Vec<_> = m.pcrs().map(|(index, _)| index).collect();
        (Reverse(indexes.len()), indexes, m.name().to_owned())
    });
    matching
}

fn differences(measurement: &Measurement, pcrs: &PcrSet) -> Vec<Difference> {
    measurement
        .pcrs()
        .filter(|(index, value)| pcrs.get(*index) != Some(value))
        .map(|(index, value)| Difference { index, expected: *value, actual: pcrs.get(index).copied() })
        .collect()
}

/// How far: fewest differences, then fewest among PCR0 to PCR2.
fn distance(measurement: &Measurement, pcrs: &PcrSet) -> (usize, usize) {
    let differences = differences(measurement, pcrs);
    (differences.len(), differences.iter().filter(|difference| difference.index.get() < 3).count())
}

#[test]
fn the_fast_matcher_says_what_a_naive_one_says() {
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let (mut admitted, mut refused, mut ambiguous, mut unlike) = (0, 0, 0, BTreeSet::new());
    for _ in 0..600 {
        let known: Vec<_> = (0..random.below(40))
            .map(|number| Measurement::new(format!("m{number:02}"), random.pcrs(3)).unwrap())
            .collect();
        let references: ReferenceValues = known.iter().cloned().collect();
        assert_eq!((references.len(), references.iter().count()), (known.len(), known.len()));
        for _ in 0..40 {
            let lacking = usize::from(random.below(10) == 0);
            let mut pcrs = PcrSet::EMPTY;
            random.pcrs(6).into_iter().skip(lacking).for_each(|(i, v)| pcrs.insert(i, v).unwrap());
            let expected = naive(&known, &pcrs);
            let explained = references.explain(&pcrs, 5, |_| true);
            assert_eq!(explained.matching, expected);
            assert_eq!(references.knows(&pcrs), !expected.is_empty());
            let nearest: Vec<_> =
                explained.nearest.iter().map(|near| distance(near.measurement, &pcrs)).collect();
            let mut others: Vec<_> = known
                .iter()
                .map(|m| distance(m, &pcrs))
                .filter(|(differences, _)| *differences > 0)
                .collect();
            others.sort_unstable();
            others.truncate(5);
            assert_eq!(nearest, others);
            assert!(
                explained.nearest.iter().all(|near| near.differences == differences(near.measurement, &pcrs))
            );

            match (references.appraise(&pcrs, DebugMode::DangerAllow), expected.first()) {
                (Ok(measurement), Some(first)) => {
                    assert_eq!(&measurement, first);
                    admitted += 1;
                    ambiguous += usize::from(expected.len() > 1);
                    unlike.insert(measurement.pcrs().count());
                }
                (Err(Refusal::Appraisal(AppraisalRefusal::Mismatch(mismatch))), None) => {
                    let closest = known.iter().find(|m| m.name() == mismatch.closest).unwrap();
                    assert_eq!(Some(&distance(closest, &pcrs)), others.first());
                    assert_eq!(mismatch.differences, differences(closest, &pcrs));
                    assert_eq!(mismatch.known, known.len());
                    refused += 1;
                }
                (Err(Refusal::Appraisal(AppraisalRefusal::NoReferenceValues)), None) => {
                    assert!(known.is_empty());
                }
                (verdict, expected) => panic!("{verdict:?}, and a naive matcher says {expected:?}"),
            }
        }
    }
    // A generator that makes one kind of case only would prove nothing.
    assert!(admitted > 1_000 && refused > 1_000 && ambiguous > 300, "{admitted} {refused} {ambiguous}");
    assert_eq!(unlike, BTreeSet::from([3, 4, 5, 6]), "how many PCRs those that matched name");
}

#[test]
fn what_matches_does_not_depend_on_the_order_of_insertion() {
    let mut random = Xorshift(0x2545_f491_4f6c_dd1d);
    let known: Vec<_> = (0..60).map(|n| Measurement::new(format!("m{n}"), random.pcrs(2)).unwrap()).collect();
    let forwards: ReferenceValues = known.iter().cloned().collect();
    let backwards: ReferenceValues = known.iter().rev().cloned().collect();
    assert!(forwards.iter().eq(backwards.iter()));
    for _ in 0..500 {
        let mut pcrs = PcrSet::EMPTY;
        random.pcrs(6).into_iter().for_each(|(i, v)| pcrs.insert(i, v).unwrap());
        assert_eq!(
            forwards.appraise(&pcrs, DebugMode::Refuse).map(Measurement::name),
            backwards.appraise(&pcrs, DebugMode::Refuse).map(Measurement::name)
        );
    }
}

#[test]
fn ten_thousand_of_one_image_are_told_apart_by_what_else_they_pin() {
    let value = |number: u16| {
        let mut bytes = [7; 48];
        bytes[46..].copy_from_slice(&number.to_be_bytes());
        Pcr::new(bytes)
    };
    let image = [0, 1, 2].map(|index| (PcrIndex::new(index).unwrap(), value(0)));
    let pcr4 = PcrIndex::new(4).unwrap();
    let references: ReferenceValues = (0..10_000)
        .map(|number| {
            Measurement::new(number.to_string(), image.into_iter().chain([(pcr4, value(number))])).unwrap()
        })
        .collect();
    for number in [0, 1, 5_000, 9_999] {
        let mut pcrs = PcrSet::EMPTY;
        image.into_iter().chain([(pcr4, value(number))]).for_each(|(i, v)| pcrs.insert(i, v).unwrap());
        let found = references.appraise(&pcrs, DebugMode::Refuse).unwrap();
        assert_eq!(found.name(), number.to_string());
    }
    let mut stranger = PcrSet::EMPTY;
    image.into_iter().chain([(pcr4, value(10_000))]).for_each(|(i, v)| stranger.insert(i, v).unwrap());
    let refusal = references.appraise(&stranger, DebugMode::Refuse).unwrap_err();
    let Refusal::Appraisal(AppraisalRefusal::Mismatch(mismatch)) = refusal else { panic!("{refusal}") };
    assert_eq!((mismatch.known, mismatch.differences.len()), (10_000, 1));
    assert_eq!(mismatch.differences[0].index, pcr4);
}

/// A refusal compares a part of ten thousand, and still finds the one that counts; an explanation compares all.
#[test]
fn the_closest_of_ten_thousand_is_that_of_the_same_image() {
    let value = |number: u16| {
        let mut bytes = [0; 48];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        Pcr::new(bytes)
    };
    let index = |number| PcrIndex::new(number).unwrap();
    let image = |number| [0, 1, 2].map(|place| (index(place), value(number)));
    let mut references: ReferenceValues =
        (1..10_000).map(|number| Measurement::new(number.to_string(), image(number)).unwrap()).collect();
    let signed = image(10_000).into_iter().chain([(index(8), value(1))]);
    references.extend([Measurement::new("signed", signed).unwrap()]);
    let mut pcrs = PcrSet::EMPTY;
    image(10_000).into_iter().for_each(|(i, v)| pcrs.insert(i, v).unwrap());
    let refusal = references.appraise(&pcrs, DebugMode::Refuse).unwrap_err();
    let Refusal::Appraisal(AppraisalRefusal::Mismatch(mismatch)) = refusal else { panic!("{refusal}") };
    assert_eq!(
        (mismatch.closest.as_str(), mismatch.known, mismatch.differences.len()),
        ("signed", 10_000, 1)
    );

    // PCR1 and PCR2 of the last: no image would have that, and only the explanation looks so far.
    let mut odd = PcrSet::EMPTY;
    odd.insert(index(0), value(0)).unwrap();
    [1, 2].into_iter().for_each(|place| odd.insert(index(place), value(9_999)).unwrap());
    let nearest = references.explain(&odd, 1, |_| true).nearest;
    assert_eq!((nearest[0].measurement.name(), nearest[0].differences.len()), ("9999", 1));
}

/// The same numbers in each run.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % limit
    }

    /// PCR0 to PCR2, and others of 3, 8 and 31, at most `most` of them: each with one of two values.
    fn pcrs(&mut self, most: usize) -> Vec<(PcrIndex, Pcr)> {
        let mut others = [3, 8, 31].to_vec();
        while others.len() > most.min(3) || (!others.is_empty() && self.below(3) == 0) {
            others.remove(self.below(others.len()));
        }
        [0, 1, 2]
            .into_iter()
            .chain(others)
            .map(|index| (PcrIndex::new(index).unwrap(), Pcr::new([1 + self.below(2) as u8; 48])))
            .collect()
    }
}
