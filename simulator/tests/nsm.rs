//! The device: limits, renewal, rotation, PCRs, threads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use countersign_simulator::{
    AttestationRequest, Fault, Module, PcrLock, SimulatedRoot, SimulatorError, SoftwareNsm,
};
use support::{NOW_MS, Payload};

/// Puts a value into one field of a request.
type Fill = fn(Vec<u8>) -> AttestationRequest;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn nsm() -> SoftwareNsm {
    SoftwareNsm::new(&SimulatedRoot::generate(NOW_MS).unwrap(), Module::from_image("app"))
}

fn at(nsm: &SoftwareNsm, now_ms: u64) -> Payload {
    support::payload(&nsm.attest(now_ms, &AttestationRequest::default()).unwrap())
}

/// Which of root, regional, zonal, instance and leaf two documents share.
fn shared(one: &Payload, other: &Payload) -> [bool; 5] {
    let bundle = [0, 1, 2, 3].map(|index| one.cabundle[index] == other.cabundle[index]);
    [bundle[0], bundle[1], bundle[2], bundle[3], one.certificate == other.certificate]
}

#[test]
fn certificates_last_as_long_as_they_serve() {
    let nsm = nsm();
    let first = at(&nsm, NOW_MS);
    assert_eq!(first.timestamp, NOW_MS);
    assert_eq!(shared(&first, &at(&nsm, NOW_MS + 2 * HOUR)), [true; 5]);
    // Ten minutes before its end the leaf is replaced.
    assert_eq!(shared(&first, &at(&nsm, NOW_MS + 3 * HOUR - 10 * MINUTE)), [true, true, true, true, false]);
    // The instance CA, before a leaf could outlive it; the zonal CA likewise; the regional CA likewise.
    assert_eq!(shared(&first, &at(&nsm, NOW_MS + 21 * HOUR)), [true, true, true, false, false]);
    assert_eq!(shared(&first, &at(&nsm, NOW_MS + 5 * 24 * HOUR)), [true, true, false, false, false]);
    assert_eq!(shared(&first, &at(&nsm, NOW_MS + 13 * 24 * HOUR)), [true, false, false, false, false]);
}

#[test]
fn a_clock_that_goes_back_gets_certificates_that_are_valid_then() {
    let nsm = nsm();
    let first = at(&nsm, NOW_MS);
    assert_eq!(shared(&first, &at(&nsm, NOW_MS - 4 * MINUTE)), [true, true, true, true, false]);
    assert_eq!(shared(&first, &at(&nsm, NOW_MS - 2 * HOUR)), [true, true, false, false, false]);
}

#[test]
fn rotation_replaces_from_the_highest_level_asked_for() {
    let nsm = nsm();
    let first = at(&nsm, NOW_MS);
    nsm.rotate_leaf();
    let second = at(&nsm, NOW_MS);
    assert_eq!(shared(&first, &second), [true, true, true, true, false]);
    assert_eq!(shared(&second, &at(&nsm, NOW_MS)), [true; 5], "a rotation happens once");
    nsm.rotate_instance();
    nsm.rotate_leaf();
    let third = at(&nsm, NOW_MS);
    assert_eq!(shared(&second, &third), [true, true, true, false, false]);
    nsm.rotate_chain();
    assert_eq!(shared(&third, &at(&nsm, NOW_MS)), [true, false, false, false, false]);
}

#[test]
fn a_rotation_before_the_first_document_is_met_by_it() {
    let nsm = nsm();
    nsm.rotate_chain();
    let first = at(&nsm, NOW_MS);
    assert_eq!(shared(&first, &at(&nsm, NOW_MS)), [true; 5]);
}

#[test]
fn a_faulty_document_leaves_no_trace() {
    let nsm = nsm();
    let before = at(&nsm, NOW_MS);
    for fault in Fault::ALL {
        nsm.attest_with(NOW_MS, &AttestationRequest::default(), *fault).unwrap();
    }
    assert_eq!(at(&nsm, NOW_MS), before);
}

/// attestation_process.md: public_key up to 1024 bytes, user_data and nonce up to 512.
#[test]
fn requests_past_the_limits_are_refused() {
    let limits: [(&str, usize, Fill); 3] = [
        ("public_key", 1024, |v| AttestationRequest { public_key: Some(v), ..Default::default() }),
        ("user_data", 512, |v| AttestationRequest { user_data: Some(v), ..Default::default() }),
        ("nonce", 512, |v| AttestationRequest { nonce: Some(v), ..Default::default() }),
    ];
    let nsm = nsm();
    for (name, most, request) in limits {
        nsm.attest(NOW_MS, &request(vec![0; most])).unwrap();
        let refused = nsm.attest(NOW_MS, &request(vec![0; most + 1]));
        match refused {
            Err(SimulatorError::FieldTooLong { field, limit, actual }) => {
                assert_eq!((field, limit, actual), (name, most, most + 1));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_document_carries_the_locked_pcrs() {
    let nsm = nsm();
    assert_eq!(at(&nsm, NOW_MS).pcrs.keys().copied().collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
    let value = nsm.extend_pcr(20, b"configuration").unwrap();
    assert_eq!(at(&nsm, NOW_MS).pcrs.get(&20), None);
    nsm.lock_pcr(20).unwrap();
    assert_eq!(at(&nsm, NOW_MS).pcrs.get(&20), Some(&value.to_vec()));
    assert_eq!(nsm.describe_pcr(20).unwrap().lock, PcrLock::Locked);
}

#[test]
fn a_time_that_no_certificate_can_express_is_refused() {
    let refused = nsm().attest(u64::MAX, &AttestationRequest::default());
    assert!(matches!(refused, Err(SimulatorError::Time { .. })), "{refused:?}");
}

#[test]
fn threads_share_one_module() {
    let nsm = nsm();
    let leaves: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| [at(&nsm, NOW_MS).certificate, at(&nsm, NOW_MS).certificate]))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(leaves.len(), 16);
    assert!(leaves.iter().all(|leaf| *leaf == leaves[0]));
}
