use std::{os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use countersign_protocol::SessionId;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, TrustAnchor, UnixTime},
    server::{ParsedCertificate, WebPkiClientVerifier},
};
use time::OffsetDateTime;

use super::*;

#[test]
fn a_session_certificate_holds_under_the_root_for_its_key_and_time() {
    let directory = TempDir::new("ca-issue");
    let ca = SessionCa::open(&directory.0, now()).unwrap();
    let key = client_key();
    let [leaf, issuer] = ca.issue(&certificate(&key), now()).unwrap();

    let spki = ParsedCertificate::try_from(&leaf).unwrap().subject_public_key_info();
    assert_eq!(spki.as_ref(), key.spki(), "the certificate is over the enclave's own key");
    assert_eq!(verify(ca.anchor(), &leaf, &issuer, 1_000_000_030), Ok(()));
    assert_eq!(verify(ca.anchor(), &leaf, &issuer, 1_000_000_061), Err("expired"));
    let uri = format!("countersign://demo/workload/payments/session/{}", "07".repeat(16));
    assert!(contains(&leaf, uri.as_bytes()));
    assert!(contains(&leaf, "07".repeat(16).as_bytes()));
}

#[test]
fn a_certificate_of_another_root_is_refused() {
    let (mine, foreign) = (TempDir::new("ca-mine"), TempDir::new("ca-foreign"));
    let mine = SessionCa::open(&mine.0, now()).unwrap();
    let foreign = SessionCa::open(&foreign.0, now()).unwrap();
    let [leaf, issuer] = foreign.issue(&certificate(&client_key()), now()).unwrap();
    assert_eq!(verify(mine.anchor(), &leaf, &issuer, 1_000_000_030), Err("bad signature"));
}

#[tokio::test]
async fn the_root_outlives_the_process_and_the_intermediate_rotates() {
    let directory = TempDir::new("ca-reopen");
    let first = SessionCa::open(&directory.0, now()).unwrap();
    let second = SessionCa::open(&directory.0, now()).unwrap();
    assert_eq!(first.anchor(), second.anchor());
    let [leaf, issuer] = second.issue(&certificate(&client_key()), now()).unwrap();
    assert_eq!(verify(first.anchor(), &leaf, &issuer, 1_000_000_030), Ok(()));

    let later = now() + time::Duration::days(3);
    assert_eq!(second.rotate(later).await.unwrap(), Rotation::NotDue);
    let [_, same] = second.issue(&certificate(&client_key()), later).unwrap();
    assert_eq!(same, issuer);
    let later = now() + time::Duration::days(4);
    assert_eq!(second.rotate(later).await.unwrap(), Rotation::Done);
    let [leaf, next] = second.issue(&until(&client_key(), later), later).unwrap();
    assert_ne!(next, issuer, "after half its life another one issues");
    let seconds = later.unix_timestamp() as u64 + 30;
    assert_eq!(verify(first.anchor(), &leaf, &next, seconds), Ok(()), "the other replica takes it too");
    assert_eq!(
        second.rotate(now() - time::Duration::hours(1)).await.unwrap(),
        Rotation::Done,
        "a clock put back"
    );
}

#[test]
fn the_root_file_is_for_its_owner_only() {
    let directory = TempDir::new("ca-mode");
    let path = directory.0.join(root_file::FILE);
    SessionCa::open(&directory.0, now()).unwrap();
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = SessionCa::open(&directory.0, now()).err().unwrap();
    assert!(matches!(error, CaError::Readable { mode: 0o640, .. }), "{error}");
    std::fs::write(&path, "nonsense").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(SessionCa::open(&directory.0, now()).err().unwrap(), CaError::NotARoot { .. }));
}

#[test]
fn only_an_uncompressed_p256_key_is_a_client_key() {
    let good = client_key();
    assert_eq!(ClientKey::from_spki(good.spki()), Ok(good));
    for change in 0..27 {
        let mut spki = good.spki().to_vec();
        spki[change] ^= 1;
        assert_eq!(ClientKey::from_spki(&spki), Err(NotAClientKey), "byte {change}");
    }
    assert_eq!(ClientKey::from_spki(&good.spki()[..90]), Err(NotAClientKey));
    assert_eq!(ClientKey::from_spki(&[good.spki(), &[0]].concat()), Err(NotAClientKey));
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    assert_eq!(
        ClientKey::from_spki(&rcgen::PublicKeyData::subject_public_key_info(&p384)),
        Err(NotAClientKey)
    );
}

#[test]
fn a_trial_certificate_is_never_written_over() {
    let directory = TempDir::new("ca-trial");
    let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let [ca, certificate, key] = make_trial_certificate(&directory.0, &hosts, now()).unwrap();
    assert!(ca.exists() && certificate.exists());
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let error = make_trial_certificate(&directory.0, &hosts, now()).unwrap_err();
    assert!(matches!(&error, TrialError::File { path, .. } if *path == ca), "{error}");
}

