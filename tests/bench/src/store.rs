//! What each database costs: the store alone, without a proxy around it.
//!
//! Everything shares one core: this process, SQLite's threads, and PostgreSQL's, on a UNIX socket and with the
//! disk waited for. So these are costs, and no throughput of a database on a machine of its own.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use countersign_protocol::{BootId, Epoch, KeyThumbprint, Lease, LeaseBounds, SessionId};
use countersign_proxy::{
    config::{Hints, MeasurementSpec, MeasurementState, WorkloadSpec},
    policy::{Limits, Workload},
    store::{
        Actor, AuditEvent, AuditWriter, Batch, Change, ChangeRequest, MeasurementEdit, MeasurementFilter,
        Missing, NewMeasurement, Page, PolicyStore, SessionFilter, SessionRow, SessionStore, SqlStore, Store,
        StoreConfig, UnixMs, Visible,
    },
};
use countersign_test_support::{Durability, PostgresServer};
use countersign_verifier::{Pcr, PcrIndex, PcrSet};

use crate::failure::{Context, Failure};
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::{Latencies, median};

/// Runs the part.
///
/// # Errors
/// A database that cannot be used.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let directory = settings.scratch.join("store");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).context(directory.display())?;
    measure("sqlite", &StoreConfig::Sqlite { directory: directory.clone() }, settings, report).await?;
    backup(&directory, report).await?;
    match PostgresServer::start(Durability::Disk) {
        Some(server) => {
            let config = StoreConfig::Postgres { url: server.database(), hints: Hints::Listen };
            measure("postgres", &config, settings, report).await
        }
        None => Ok(()),
    }
}

async fn measure(
    database: &str,
    config: &StoreConfig,
    settings: &Settings,
    report: &mut Report,
) -> Result<(), Failure> {
    let store = SqlStore::open(config, AuditWriter::unnamed(), Missing::Make).await.context("open")?;
    let measurements = settings.pick(10_000, 200);
    store.seed(&[workload(measurements)?], UnixMs(1)).await.context("seed")?;
    let mut numbers = 0..u32::MAX;
    for size in [1, 4, 16, 64, 512] {
        let rate = appends(&store, size, settings, &mut numbers).await?;
        report.add(&format!("store.{database}.append-{size}"), rate.round(), "admissions/s in such batches");
    }
    // What appending left, up to the number of the goal.
    let sessions = settings.pick(100_000, 1_000);
    while numbers.start < sessions {
        store.append(batch(512, &mut numbers, false)).await.context("append")?;
    }
    store.tidy().await.context("tidy")?;

    let name = |what: &str| format!("store.{database}.{what}");
    let pages = settings.pick(200, 10);
    let mut latencies = Latencies::default();
    for place in 0..pages {
        let after = hex::encode([(place * 256 / pages) as u8; 16]);
        let page = Page { after: Some(after), limit: 100 };
        let from = Instant::now();
        let all = Visible::Everything;
        let listed =
            store.session_page(&all, &SessionFilter::default(), page, UnixMs(1)).await.context("page")?;
        latencies.push(from.elapsed());
        assert_rows(listed.rows.len(), "sessions")?;
    }
    judge(report, &name("page-of-100-sessions"), &mut latencies);
    let mut latencies = Latencies::default();
    for place in 0..pages {
        let after = format!("bench/v{:05}", place * (measurements - 100) / pages);
        let page = Page { after: Some(after), limit: 100 };
        let from = Instant::now();
        let (all, filter) = (Visible::Everything, MeasurementFilter::default());
        let listed = store.measurements(&all, &filter, page).await.context("page")?;
        latencies.push(from.elapsed());
        assert_rows(listed.rows.len(), "measurements")?;
    }
    judge(report, &name("page-of-100-measurements"), &mut latencies);

    let mut latencies = Latencies::default();
    for number in 0..settings.pick(200, 5) {
        let change = Change::AddMeasurement {
            workload: "bench".parse().context("name")?,
            measurement: NewMeasurement {
                name: format!("new{number}"),
                pcrs: pcrs(measurements + number)?,
                edit: MeasurementEdit::default(),
            },
        };
        latencies.push(timed(&store, change).await?);
    }
    report.add(&name("add-measurement"), latencies.percentile(50.0).round(), "µs, median, on the disk");
    let mut latencies = Latencies::default();
    for number in 0..settings.pick(50, 5) {
        let (workload, name) = ("bench".parse().context("name")?, format!("new{number}"));
        latencies.push(timed(&store, Change::RevokeMeasurement { workload, name, reason: None }).await?);
    }
    let unit = "µs, median, beside 100,000 sessions, on the disk";
    report.add(&name("revoke-measurement"), latencies.percentile(50.0).round(), unit);
    let mut latencies = Latencies::default();
    for _ in 0..settings.pick(1_000, 20) {
        let from = Instant::now();
        store.committed().await.context("epoch")?;
        latencies.push(from.elapsed());
    }
    report.add(&name("read-epoch"), latencies.percentile(50.0).round(), "µs, median");
    let from = Instant::now();
    store.load().await.context("load")?;
    let unit = format!("ms, {measurements} measurements");
    report.add(&name("load-policy"), from.elapsed().as_millis() as f64, unit);
    Ok(())
}

