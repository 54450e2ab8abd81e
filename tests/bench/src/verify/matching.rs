use std::{hint::black_box, time::Instant};

use countersign_verifier::{DebugMode, Measurement, Pcr, PcrIndex, PcrSet, ReferenceValues};

use crate::failure::{Context, Failure};
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::{median, micros};

/// PCRs against ten thousand measurements, each of which has its turn.
///
/// # Errors
/// PCRs are not admitted that should be, or the other way round.
pub(super) fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let images = Policy::new(|number| [number, number, number, 0])?;
    let instances = Policy::new(|number| [0, 0, 0, number])?;
    let (mut of_images, mut of_instances) = (Vec::new(), Vec::new());
    let (mut build, mut refusal) = (Vec::new(), Vec::new());
    for _ in 0..3 * settings.rounds() {
        of_images.push(images.admitted()?);
        of_instances.push(instances.admitted()?);
        build.push(images.built()?);
        refusal.push(images.refused(settings.pick(200, 5))?);
    }
    let goal = Goal::AtMost(5_000.0);
    report.judge("match-10k-ns", median(of_images), "ns (10,000 images)", goal);
    report.judge(
        "match-10k-one-image-ns",
        median(of_instances),
        "ns (one image, 10,000 values of PCR4)",
        goal,
    );
    report.add("match-10k-refused-us", median(refusal), "µs (the closest is named)");
    report.add("match-10k-build-ms", median(build) / 1e3, "ms");
    Ok(())
}

struct Policy {
    measurements: Vec<Measurement>,
    references: ReferenceValues,
    enclaves: Vec<PcrSet>,
    /// As near as can be to one of the measurements.
    stranger: PcrSet,
}

impl Policy {
    /// Ten thousand measurements of PCR0, 1, 2 and 4, by what distinguishes them.
    fn new(numbers: impl Fn(u64) -> [u64; 4]) -> Result<Self, Failure> {
        let pcrs = |number: u64| {
            let mut pcrs = PcrSet::EMPTY;
            for (index, number) in [0, 1, 2, 4].into_iter().zip(numbers(number)) {
                let index = PcrIndex::new(index).context("an index")?;
                pcrs.insert(index, value(number)).map_err(|_| Failure::new("an index twice"))?;
            }
            Ok(pcrs)
        };
        let enclaves = (0..MEASUREMENTS).map(pcrs).collect::<Result<Vec<_>, Failure>>()?;
        let measurements = enclaves
            .iter()
            .enumerate()
            .map(|(number, pcrs)| {
                let values = pcrs.iter().map(|(index, value)| (index, *value));
                Measurement::new(number.to_string(), values).context("a measurement")
            })
            .collect::<Result<Vec<_>, _>>()?;
        let references = measurements.iter().cloned().collect();
        Ok(Self { measurements, references, enclaves, stranger: pcrs(MEASUREMENTS)? })
    }

    /// Nanoseconds of a match. Neighbours in the index follow each other nowhere: the order is by a digest's look.
    fn admitted(&self) -> Result<f64, Failure> {
        let began = Instant::now();
        for pcrs in &self.enclaves {
            black_box(self.references.appraise(black_box(pcrs), DebugMode::Refuse)).context("a match")?;
        }
        Ok(micros(began.elapsed()) * 1e3 / self.enclaves.len() as f64)
    }

    /// Microseconds of a refusal.
    fn refused(&self, count: usize) -> Result<f64, Failure> {
        let began = Instant::now();
        for _ in 0..count {
            if black_box(self.references.appraise(black_box(&self.stranger), DebugMode::Refuse)).is_ok() {
                return Err(Failure::new("a stranger was admitted"));
            }
        }
        Ok(micros(began.elapsed()) / count as f64)
    }

    /// Microseconds to put all of them together.
    fn built(&self) -> Result<f64, Failure> {
        let measurements = self.measurements.clone();
        let began = Instant::now();
        let references: ReferenceValues = black_box(measurements.into_iter().collect());
        let elapsed = micros(began.elapsed());
        if references.len() != self.measurements.len() {
            return Err(Failure::new("a measurement is missing"));
        }
        Ok(elapsed)
    }
}

/// A value that looks like a digest: bytes without order (the finaliser of splitmix64).
fn value(number: u64) -> Pcr {
    let mixed = |seed: u64| {
        let mut bits = number.wrapping_mul(8).wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)).to_be_bytes()
    };
    let mut bytes = [0; 48];
    for (seed, piece) in (1..).zip(bytes.chunks_exact_mut(8)) {
        piece.copy_from_slice(&mixed(seed));
    }
    Pcr::new(bytes)
}

const MEASUREMENTS: u64 = 10_000;
