//! The audit: chains that verify, pages over all of them, and what retention leaves.

use std::{collections::BTreeSet, time::Duration};

use countersign_protocol::SessionId;

use super::{
    database::Database,
    make::{add, done, event, pcrs, put, request, revoke, session, spec},
};
use crate::{
    audit::{AuditKey, ChainName, Head, Purpose, TrustedKeys, Verification},
    config::{AuditRetention, MeasurementState},
    store::*,
};

pub(super) async fn chains_verify_from_their_first_row_to_their_head(database: Database) {
    let (writer, key) = database.signer(1);
    let store = database.open_as(writer).await;
    let other = database.open().await;
    store.seed(&[spec("a", &[("v1", 1, MeasurementState::Active)])], UnixMs(1)).await.unwrap();
    done(&store, request("ann", put("b", &[]), 2)).await;
    for round in 0..5u8 {
        done(&other, request("ann", add("b", &format!("v{round}"), pcrs(round + 10)), 3)).await;
        for store in [&store, &other] {
            let events = vec![
                event("admitted"),
                AuditEvent { detail: Some("é \" \0 x".replace('\0', "")), ..event("renewed") },
            ];
            store.append(Batch { events, sessions: vec![session(round, 1, 5_000)] }).await.unwrap();
        }
        store.checkpoint(UnixMs(4)).await.unwrap();
    }
    done(&store, request("bob", revoke("b", "v1"), 5)).await;
    assert_eq!(verify(&store, &key).await, (8 + 20, 3 + 10));
    let epoch = store.committed().await.unwrap().epoch;
    let chains = store.chains().await.unwrap();
    assert_eq!(store.audit_state().await.unwrap(), AuditState { epoch, signed: epoch, chains });
    // A row that somebody edits is found.
    store.sql_for_tests("UPDATE audit SET code = 'admitted' WHERE code = 'renewed' AND seq = 4").await;
    let report = report(&store, &key).await;
    assert_eq!(report.findings.len(), 2, "one in each process's chain: {:?}", report.findings);
}

/// Rows and checkpoints that verify.
async fn verify(store: &SqlStore, key: &AuditKey) -> (u64, u64) {
    let report = report(store, key).await;
    assert!(report.is_clean(), "{report:?}");
    (
        report.chains.iter().map(|chain| chain.rows).sum(),
        report.chains.iter().map(|chain| chain.checkpoints).sum(),
    )
}

async fn report(store: &SqlStore, key: &AuditKey) -> crate::audit::Report {
    let trusted = TrustedKeys::new([key.public()]);
    let mut verification = Verification::new(&trusted, &[]);
    for ChainRow { name, seq, hash } in store.chains().await.unwrap() {
        let checkpoints = store.checkpoints(&name).await.unwrap();
        let anchor = checkpoints.iter().find(|checkpoint| checkpoint.purpose == Purpose::Anchor);
        let chain: ChainName = name.parse().unwrap();
        let mut check = verification.chain(chain, anchor);
        let mut later = checkpoints.iter().filter(|c| c.purpose == Purpose::Checkpoint).peekable();
        for row in store.chain_rows(&name, 0, 10_000).await.unwrap() {
            check.row(row.seq, &row.event, row.hash);
            while let Some(checkpoint) = later.next_if(|checkpoint| checkpoint.seq == row.seq) {
                check.checkpoint(checkpoint);
            }
        }
        assert_eq!(later.next(), None, "a checkpoint of no row");
        verification.add(check.finish(Some(Head { seq, hash })));
    }
    verification.finish(store.committed().await.unwrap().epoch)
}