/// Admissions a second, in batches of one size, each a row of the audit and a new session.
async fn appends(
    store: &SqlStore,
    size: u32,
    settings: &Settings,
    numbers: &mut std::ops::Range<u32>,
) -> Result<f64, Failure> {
    let mut rates = Vec::new();
    for _ in 0..settings.rounds() {
        let (from, mut count) = (Instant::now(), 0);
        // Half a turn: the table of sessions must not grow far beyond what a proxy holds.
        while from.elapsed() < settings.turn() / 2 {
            store.append(batch(size, numbers, true)).await.context("append")?;
            count += size;
        }
        rates.push(f64::from(count) / from.elapsed().as_secs_f64());
        store.tidy().await.context("tidy")?;
    }
    Ok(median(rates))
}

/// `renewing`: ids go around, so that nine of ten rows renew a session, as they do in earnest.
fn batch(size: u32, numbers: &mut std::ops::Range<u32>, renewing: bool) -> Batch {
    let mut batch = Batch::default();
    for number in numbers.take(size as usize) {
        let session = session(if renewing { number % 10_000 } else { number }, number);
        batch.events.push(AuditEvent {
            at: UnixMs(i64::from(number)),
            kind: "admission".into(),
            code: "renewed".into(),
            epoch: Epoch(1),
            workload: Some(session.workload.clone()),
            measurement: Some(session.measurement.clone()),
            session: Some(session.id),
            request_id: Some(format!("{number:016x}")),
            actor: None,
            before: None,
            after: None,
            evidence: Some([7; 32]),
            detail: session.module_id.clone(),
        });
        batch.sessions.push(session);
    }
    batch
}

fn session(id: u32, sequence: u32) -> SessionRow {
    let mut bytes = [0; 32];
    for (place, chunk) in bytes.chunks_exact_mut(4).enumerate() {
        // Spread as random ids are.
        let word = (id ^ place as u32).wrapping_mul(2_654_435_761);
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    let [mut short, mut boot] = [[0; 16]; 2];
    short.copy_from_slice(&bytes[..16]);
    boot.copy_from_slice(&bytes[16..]);
    SessionRow {
        id: SessionId::from_bytes(short),
        key: KeyThumbprint::from_bytes(bytes),
        workload: "bench".to_owned(),
        measurement: "v00001".to_owned(),
        boot_id: BootId::from_bytes(boot),
        sequence: u64::from(sequence) + 1,
        lease: Lease::MAX,
        lease_ends: UnixMs(i64::MAX),
        epoch: Epoch(1),
        module_id: Some("i-0123456789abcdef0-enc0123456789abcdef".to_owned()),
        replica: None,
        admitted: UnixMs(1),
    }
}

fn workload(measurements: u32) -> Result<WorkloadSpec, Failure> {
    let workload = Workload {
        name: "bench".parse().context("name")?,
        destinations: ["kms.example:443".parse().context("destination")?].into_iter().collect(),
        addresses: Vec::new(),
        lease_bounds: LeaseBounds::default(),
        limits: Limits::default(),
    };
    let spec = |number| {
        Ok(MeasurementSpec {
            name: format!("v{number:05}"),
            version: Some(format!("1.{number}")),
            pcrs: pcrs(number)?,
            state: MeasurementState::Active,
        })
    };
    let measurements = (0..measurements).map(spec).collect::<Result<_, Failure>>()?;
    Ok(WorkloadSpec { workload, measurements })
}

fn pcrs(number: u32) -> Result<PcrSet, Failure> {
    let mut set = PcrSet::EMPTY;
    for index in 0..3 {
        let mut bytes = [index as u8 + 1; Pcr::LEN];
        bytes[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
        let index = PcrIndex::new(index).ok_or_else(|| Failure::new("no such PCR"))?;
        set.insert(index, Pcr::new(bytes)).map_err(|_| Failure::new("a PCR twice"))?;
    }
    Ok(set)
}

async fn timed(store: &SqlStore, change: Change) -> Result<Duration, Failure> {
    let actor = Actor { subject: "local:bench".to_owned(), request_id: "bench".to_owned() };
    let from = Instant::now();
    store.change(ChangeRequest::at_once(change, actor, UnixMs(1))).await.context("change")?;
    Ok(from.elapsed())
}

fn judge(report: &mut Report, name: &str, latencies: &mut Latencies) {
    let median = latencies.percentile(50.0).round();
    report.judge(name, median, "µs, median, anywhere in the list", Goal::AtMost(50_000.0));
}

fn assert_rows(rows: usize, what: &str) -> Result<(), Failure> {
    if rows > 0 { Ok(()) } else { Err(Failure::new(format!("a page without {what}"))) }
}

async fn backup(directory: &Path, report: &mut Report) -> Result<(), Failure> {
    let config = StoreConfig::Sqlite { directory: directory.to_owned() };
    let store = SqlStore::open(&config, AuditWriter::unnamed(), Missing::Fail).await.context("open")?;
    let from = Instant::now();
    store.backup(&directory.join("copy.db")).await.context("backup")?;
    let bytes = std::fs::metadata(directory.join("copy.db")).context("backup")?.len();
    let unit = format!("ms, {} MB", bytes / 1_000_000);
    report.add("store.sqlite.backup", from.elapsed().as_millis() as f64, unit);
    Ok(())
}
