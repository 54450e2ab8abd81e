use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::*;

/// A directory of this test alone, gone with it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-audit-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn head(seq: u64) -> Head {
    Head { seq, hash: [seq as u8; 32] }
}

#[test]
fn a_key_is_made_once_and_found_again() {
    let directory = Directory::new("key");
    let made = AuditKey::open(&directory.0).unwrap();
    assert_eq!(
        (directory.files(), mode(&directory.0.join("audit.key"))),
        (vec!["audit.key".to_owned()], 0o600)
    );
    let bytes = fs::read(directory.0.join("audit.key")).unwrap();
    let found = AuditKey::open(&directory.0).unwrap();
    assert_eq!(found.public(), made.public());
    assert_eq!(fs::read(directory.0.join("audit.key")).unwrap(), bytes);
    let checkpoint = made.sign(ChainName::Policy, head(3), Purpose::Checkpoint, UnixMs(1), Epoch(2));
    assert_eq!(checkpoint.verify(&TrustedKeys::new([found.public()])), Ok(head(3)));
    assert!(!format!("{made:?}").contains(&String::from_utf8(bytes).unwrap()[30..60]));
}

#[test]
fn many_that_make_a_key_at_once_use_the_same() {
    let directory = Directory::new("race");
    let keys: Vec<_> = std::thread::scope(|scope| {
        let open = || AuditKey::open(&directory.0).unwrap().public();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(directory.files(), ["audit.key"]);
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let directory = Directory::new("loose");
    AuditKey::open(&directory.0).unwrap();
    let path = directory.0.join("audit.key");
    for loose in [0o640, 0o604, 0o620, 0o610] {
        set_mode(&path, loose);
        let refused = AuditKey::open(&directory.0).unwrap_err();
        assert!(matches!(&refused, AuditFileError::Loose { mode, .. } if *mode == loose), "{refused:?}");
    }
    set_mode(&path, 0o400);
    AuditKey::open(&directory.0).unwrap();
}

#[test]
fn what_is_no_key_is_neither_used_nor_overwritten() {
    let directory = Directory::new("junk");
    let path = directory.0.join("audit.key");
    let p256 = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for junk in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &p256] {
        fs::write(&path, junk).unwrap();
        set_mode(&path, 0o600);
        let refused = AuditKey::open(&directory.0).unwrap_err();
        assert!(matches!(refused, AuditFileError::NotAKey { .. }), "{refused:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), junk);
    }
    fs::write(&path, vec![b'x'; 5000]).unwrap();
    let refused = AuditKey::open(&directory.0).unwrap_err();
    assert!(matches!(refused, AuditFileError::TooLong { limit: 4096, .. }), "{refused:?}");
}

#[test]
fn known_heads_only_grow_and_outlive_the_process() {
    let directory = Directory::new("known");
    let mut known = KnownHeads::open(&directory.0).unwrap();
    assert_eq!(known.known(), &Known::new());
    known.flush().unwrap();
    assert_eq!(directory.files(), [""; 0], "nothing to write");
    known.note(ChainName::Policy, head(5)).unwrap();
    known.note(ChainName::Policy, head(4)).unwrap();
    known.note_epoch(Epoch(9));
    known.note_epoch(Epoch(8));
    known.flush().unwrap();
    assert_eq!(
        (directory.files(), mode(&directory.0.join("audit-heads"))),
        (vec!["audit-heads".to_owned()], 0o600)
    );

    let mut again = KnownHeads::open(&directory.0).unwrap();
    assert_eq!(again.known(), known.known());
    assert_eq!((again.known().head(ChainName::Policy), again.known().epoch()), (Some(head(5)), Epoch(9)));
    let other = Head { seq: 5, hash: [0; 32] };
    let (chain, stored) = (ChainName::Policy, [0; 32]);
    assert_eq!(again.note(chain, other), Err(RolledBack::Rewritten { chain, known: head(5), stored }));
}

#[test]
fn two_processes_do_not_make_each_other_forget() {
    let directory = Directory::new("two");
    let mut serve = KnownHeads::open(&directory.0).unwrap();
    let mut command = KnownHeads::open(&directory.0).unwrap();
    command.note(ChainName::Policy, head(7)).unwrap();
    command.note_epoch(Epoch(7));
    command.flush().unwrap();
    serve.note(ChainName::Policy, head(6)).unwrap();
    serve.note(ChainName::Replica([1; 16]), head(2)).unwrap();
    serve.flush().unwrap();
    let known = KnownHeads::open(&directory.0).unwrap();
    assert_eq!(known.known().head(ChainName::Policy), Some(head(7)));
    assert_eq!(known.known().head(ChainName::Replica([1; 16])), Some(head(2)));
    assert_eq!(known.known().epoch(), Epoch(7));
}

#[test]
fn known_heads_that_cannot_be_read_are_not_taken_for_none() {
    let directory = Directory::new("heads-junk");
    let path = directory.0.join("audit-heads");
    let twice = r#"{"version":1,"epoch":1,"heads":[H,H]}"#
        .replace('H', &format!(r#"{{"chain":"policy","head":{{"seq":1,"hash":"{}"}}}}"#, "00".repeat(32)));
    let newer = r#"{"version":2,"epoch":1,"heads":[]}"#;
    for junk in ["", "{}", newer, r#"{"version":1,"epoch":1,"heads":[],"more":1}"#, &twice] {
        fs::write(&path, junk).unwrap();
        let refused = KnownHeads::open(&directory.0).unwrap_err();
        assert!(matches!(refused, AuditFileError::NotHeads { .. }), "{junk}: {refused:?}");
    }
    fs::write(&path, Known::new().to_json()).unwrap();
    KnownHeads::open(&directory.0).unwrap();
    set_mode(&path, 0o622);
    let refused = KnownHeads::open(&directory.0).unwrap_err();
    assert!(matches!(refused, AuditFileError::Loose { mode: 0o622, .. }), "{refused:?}");
}

#[test]
fn known_heads_are_bounded_and_the_policy_stays() {
    let mut known = Known::new();
    known.note(ChainName::Policy, head(1)).unwrap();
    for n in 0..200 {
        known.note(ChainName::Replica([n; 16]), head(1)).unwrap();
    }
    assert_eq!(known.heads().count(), 64);
    assert_eq!(known.head(ChainName::Policy), Some(head(1)));
    assert_eq!(known.head(ChainName::Replica([136; 16])), None);
    assert_eq!(known.head(ChainName::Replica([137; 16])), Some(head(1)));
    assert_eq!(Known::from_json(known.to_json().as_bytes()).unwrap(), known);
}

#[test]
fn a_store_that_was_rolled_back_is_noticed() {
    let (policy, replica) = (ChainName::Policy, ChainName::Replica([1; 16]));
    let mut known = Known::new();
    known.note(replica, head(9)).unwrap();
    known.note(policy, head(5)).unwrap();
    known.note_epoch(Epoch(3));
    let check = |policy_stands, replica_stands, epoch| {
        known.check(&BTreeMap::from([(policy, policy_stands), (replica, replica_stands)]), Epoch(epoch))
    };
    let (five, nine) = (Standing::Hash(head(5).hash), Standing::Hash(head(9).hash));
    assert_eq!(check(five, nine, 3), Ok(()));
    assert_eq!(check(five, nine, 4), Ok(()));
    assert_eq!(check(Standing::Pruned, nine, 3), Ok(()));
    assert_eq!(check(five, nine, 2), Err(RolledBack::Epoch { known: Epoch(3), stored: Epoch(2) }));
    let cut = Standing::Absent { last: 4 };
    assert_eq!(check(cut, nine, 3), Err(RolledBack::Cut { chain: policy, known: head(5), last: 4 }));
    assert_eq!(check(cut, cut, 3), Err(RolledBack::Cut { chain: policy, known: head(5), last: 4 }));
    let (chain, stored) = (replica, [0; 32]);
    assert_eq!(
        check(five, Standing::Hash(stored), 3),
        Err(RolledBack::Rewritten { chain, known: head(9), stored })
    );
    // A chain that the store does not even name.
    assert_eq!(
        known.check(&BTreeMap::from([(replica, nine)]), Epoch(3)),
        Err(RolledBack::Cut { chain: policy, known: head(5), last: 0 })
    );
}