pub(super) async fn what_retention_leaves_begins_at_a_signed_head(database: Database) {
    let (writer, key) = database.signer(1);
    let store = database.open_as(writer).await;
    store.seed(&[spec("a", &[("v1", 1, MeasurementState::Active)])], UnixMs(50)).await.unwrap();
    for at in 1..=60 {
        let events = vec![AuditEvent { at: UnixMs(at), ..event("admitted") }];
        store.append(Batch { events, sessions: vec![] }).await.unwrap();
        if at % 7 == 0 {
            store.checkpoint(UnixMs(at)).await.unwrap();
        }
    }
    let young = |rows| AuditRetention { rows, age: Duration::from_secs(60) };
    assert_eq!(store.prune(young(31), UnixMs(60)).await.unwrap(), 30, "of the longest chain");
    verify(&store, &key).await;
    let old = AuditRetention { rows: 1_000, age: Duration::from_millis(15) };
    assert_eq!(store.prune(old, UnixMs(60)).await.unwrap(), 14, "those before 45");
    verify(&store, &key).await;
    let own = store.chain_rows(&format!("replica/{}", hex::encode([1; 16])), 0, 100).await.unwrap();
    assert_eq!((own[0].seq, own.len()), (45, 16));
    assert_eq!(
        store.prune(AuditRetention { rows: 0, age: Duration::from_secs(1) }, UnixMs(60)).await.unwrap(),
        16
    );
    store.append(Batch { events: vec![event("admitted")], sessions: vec![] }).await.unwrap();
    verify(&store, &key).await;
    // Who cannot sign drops nothing.
    let unsigned = database.open().await;
    assert_eq!(
        unsigned.prune(AuditRetention { rows: 0, age: Duration::from_secs(0) }, UnixMs(1_000)).await.unwrap(),
        0
    );
}

pub(super) async fn the_audit_pages_over_all_chains_newest_first(database: Database) {
    let stores = [database.open().await, database.open().await, database.open().await];
    stores[0].seed(&[spec("a", &[("v1", 1, MeasurementState::Active)])], UnixMs(0)).await.unwrap();
    for at in 1..=300i64 {
        let odd = at % 2 == 1;
        let event = AuditEvent {
            at: UnixMs(at),
            workload: Some(if odd { "a" } else { "b" }.into()),
            session: Some(SessionId::from_bytes([(at % 10) as u8; 16])),
            ..event("admitted")
        };
        let store = &stores[usize::try_from(at).unwrap() % 3];
        store.append(Batch { events: vec![event], sessions: vec![] }).await.unwrap();
    }
    let store = &stores[0];
    let list = async |visible: &Visible, filter: &AuditFilter, limit| {
        let (mut times, mut after) = (Vec::new(), None);
        loop {
            let page = store.audit(visible, filter, Page { after, limit }).await.unwrap();
            assert!(page.rows.len() <= limit as usize);
            times.extend(page.rows.iter().map(|row| row.event.at.0));
            after = page.next;
            if after.is_none() {
                return times;
            }
        }
    };
    let all = AuditFilter::default();
    for limit in [1, 7, 1_000] {
        assert_eq!(
            list(&Visible::Everything, &all, limit).await,
            (0..=300).rev().collect::<Vec<_>>(),
            "{limit}"
        );
    }
    let scope = Visible::Workloads(BTreeSet::from(["a".to_owned()]));
    let odd: Vec<_> = (1..=300).rev().filter(|at| at % 2 == 1).collect();
    assert_eq!(list(&scope, &all, 10).await, odd, "not even the policy's rows");
    let window = AuditFilter { from: Some(UnixMs(100)), until: Some(UnixMs(104)), ..all.clone() };
    assert_eq!(list(&Visible::Everything, &window, 3).await, [103, 102, 101, 100]);
    let session = AuditFilter { session: Some(SessionId::from_bytes([3; 16])), ..all.clone() };
    assert_eq!(list(&Visible::Everything, &session, 100).await.len(), 30);
    let kind = AuditFilter { kind: Some("policy".into()), code: Some("policy-seeded".into()), ..all.clone() };
    assert_eq!(list(&Visible::Everything, &kind, 100).await, [0]);
    // Rows that come while somebody pages are newer than the first page.
    let first = store.audit(&Visible::Everything, &all, Page { after: None, limit: 5 }).await.unwrap();
    let late = AuditEvent { at: UnixMs(999), ..event("late") };
    store.append(Batch { events: vec![late], sessions: vec![] }).await.unwrap();
    let next = store.audit(&Visible::Everything, &all, Page { after: first.next, limit: 2 }).await.unwrap();
    assert_eq!(next.rows.iter().map(|row| row.event.at.0).collect::<Vec<_>>(), [295, 294]);
    for nonsense in ["x", "1", "1:2:3,", "1:-1"] {
        let page = Page { after: Some(nonsense.into()), limit: 1 };
        let error = store.audit(&Visible::Everything, &all, page).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Refused(ChangeError::Invalid { field: "cursor", .. })),
            "{nonsense}"
        );
    }
}
