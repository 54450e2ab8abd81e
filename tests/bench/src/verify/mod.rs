//! One document, verified by us and by others in turns on one core.
//!
//! Ours runs in this process and each peer in a child (`tests/peers`), so that neither shares the other's heap or
//! dependencies; a turn is some hundred verifications, timed where they happen.

mod bare;
mod matching;
mod ours;
mod peer;

use std::path::PathBuf;

use countersign_verifier::UnverifiedDocument;

use self::{bare::Bare, ours::Ours, peer::Peer};
use crate::failure::{Context, Failure};
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::median;

/// Runs the part.
///
/// # Errors
/// A document that we refuse, or a peer that breaks off.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    matching::run(settings, report)?;
    match documents(settings)? {
        Some([main, other]) => {
            measure(&main, "", settings, report)?;
            measure(&other, "-definite", settings, report)
        }
        None => {
            println!(
                "skipped: a genuine document and the peers, who know no other root than Amazon's: {NO_SHARED}"
            );
            alone(&Ours::simulated()?, settings, report)
        }
    }
}

/// A genuine document.
struct Document {
    path: PathBuf,
    bytes: Vec<u8>,
    at_ms: u64,
}

fn documents(settings: &Settings) -> Result<Option<[Document; 2]>, Failure> {
    let Some(shared) = &settings.shared else { return Ok(None) };
    let read = |name: &str| {
        let path = shared.join("attestation-documents/real").join(name);
        let bytes = std::fs::read(&path).context(path.display())?;
        let document = UnverifiedDocument::parse(&bytes).context(path.display())?;
        let at_ms = document.timestamp().as_millis();
        Ok(Document { path, bytes, at_ms })
    };
    Ok(Some([read(INDEFINITE)?, read(DEFINITE)?]))
}

fn measure(
    document: &Document,
    suffix: &str,
    settings: &Settings,
    report: &mut Report,
) -> Result<(), Failure> {
    let ours = Ours::genuine(&document.bytes, document.at_ms)?;
    let mut peers = peer::start_all(settings, &document.path, document.at_ms)?;
    println!("{}: {} rounds of turns", document.path.display(), rounds_of(settings));
    let mut rounds = Rounds::default();
    let mut of_peers = vec![Vec::new(); peers.len()];
    let bare = Bare::new()?;
    for _ in 0..rounds_of(settings) {
        rounds.turn(&ours, &bare, settings)?;
        for (peer, samples) in peers.iter_mut().zip(&mut of_peers) {
            samples.push(peer.turn(settings.pick(60, 10))?);
        }
    }
    rounds.report(suffix, report);
    let mut fastest: Option<(f64, &Peer, Vec<f64>)> = None;
    for (peer, samples) in peers.iter().zip(of_peers) {
        let micros = median(samples.iter().copied());
        report.add(
            &format!("verify-peer{suffix}-{}-us", peer.name),
            micros,
            format!("µs (version {})", peer.version),
        );
        if fastest.as_ref().is_none_or(|(best, ..)| micros < *best) {
            fastest = Some((micros, peer, samples));
        }
    }
    let Some((_, peer, theirs)) = fastest else {
        println!("skipped: the ratios to the fastest peer, there is none");
        return Ok(());
    };
    let unit = format!("times as fast as {}", peer.name);
    for (what, ours, goal) in [("cold", &rounds.cold, 3.5), ("warm", &rounds.warm, 16.0)] {
        let ratio = median(theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours));
        report.judge(
            &format!("verify{suffix}-{what}-vs-fastest-peer"),
            ratio,
            unit.clone(),
            Goal::AtLeast(goal),
        );
    }
    Ok(())
}

/// Without peers.
fn alone(ours: &Ours, settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let mut rounds = Rounds::default();
    let bare = Bare::new()?;
    for _ in 0..rounds_of(settings) {
        rounds.turn(ours, &bare, settings)?;
    }
    rounds.report("", report);
    Ok(())
}

/// Short turns and more of them than elsewhere: nothing has to warm up.
fn rounds_of(settings: &Settings) -> usize {
    3 * settings.rounds()
}

/// Microseconds of one verification, a sample for each round.
#[derive(Default)]
struct Rounds {
    bare: Vec<f64>,
    cold: Vec<f64>,
    new_leaf: Vec<f64>,
    warm: Vec<f64>,
}

impl Rounds {
    fn turn(&mut self, ours: &Ours, bare: &Bare, settings: &Settings) -> Result<(), Failure> {
        // Half of the bare ones before and half after: the clock of the core drifts.
        let before = bare.turn(settings.pick(400, 20))?;
        self.cold.push(ours.cold(settings.pick(150, 10))?);
        self.new_leaf.push(ours.new_leaf()?);
        self.warm.push(ours.warm(settings.pick(800, 20))?);
        self.bare.push(f64::midpoint(before, bare.turn(settings.pick(400, 20))?));
        Ok(())
    }

    fn report(&self, suffix: &str, report: &mut Report) {
        report.add(&format!("verify{suffix}-bare-p384-us"), median(self.bare.iter().copied()), "µs");
        for (what, samples, needed) in
            [("cold", &self.cold, 5.0), ("new-leaf", &self.new_leaf, 2.0), ("warm", &self.warm, 1.0)]
        {
            report.add(&format!("verify{suffix}-{what}-us"), median(samples.iter().copied()), "µs");
            // Within a round, here and beside the peers: drift between rounds does not matter.
            let ratio = median(samples.iter().zip(&self.bare).map(|(ours, bare)| ours / (bare * needed)));
            let unit = format!("times {needed} bare P-384 verification(s)");
            report.judge(&format!("verify{suffix}-{what}-vs-bare"), ratio, unit, Goal::AtMost(1.15));
        }
    }
}

/// Today's shape: an indefinite payload map.
const INDEFINITE: &str = "20260521-us-east-1-attested-tls-7b7c10.cbor";
/// The shape of documents before August 2025; every peer takes it.
const DEFINITE: &str = "20241130-us-east-1-nitro-validator-69d51f.cbor";
const NO_SHARED: &str = "the shared directory is missing (beside the checkout, or COUNTERSIGN_SHARED)";
