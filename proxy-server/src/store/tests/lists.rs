//! Pages of long lists: every row once, in order, from both ends of a limit.

use std::collections::BTreeSet;

use countersign_protocol::{Epoch, KeyThumbprint, SessionId};
use countersign_verifier::{Pcr, PcrIndex, PcrSet};

use super::{
    database::Database,
    make::{actor, add, done, pcrs, put, refused, request, revoke, session, spec},
};
use crate::{
    config::{MeasurementSpec, MeasurementState, WorkloadSpec},
    store::*,
};

pub(super) async fn ten_thousand_measurements_page_by_page(database: Database) {
    let store = database.open().await;
    let specs: Vec<WorkloadSpec> = ["a", "b"]
        .into_iter()
        .zip(0u8..)
        .map(|(name, workload)| {
            let measurements = (0..5_000u16).map(|n| MeasurementSpec {
                name: format!("v{n}"),
                version: None,
                pcrs: numbered(workload, n),
                state: if n % 100 == 0 { MeasurementState::Pending } else { MeasurementState::Active },
            });
            WorkloadSpec { measurements: measurements.collect(), ..spec(name, &[]) }
        })
        .collect();
    store.seed(&specs, UnixMs(1)).await.unwrap();
    let filter = MeasurementFilter::default();
    let list = async |visible: &Visible, filter: &MeasurementFilter, limit| {
        let (mut keys, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = store.measurements(visible, filter, Page { after, limit }).await.unwrap();
            assert!(page.rows.len() <= limit as usize);
            keys.extend(page.rows.into_iter().map(|row| (row.workload, row.name)));
            pages += 1;
            after = page.next;
            if after.is_none() {
                return (keys, pages);
            }
        }
    };
    let (keys, pages) = list(&Visible::Everything, &filter, 1_000).await;
    assert_eq!((keys.len(), pages), (10_000, 10), "no empty page at the end");
    assert!(keys.is_sorted() && keys.windows(2).all(|two| two[0] != two[1]));
    assert_eq!(list(&Visible::Everything, &filter, 777).await.0, keys);
    let scope = Visible::Workloads(BTreeSet::from(["b".to_owned()]));
    let (own, _) = list(&scope, &filter, 1_000).await;
    assert_eq!((own.len(), own.iter().all(|(workload, _)| workload == "b")), (5_000, true));
    let pending = MeasurementFilter { state: Some(MeasurementState::Pending), ..filter.clone() };
    let (pending, _) = list(&Visible::Everything, &pending, 60).await;
    assert_eq!(pending.len(), 100);
    let waiting = MeasurementFilter { waiting: Some(Waiting), ..filter.clone() };
    assert_eq!(list(&Visible::Everything, &waiting, 60).await.0, pending);
    let wanted = numbered(1, 4_321);
    let pcr0 = wanted.get(PcrIndex::PCR0).map(ToString::to_string);
    let one = MeasurementFilter { pcr0, ..filter.clone() };
    assert_eq!(list(&Visible::Everything, &one, 10).await.0, [("b".to_owned(), "v4321".to_owned())]);
    let nothing = Visible::Workloads(BTreeSet::new());
    assert_eq!(list(&nothing, &filter, 10).await.0, []);
    let nonsense = Page { after: Some("no slash".into()), limit: 1 };
    let error = store.measurements(&Visible::Everything, &filter, nonsense).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(ChangeError::Invalid { field: "cursor", .. })));
}

fn numbered(workload: u8, number: u16) -> PcrSet {
    let mut set = PcrSet::EMPTY;
    let [high, low] = number.to_be_bytes();
    let mut pcr0 = [workload; 48];
    pcr0[46..].copy_from_slice(&[high, low]);
    for (index, bytes) in [(0, pcr0), (1, [1; 48]), (2, [2; 48])] {
        set.insert(PcrIndex::new(index).unwrap(), Pcr::new(bytes)).unwrap();
    }
    set
}

pub(super) async fn a_name_in_scope_is_no_pattern(database: Database) {
    let store = database.open().await;
    for name in ["a_b", "axb", "a", "a.b"] {
        done(&store, request("ann", put(name, &[]), 1)).await;
    }
    let names = async |scope: &[&str]| {
        let scope = Visible::Workloads(scope.iter().map(|name| (*name).to_owned()).collect());
        let page = store.workloads(&scope, Page { after: None, limit: 10 }).await.unwrap();
        page.rows.into_iter().map(|row| row.workload.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["axb"]).await, ["axb"]);
    assert_eq!(names(&["a_b", "%", ""]).await, ["a_b"]);
    assert_eq!(names(&["a.b", "a"]).await, ["a", "a.b"]);
    let all = store.workloads(&Visible::Everything, Page { after: None, limit: 2 }).await.unwrap();
    let listed: Vec<_> = all.rows.iter().map(|row| row.workload.name.as_str()).collect();
    assert_eq!(
        (listed, all.next.as_deref()),
        (vec!["a", "a.b"], Some("a.b")),
        "byte by byte, on every database"
    );
}

pub(super) async fn tombstones_are_seen_by_whose_they_are(database: Database) {
    let store = database.open().await;
    for (name, byte) in [("a", 1), ("b", 2)] {
        done(&store, request("ann", put(name, &[]), 1)).await;
        done(&store, request("ann", add(name, "v1", pcrs(byte)), 1)).await;
        done(&store, request("ann", revoke(name, "v1"), 2)).await;
    }
    done(&store, request("ann", Change::RevokePcrs { pcrs: pcrs(3), reason: None }, 3)).await;
    let page = Page { after: None, limit: 2 };
    let first = store.tombstones(&Visible::Everything, page).await.unwrap();
    assert_eq!(first.rows.len(), 2);
    let rest = store.tombstones(&Visible::Everything, Page { after: first.next, limit: 2 }).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next), (1, None));
    let scope = Visible::Workloads(BTreeSet::from(["b".to_owned(), String::new()]));
    let own = store.tombstones(&scope, Page { after: None, limit: 9 }).await.unwrap();
    assert_eq!(own.rows.iter().map(|row| row.workload.as_str()).collect::<Vec<_>>(), ["b"]);
}

