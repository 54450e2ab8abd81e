//! Documents that answer no challenge: what a flood of them costs before it is refused.
//!
//! HTTP/1.1, pipelined, so that the requests cost more than the packets. Half of the documents are random bytes, half are
//! genuine and old; none has a challenge. A third kind asks for a challenge first, as an attacker who wants to be parsed would.

use std::collections::BTreeMap;

use countersign_protocol::{Lease, Problem, wire};
use tokio::{task::JoinSet, time::Instant};

use crate::enclave::Enclave;
use crate::failure::{Context, Failure};
use crate::http1::{Answer, post};
use crate::proxy::Proxy;
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::{Turn, Turns};
use crate::upstream::Upstream;

/// Runs the part.
///
/// # Errors
/// Junk that is not refused, or no proxy.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let upstream = Upstream::start().await?;
    let proxy = Proxy::start(settings, "junk", upstream.address).await?;
    let mut genuine = proxy.enclave().await?;
    let stale = stale(&mut genuine).await?;
    let mut random = vec![0; stale.len()];
    aws_lc_rs::rand::fill(&mut random).context("random")?;
    let kinds = [
        (
            "junk-refused-per-second",
            batch(&genuine, &[&random, &stale], Challenge::None),
            Some(Goal::AtLeast(80_000.0)),
        ),
        ("junk-random-refused-per-second", batch(&genuine, &[&random], Challenge::None), None),
        ("junk-stale-refused-per-second", batch(&genuine, &[&stale], Challenge::None), None),
        ("junk-random-challenged-refused-per-second", batch(&genuine, &[&random], Challenge::Asked), None),
        ("junk-stale-challenged-refused-per-second", batch(&genuine, &[&stale], Challenge::Asked), None),
    ];
    let mut turns = vec![Turns::default(); kinds.len()];
    let mut codes = BTreeMap::new();
    for round in 1..=settings.rounds() {
        println!("round {round} of {}", settings.rounds());
        for ((_, batch, _), turns) in kinds.iter().zip(&mut turns) {
            turns.push(flood(&proxy, batch, settings, &mut codes).await?);
        }
    }
    println!("refusals: {codes:?}");
    for ((name, _, goal), turns) in kinds.into_iter().zip(turns) {
        let (rate, unit) = turns.per_second_core();
        match goal {
            Some(goal) => report.judge(name, rate, unit, goal),
            None => report.add(name, rate, unit),
        }
    }
    Ok(())
}

/// Whether the attacker asks for a challenge before each document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Challenge {
    None,
    Asked,
}

/// Requests that are sent together.
struct Batch {
    bytes: Vec<u8>,
    /// Documents among them; all are to be refused.
    documents: usize,
    requests: usize,
}

/// A document that was good once, on another connection.
async fn stale(enclave: &mut Enclave) -> Result<Vec<u8>, Failure> {
    let request = enclave.prepare(Lease::MAX).await?;
    let body = request.windows(4).position(|window| window == b"\r\n\r\n").context("request")? + 4;
    let message = countersign_protocol::message::Attest::decode(request.get(body..).unwrap_or_default());
    Ok(message.context("request")?.document.to_vec())
}

fn batch(enclave: &Enclave, documents: &[&[u8]], challenge: Challenge) -> Batch {
    let mut batch = Batch { bytes: Vec::new(), documents: 0, requests: 0 };
    for document in documents.iter().cycle().take(PIPELINED) {
        if challenge == Challenge::Asked {
            batch.bytes.extend(post(wire::CHALLENGE_PATH, b""));
            batch.requests += 1;
        }
        batch.bytes.extend(post(wire::ATTEST_PATH, &enclave.message(document, Lease::MAX)));
        batch.documents += 1;
        batch.requests += 1;
    }
    batch
}

async fn flood(
    proxy: &Proxy,
    batch: &Batch,
    settings: &Settings,
    codes: &mut BTreeMap<String, u64>,
) -> Result<Turn, Failure> {
    let mut attackers = Vec::new();
    for _ in 0..CONNECTIONS {
        attackers.push(proxy.enclave().await?);
    }
    let (began, cpu) = (Instant::now(), proxy.server.cpu()?);
    let deadline = began + settings.turn();
    let mut tasks = JoinSet::new();
    for mut attacker in attackers {
        let (bytes, documents, requests) = (batch.bytes.clone(), batch.documents, batch.requests);
        tasks.spawn(async move {
            let mut seen = Seen::default();
            while Instant::now() < deadline {
                attacker.http().send(&bytes).await?;
                let mut refused = 0;
                for _ in 0..requests {
                    let answer = attacker.http().answer().await?;
                    refused += usize::from(answer.status != 200);
                    seen.note(answer)?;
                }
                if refused != documents {
                    return Err(Failure::new(format!(
                        "{refused} of {documents} junk documents were refused"
                    )));
                }
            }
            Ok(seen)
        });
    }
    let mut count = 0;
    while let Some(seen) = tasks.join_next().await {
        let Seen { refused, codes: some } = seen.context("task")??;
        count += refused;
        for (code, times) in some {
            *codes.entry(code).or_default() += times;
        }
    }
    Ok(Turn { count: count as f64, wall: began.elapsed(), cpu: proxy.server.cpu()?.saturating_sub(cpu) })
}

/// Refusals of one attacker; a problem document is read now and then, for reading all would make the load the limit.
#[derive(Default)]
struct Seen {
    refused: u64,
    codes: BTreeMap<String, u64>,
}

impl Seen {
    fn note(&mut self, answer: Answer) -> Result<(), Failure> {
        if answer.status == 200 {
            return Ok(());
        }
        self.refused += 1;
        if self.refused % SAMPLE == 1 {
            let problem: Problem =
                serde_json::from_slice(&answer.body).context("refusal without a problem document")?;
            *self.codes.entry(format!("{} {}", problem.status, problem.code)).or_default() += 1;
        }
        Ok(())
    }
}

/// Connections of the flood.
const CONNECTIONS: usize = 4;
/// Requests that are sent before an answer is read.
const PIPELINED: usize = 32;
/// One refusal of so many is read.
const SAMPLE: u64 = 101;
