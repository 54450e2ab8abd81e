//! The root's directory: made once, shared by many, never replaced, read with bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;

use countersign_simulator::{SimulatedRoot, SimulatorError};
use support::{NOW_MS, Scratch};

#[test]
fn a_saved_root_is_loaded_again() {
    let scratch = Scratch::new("saved");
    let root = SimulatedRoot::generate(NOW_MS).unwrap();
    root.save(&scratch.0).unwrap();
    root.save(&scratch.0).expect("the same root may be saved twice");
    assert_eq!(SimulatedRoot::load(&scratch.0).unwrap().root_der(), root.root_der());
    let mode = |name| fs::metadata(scratch.0.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("root.key.pem"), 0o600);
    let mut names: Vec<_> = fs::read_dir(&scratch.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["root.der", "root.key.pem"], "no drafts are left behind");
}

#[test]
fn another_root_is_never_replaced() {
    let scratch = Scratch::new("kept");
    let first = SimulatedRoot::generate(NOW_MS).unwrap();
    first.save(&scratch.0).unwrap();
    let refused = SimulatedRoot::generate(NOW_MS).unwrap().save(&scratch.0);
    assert!(matches!(refused, Err(SimulatorError::RootExists { .. })), "{refused:?}");
    assert_eq!(SimulatedRoot::load(&scratch.0).unwrap().root_der(), first.root_der());
}

#[test]
fn whoever_comes_at_the_same_time_gets_the_same_root() {
    let scratch = Scratch::new("raced");
    let start = Barrier::new(8);
    let roots: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    SimulatedRoot::load_or_generate(&scratch.0, NOW_MS).unwrap().root_der().to_vec()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(roots.len(), 8);
    assert!(roots.iter().all(|root| *root == roots[0]));
}

#[test]
fn a_directory_left_half_made_is_completed() {
    let scratch = Scratch::new("half");
    SimulatedRoot::generate(NOW_MS).unwrap().save(&scratch.0).unwrap();
    let key = fs::read(scratch.0.join("root.key.pem")).unwrap();
    fs::remove_file(scratch.0.join("root.der")).unwrap();
    let missing = SimulatedRoot::load(&scratch.0);
    assert!(matches!(missing, Err(SimulatorError::File { operation: "read", .. })), "{missing:?}");
    let root = SimulatedRoot::load_or_generate(&scratch.0, NOW_MS).unwrap();
    assert_eq!(fs::read(scratch.0.join("root.key.pem")).unwrap(), key);
    assert_eq!(SimulatedRoot::load(&scratch.0).unwrap().root_der(), root.root_der());
}

#[test]
fn files_that_are_no_root_are_refused() {
    let scratch = Scratch::new("broken");
    SimulatedRoot::generate(NOW_MS).unwrap().save(&scratch.0).unwrap();
    let (der, key) = (scratch.0.join("root.der"), scratch.0.join("root.key.pem"));
    let good = fs::read(&der).unwrap();

    fs::write(&der, SimulatedRoot::generate(NOW_MS).unwrap().root_der()).unwrap();
    let mixed = SimulatedRoot::load(&scratch.0);
    assert!(matches!(mixed, Err(SimulatorError::RootMismatch { .. })), "{mixed:?}");

    fs::write(&der, vec![0; 1025]).unwrap();
    let long = SimulatedRoot::load(&scratch.0);
    assert!(matches!(long, Err(SimulatorError::FileTooLong { limit: 1024, .. })), "{long:?}");

    fs::write(&der, good).unwrap();
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let no_key = SimulatedRoot::load(&scratch.0);
    assert!(matches!(no_key, Err(SimulatorError::NotAKey { .. })), "{no_key:?}");
}

#[test]
fn debug_output_holds_no_key() {
    let root = SimulatedRoot::generate(NOW_MS).unwrap();
    assert_eq!(
        format!("{root:?}"),
        format!("SimulatedRoot {{ fingerprint: \"{}\", .. }}", root.fingerprint())
    );
}
