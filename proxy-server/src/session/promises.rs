//! The registry's promises one by one.

use std::{sync::Arc, time::Duration};

use countersign_protocol::{BootId, KeyThumbprint, ProblemCode, SessionId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    model::{admission, registry, workload},
    *,
};
use crate::policy::Limits;

#[tokio::test(start_paused = true)]
async fn a_lapse_cuts_within_a_few_milliseconds_and_a_renewal_puts_it_off() {
    let sessions = registry(10);
    let stop = CancellationToken::new();
    let looping = tokio::spawn(sessions.clone().lapse_loop(Arc::new(NobodyElse), stop.clone()));
    let start = Instant::now();
    let granted = sessions.admit(admission(1, 1, 30), start).unwrap();
    let mut permit = granted.session.register_tunnel().unwrap();

    tokio::time::sleep(Duration::from_secs(15)).await;
    let renewed = sessions.admit(admission(1, 2, 30), Instant::now()).unwrap();
    assert_eq!(renewed.renewed, Renewal::Renewed);
    assert_eq!(renewed.session.id(), granted.session.id());

    assert_eq!(permit.cut().await, EndReason::LeaseLapsed);
    let late = start.elapsed() - Duration::from_secs(45);
    assert!(late <= Duration::from_millis(50), "cut {late:?} after the lapse");
    assert!(sessions.is_empty());
    stop.cancel();
    looping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_renewal_with_a_shorter_lease_ends_sooner() {
    let sessions = registry(10);
    let stop = CancellationToken::new();
    tokio::spawn(sessions.clone().lapse_loop(Arc::new(NobodyElse), stop.clone()));
    let start = Instant::now();
    let granted = sessions.admit(admission(1, 1, 600), start).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    sessions.admit(admission(1, 2, 30), Instant::now()).unwrap();
    let mut permit = granted.session.register_tunnel().unwrap();
    assert_eq!(permit.cut().await, EndReason::LeaseLapsed);
    assert_eq!(start.elapsed().as_secs(), 31);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn what_lapsed_takes_no_tunnel_even_before_the_loop_comes_by() {
    let sessions = registry(10);
    let granted = sessions.admit(admission(1, 1, 30), Instant::now()).unwrap();
    let permit = granted.session.register_tunnel().unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    let lapsed = RegisterError::Ended(EndReason::LeaseLapsed);
    assert_eq!(granted.session.register_tunnel().unwrap_err(), lapsed);
    assert_eq!(permit.still_allowed().unwrap_err(), lapsed);
    assert_eq!(lapsed.code(), ProblemCode::LeaseLapsed);
}

#[tokio::test(start_paused = true)]
async fn the_first_reason_stays_and_reaches_every_watcher() {
    let sessions = registry(10);
    let granted = sessions.admit(admission(1, 1, 30), Instant::now()).unwrap();
    let id = granted.session.id();
    let mut permit = granted.session.register_tunnel().unwrap();
    let mut watch = granted.session.watch().unwrap();
    let waiting = tokio::spawn(async move { (permit.cut().await, watch.ended().await) });
    tokio::task::yield_now().await;
    assert_eq!(sessions.end(&id, EndReason::MeasurementRevoked), Ended { sessions: 1, tunnels: 1 });
    assert_eq!(sessions.end(&id, EndReason::EndedByAdmin), Ended::default());
    let both = (EndReason::MeasurementRevoked, EndReason::MeasurementRevoked);
    assert_eq!(waiting.await.unwrap(), both);
    assert!(sessions.find(&id).is_none());
    assert_eq!(
        granted.session.register_tunnel().unwrap_err(),
        RegisterError::Ended(EndReason::MeasurementRevoked)
    );
}

#[tokio::test(start_paused = true)]
async fn every_limit_holds_and_is_named() {
    let sessions = registry(2);
    let now = Instant::now();
    let first = sessions.admit(admission(1, 1, 30), now).unwrap();
    sessions.admit(admission(2, 1, 30), now).unwrap();
    assert_eq!(sessions.admit(admission(3, 1, 30), now).unwrap_err(), AdmitError::Full { limit: 2 });

    let one = Limits { max_sessions: 1, max_tunnels_per_session: 1, ..Limits::default() };
    let narrow = |key| Admission { workload: workload("narrow", one), ..admission(key, 1, 30) };
    let sessions = registry(10);
    sessions.admit(narrow(1), now).unwrap();
    assert_eq!(sessions.admit(narrow(2), now).unwrap_err(), AdmitError::TooManySessions { limit: 1 });
    sessions.admit(admission(3, 1, 30), now).unwrap();

    let session = sessions.list().into_iter().find(|view| view.workload == "narrow").unwrap();
    let session = sessions.find(&session.id).unwrap();
    let held = session.register_tunnel().unwrap();
    assert_eq!(session.register_tunnel().unwrap_err(), RegisterError::TooManyTunnels { limit: 1 });
    drop(held);
    let _again = session.register_tunnel().unwrap();
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn an_instance_has_so_many_sessions_and_no_more() {
    let sessions = registry(10);
    let now = Instant::now();
    let on = |key, sequence, module: &str| Admission {
        instance: Some(Instance::of_module(module)),
        ..admission(key, sequence, 30)
    };
    let first = sessions.admit(on(1, 1, "i-1-enc1"), now).unwrap();
    sessions.admit(on(2, 1, "i-1-enc2"), now).unwrap();
    let full = AdmitError::TooManyOfInstance { limit: 2 };
    assert_eq!(sessions.admit(on(3, 1, "i-1-enc3"), now).unwrap_err(), full);
    assert_eq!(full.code(), ProblemCode::TooManyOfInstance);
    sessions.admit(on(2, 2, "i-1-enc2"), now).unwrap();
    sessions.admit(on(3, 1, "i-2-enc1"), now).unwrap();
    sessions.end(&first.session.id(), EndReason::EndedByAdmin);
    sessions.admit(on(4, 1, "i-1-enc4"), now).unwrap();
    assert_eq!(sessions.admit(on(5, 1, "i-1-enc5"), now).unwrap_err(), full);

    // What another process admitted is counted when it attests here, and stays.
    sessions
        .restore(SessionId::from_bytes([9; 16]), admission(6, 1, 30), now + Duration::from_secs(30))
        .unwrap();
    sessions.admit(on(6, 2, "i-1-enc6"), now).unwrap();
    assert_eq!(sessions.admit(on(6, 3, "i-2-enc6"), now).unwrap_err(), AdmitError::Conflict);
    sessions
        .end_where(EndReason::EndedByAdmin, |session| session.key() != KeyThumbprint::from_bytes([6; 32]));
    sessions.admit(on(7, 1, "i-1-enc7"), now).unwrap();
    assert_eq!(sessions.admit(on(8, 1, "i-1-enc8"), now).unwrap_err(), full);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_renewed_only_as_what_it_was() {
    let sessions = registry(10);
    let now = Instant::now();
    sessions.admit(admission(1, 5, 30), now).unwrap();
    for got in [0, 4, 5] {
        assert_eq!(
            sessions.admit(admission(1, got, 30), now).unwrap_err(),
            AdmitError::SequenceReplayed { last: 5, got }
        );
    }
    for foreign in [
        Admission { boot_id: BootId::from_bytes([9; 16]), ..admission(1, 6, 30) },
        Admission { measurement: "other".into(), ..admission(1, 6, 30) },
        Admission { workload: workload("other", Limits::default()), ..admission(1, 6, 30) },
    ] {
        assert_eq!(sessions.admit(foreign, now).unwrap_err(), AdmitError::Conflict);
    }
    assert_eq!(sessions.list()[0].sequence, 5, "a refusal changes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_restored_session_keeps_its_id_and_its_end() {
    let sessions = registry(10);
    let id = SessionId::from_bytes([7; 16]);
    let ends = Instant::now() + Duration::from_secs(9);
    sessions.restore(id, admission(1, 4, 30), ends).unwrap();
    assert_eq!(sessions.restore(id, admission(2, 4, 30), ends).unwrap_err(), AdmitError::NotRestorable);
    let other = SessionId::from_bytes([8; 16]);
    assert_eq!(sessions.restore(other, admission(1, 4, 30), ends).unwrap_err(), AdmitError::Conflict);
    let over = Instant::now();
    assert_eq!(sessions.restore(other, admission(2, 4, 30), over).unwrap_err(), AdmitError::NotRestorable);
    let stale = AdmitError::SequenceReplayed { last: 4, got: 4 };
    assert_eq!(sessions.admit(admission(1, 4, 30), Instant::now()).unwrap_err(), stale);
    assert_eq!(sessions.lapse(ends - Duration::from_millis(1)), Ended::default());
    assert_eq!(sessions.lapse(ends), Ended { sessions: 1, tunnels: 0 });
}

#[tokio::test(start_paused = true)]
async fn ends_by_hand_leave_no_growing_heap() {
    let sessions = registry(10);
    for round in 0..20_000u32 {
        let granted = sessions.admit(admission(1, 1, 600), Instant::now()).unwrap();
        sessions.end(&granted.session.id(), EndReason::EndedByAdmin);
        let bound = deadlines::SLACK + 2;
        assert!(sessions.deadline_entries() <= bound, "round {round}: {}", sessions.deadline_entries());
    }
}