pub(super) async fn a_hundred_thousand_sessions_page_by_page(database: Database) {
    let store = database.open().await;
    store.seed(&[spec("a", &[("v1", 1, MeasurementState::Active)])], UnixMs(1)).await.unwrap();
    for thousand in 0..100u32 {
        let sessions = (0..1_000u32).map(|n| many(thousand * 1_000 + n)).collect();
        store.append(Batch { events: vec![], sessions }).await.unwrap();
    }
    let (mut count, mut after, mut last) = (0, None, None);
    loop {
        let page = Page { after, limit: Page::MOST };
        let page = store
            .session_page(&Visible::Everything, &SessionFilter::default(), page, UnixMs(1))
            .await
            .unwrap();
        for row in &page.rows {
            assert!(Some(row.id) > last);
            last = Some(row.id);
        }
        count += page.rows.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(count, 100_000);
    let filter = SessionFilter { measurement: Some("v2".into()), ..Default::default() };
    let none =
        store.session_page(&Visible::Everything, &filter, Page { after: None, limit: 5 }, UnixMs(1)).await;
    assert_eq!(none.unwrap(), Paged { rows: vec![], next: None });
    let ids: Vec<SessionId> = (0..10_000u32).map(|n| many(n * 11).id).collect();
    let found = store.sessions_by_id(&ids, UnixMs(1)).await.unwrap();
    assert_eq!(found.len(), ids.iter().filter(|id| found.iter().any(|row| row.id == **id)).count());
    assert_eq!(found.len(), 9_091, "those below 100,000");
    let wanted = many(77_777);
    assert_eq!(store.session_by_key(wanted.key, UnixMs(1)).await.unwrap(), Some(wanted.clone()));
    assert_eq!(store.session_by_key(wanted.key, wanted.lease_ends).await.unwrap(), None, "lapsed");
}

fn many(number: u32) -> SessionRow {
    let mut id = [0; 16];
    // Spread as random ids are.
    id[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
    id[12..].copy_from_slice(&number.to_be_bytes());
    let mut key = [7; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    SessionRow {
        id: SessionId::from_bytes(id),
        key: KeyThumbprint::from_bytes(key),
        epoch: Epoch(1),
        ..session(1, 1, 90_000)
    }
}

pub(super) async fn tokens_are_kept_found_and_revoked(database: Database) {
    let store = database.open().await;
    let token = |id: u8, name: &str| TokenRow {
        id: [id; 16],
        name: name.into(),
        hash: [id; 32],
        roles: "operator,viewer".into(),
        scope: Some("a".into()),
        created_by: "token:ann".into(),
        created: UnixMs(10),
        expires: UnixMs(1_000_000),
        last_used: None,
        revoked: None,
    };
    store.add_token(&token(1, "ci"), &actor("ann")).await.unwrap();
    let again = store.add_token(&token(2, "ci"), &actor("ann")).await.unwrap_err();
    assert!(matches!(again, StoreError::Refused(ChangeError::Exists { .. })), "{again:?}");
    assert_eq!(store.token_by_hash([1; 32]).await.unwrap(), Some(token(1, "ci")));
    assert_eq!(store.token_by_hash([2; 32]).await.unwrap(), None);
    for (now, used) in [(100, 100), (60_099, 100), (60_100, 60_100)] {
        store.touch_token([1; 16], UnixMs(now)).await.unwrap();
        let row = store.token_by_hash([1; 32]).await.unwrap().unwrap();
        assert_eq!(row.last_used, Some(UnixMs(used)), "once a minute");
    }
    store.revoke_token([1; 16], &actor("bob"), UnixMs(70_000)).await.unwrap();
    let twice = store.revoke_token([1; 16], &actor("bob"), UnixMs(70_001)).await.unwrap_err();
    assert!(matches!(twice, StoreError::Refused(ChangeError::AlreadyRevoked { .. })));
    let none = store.revoke_token([9; 16], &actor("bob"), UnixMs(70_001)).await.unwrap_err();
    assert!(matches!(none, StoreError::Refused(ChangeError::NotFound { .. })));
    assert_eq!(store.token_by_hash([1; 32]).await.unwrap().unwrap().revoked, Some(UnixMs(70_000)));
    store.add_token(&token(3, "ci"), &actor("ann")).await.unwrap();
    let first = store.tokens(Page { after: None, limit: 1 }).await.unwrap();
    let rest = store.tokens(Page { after: first.next, limit: 1 }).await.unwrap();
    assert_eq!((first.rows[0].id, rest.rows[0].id, rest.next), ([1; 16], [3; 16], None));
    assert_eq!(store.committed().await.unwrap().epoch, EMPTY, "tokens decide nothing about enclaves");
    let audit = store.audit_for_tests().await;
    assert_eq!(audit, ["access token-added 0", "access token-revoked 0", "access token-added 0"]);
    let rows = store.chain_rows("policy", 0, 9).await.unwrap();
    assert!(!format!("{rows:?}").contains(&"01".repeat(32)), "no hash of a secret");
    assert!(matches!(
        refused(&store, request("ann", revoke("a", "v"), 1)).await,
        ChangeError::NotFound { .. }
    ));
}
