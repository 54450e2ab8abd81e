//! Proxies and the database are killed in the middle of changes and admissions, again and again; after each kill
//! nothing that was acknowledged is missing, and nothing that was revoked is back.
//!
//! `make chaos` does it a thousand times; a plain test run does it [`FEW`] times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auditor;
mod ledger;
mod load;

use std::{sync::Arc, time::Duration};

use countersign_e2e::{PATIENCE, Proxy, Replicas, Setup};
use tokio::{
    process::Command,
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{auditor::Auditor, ledger::Ledger, load::Target};

const PROXY: &str = env!("CARGO_BIN_EXE_e2e-proxy");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_nothing_acknowledged_is_lost() {
    let kills = std::env::var(COUNT).map_or(FEW, |count| count.parse().expect("a number of kills"));
    let setup = Setup { limits: LIMITS, ..Setup::default() };
    let Some(mut replicas) = Replicas::start(&setup, 2, PROXY).await else { return };
    let token = token(&replicas.proxies[0]).await;
    let ledger = Arc::new(Ledger::default());
    let mut targets = Vec::new();
    let mut working = Vec::new();
    for (number, proxy) in replicas.proxies.iter().enumerate() {
        let (target, seen) = watch::channel(Target::of(proxy));
        targets.push(target);
        working.push(tokio::spawn(load::change(number, seen.clone(), token.clone(), Arc::clone(&ledger))));
        working.push(tokio::spawn(load::attest(proxy.nsm(IMAGE), seen, Arc::clone(&ledger))));
    }

    let mut auditor = Auditor::new(&replicas).await;
    let start = Instant::now();
    for kill in 0..kills {
        // Into the middle: both kinds of work go on, and where exactly this hits is chance.
        ledger.grows().await;
        sleep(Duration::from_millis(u64::from(rand_byte()) / 4)).await;
        match kill % 3 {
            1 => {
                replicas.stop_database();
                replicas.resume_database();
                auditor.check(&replicas, &ledger, &replicas.proxies[kill % 2]).await;
            }
            place => {
                let place = place / 2;
                let mut dead = replicas.proxies.remove(place);
                dead.kill().await;
                // What it left behind, before it can tidy up.
                auditor.check(&replicas, &ledger, &dead).await;
                let back = dead.start_again().await;
                targets[place].send_replace(Target::of(&back));
                replicas.proxies.insert(place, back);
            }
        }
        assert!(working.iter().all(|task| !task.is_finished()), "some work stopped: see the panic above");
        if (kill + 1) % 50 == 0 {
            eprintln!("{} kills, {} s: {}", kill + 1, start.elapsed().as_secs(), ledger.summary());
        }
    }
    working.iter().for_each(tokio::task::JoinHandle::abort);
    auditor.check(&replicas, &ledger, &replicas.proxies[0]).await;
    eprintln!("{kills} kills in {:.1} s: {}", start.elapsed().as_secs_f64(), ledger.summary());
}

/// An administrator's, made on the machine.
async fn token(proxy: &Proxy) -> String {
    let made = Command::new(PROXY)
        .args(["token", "create", "chaos", "--role", "admin", "--config"])
        .arg(proxy.directory().join("countersign.toml"))
        .output();
    let made = timeout(PATIENCE, made).await.expect("a token in time").unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn rand_byte() -> u8 {
    let mut byte = [0];
    aws_lc_rs::rand::fill(&mut byte).unwrap();
    byte[0]
}

/// How many kills, when not [`FEW`].
const COUNT: &str = "COUNTERSIGN_KILLS";
const FEW: usize = 20;
const IMAGE: &str = "payments-1.0";
/// All enclaves here have one machine.
const LIMITS: &str = "sessions_per_instance = 1000000\nattestations_per_instance = 100000000";