#[test]
fn nothing_outlives_the_intermediate() {
    let directory = TempDir::new("ca-ends");
    let ca = SessionCa::open(&directory.0, now()).unwrap();
    let key = client_key();
    let last = now() + time::Duration::days(7) - time::Duration::seconds(60);
    assert!(ca.issue(&until(&key, last), last).is_ok());
    let late = last + time::Duration::seconds(1);
    assert!(matches!(ca.issue(&until(&key, late), late), Err(CaError::IntermediateEnds)));
}

#[tokio::test]
async fn replicas_with_one_file_take_each_others_certificates() {
    let directory = TempDir::new("ca-shared");
    let file = directory.0.join("shared.pem");
    make_session_root(&file, now()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o440)).unwrap();
    let root = SessionRoot::File(file);
    let one = SessionCa::start(&root, &directory.0, now()).await.unwrap();
    let two = SessionCa::start(&root, &directory.0, now()).await.unwrap();
    for (issuing, checking) in [(&one, &two), (&two, &one)] {
        let [leaf, issuer] = issuing.issue(&certificate(&client_key()), now()).unwrap();
        assert_eq!(verify(checking.anchor(), &leaf, &issuer, 1_000_000_030), Ok(()));
    }
    assert_ne!(one.present().certificate, two.present().certificate, "each has an intermediate of its own");
    assert!(!directory.0.join(root_file::FILE).exists(), "the state directory's root is not made");
}

#[tokio::test]
async fn a_named_file_is_never_made_and_never_written_over() {
    let directory = TempDir::new("ca-named");
    let file = directory.0.join("named.pem");
    let root = SessionRoot::File(file.clone());
    let error = SessionCa::start(&root, &directory.0, now()).await.err().unwrap();
    assert!(matches!(error, CaError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("countersign-proxy session-ca make --out"), "{error}");
    assert!(!file.exists());

    make_session_root(&file, now()).unwrap();
    let written = std::fs::read(&file).unwrap();
    assert!(matches!(make_session_root(&file, now()), Err(CaError::Exists { .. })));
    assert_eq!(std::fs::read(&file).unwrap(), written);

    for (mode, refused) in [(0o600, false), (0o640, false), (0o400, false), (0o644, true), (0o660, true)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let outcome = SessionCa::start(&root, &directory.0, now()).await;
        let readable = matches!(outcome, Err(CaError::Readable { mode: found, .. }) if found == mode);
        assert_eq!((outcome.is_err(), readable), (refused, refused), "{mode:o}");
    }
}

#[tokio::test]
async fn a_root_of_another_name_or_key_is_refused() {
    let directory = TempDir::new("ca-foreign-root");
    let file = directory.0.join("root.pem");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut renamed = anchor::root_params();
    renamed.distinguished_name = anchor::name("Company root");
    let other_name = renamed.self_signed(&key).unwrap();
    let other_key = anchor::root_params().self_signed(&other).unwrap();
    for certificate in [other_name, other_key] {
        let _ = std::fs::remove_file(&file);
        let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
        root_file::write_secret(&file, pem.as_bytes()).unwrap();
        let started = SessionCa::start(&SessionRoot::File(file.clone()), &directory.0, now()).await;
        assert!(matches!(started, Err(CaError::ForeignRoot { .. })));
    }
}

pub(super) fn verify(
    root: &TrustAnchor<'static>,
    leaf: &CertificateDer<'_>,
    issuer: &CertificateDer<'_>,
    seconds: u64,
) -> Result<(), &'static str> {
    let roots = RootCertStore { roots: vec![root.clone()] };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    match verifier.verify_client_cert(leaf, std::slice::from_ref(issuer), at) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::ExpiredContext { .. })) => {
            Err("expired")
        }
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature)) => {
            Err("bad signature")
        }
        Err(other) => panic!("{other}"),
    }
}

fn certificate(key: &ClientKey) -> SessionCertificate<'_> {
    until(key, now())
}

/// For the minute after `start`.
pub(super) fn until(key: &ClientKey, start: OffsetDateTime) -> SessionCertificate<'_> {
    // Leaked once for each test: the names live as long as the test.
    SessionCertificate {
        key,
        deployment: Box::leak(Box::new("demo".parse().unwrap())),
        workload: Box::leak(Box::new("payments".parse().unwrap())),
        session: SessionId::from_bytes([7; 16]),
        not_after: start + time::Duration::seconds(60),
    }
}

pub(super) fn client_key() -> ClientKey {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    ClientKey::from_spki(&rcgen::PublicKeyData::subject_public_key_info(&key)).unwrap()
}

pub(super) fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_000_000_000).unwrap()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
