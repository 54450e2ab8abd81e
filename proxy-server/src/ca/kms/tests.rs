//! Against moto, a stand-in for KMS that makes real keys and signatures. It
//! checks no request's signature and none of ours depends on it doing so.

use std::{
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use aws_sdk_kms::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    types::{KeySpec, KeyUsageType},
};
use time::Duration;

use super::*;
use crate::ca::{
    CaError, Rotation, SessionCa,
    root::Root,
    tests::{client_key, now, until, verify},
};

#[tokio::test]
async fn replicas_with_one_kms_key_take_each_others_certificates() {
    let Some(moto) = Moto::start() else { return };
    for spec in [KeySpec::EccNistP256, KeySpec::EccNistP384] {
        let arn = moto.key(spec, KeyUsageType::SignVerify).await;
        let (one, two) = (moto.session_ca(&arn).await.unwrap(), moto.session_ca(&arn).await.unwrap());
        assert_eq!(one.anchor(), two.anchor());
        for (issuing, checking) in [(&one, &two), (&two, &one)] {
            let [leaf, issuer] = issuing.issue(&until(&client_key(), now()), now()).unwrap();
            assert_eq!(verify(checking.anchor(), &leaf, &issuer, 1_000_000_030), Ok(()));
        }
    }
}

#[tokio::test]
async fn the_roots_of_two_kms_keys_are_two() {
    let Some(moto) = Moto::start() else { return };
    let key = async || moto.key(KeySpec::EccNistP384, KeyUsageType::SignVerify).await;
    let mine = moto.session_ca(&key().await).await.unwrap();
    let foreign = moto.session_ca(&key().await).await.unwrap();
    let [leaf, issuer] = foreign.issue(&until(&client_key(), now()), now()).unwrap();
    assert_eq!(verify(mine.anchor(), &leaf, &issuer, 1_000_000_030), Err("bad signature"));
}

#[tokio::test]
async fn a_key_that_is_no_root_is_refused_in_words() {
    let Some(moto) = Moto::start() else { return };
    for (spec, usage, found) in [
        (KeySpec::EccNistP521, KeyUsageType::SignVerify, "key usage SIGN_VERIFY and key spec ECC_NIST_P521"),
        (
            KeySpec::EccSecgP256K1,
            KeyUsageType::SignVerify,
            "key usage SIGN_VERIFY and key spec ECC_SECG_P256K1",
        ),
        (KeySpec::Rsa2048, KeyUsageType::SignVerify, "key usage SIGN_VERIFY and key spec RSA_2048"),
        (KeySpec::Rsa2048, KeyUsageType::EncryptDecrypt, "key usage ENCRYPT_DECRYPT and key spec RSA_2048"),
        // KMS lets a P-256 key agree on secrets instead, and then it signs nothing.
        (
            KeySpec::EccNistP256,
            KeyUsageType::KeyAgreement,
            "key usage KEY_AGREEMENT and key spec ECC_NIST_P256",
        ),
    ] {
        let arn = moto.key(spec, usage).await;
        let error = moto.session_ca(&arn).await.err().unwrap();
        let expected = format!(
            "{arn} cannot be the session CA's root: expected key usage SIGN_VERIFY and key spec ECC_NIST_P256 or \
             ECC_NIST_P384; found {found}"
        );
        assert_eq!(error.to_string(), expected);
    }
    let absent = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000";
    let error = moto.session_ca(absent).await.err().unwrap();
    assert!(matches!(error, CaError::Kms { operation: "GetPublicKey", .. }), "{error}");
}

#[tokio::test]
async fn an_outage_of_kms_stops_the_rotation_and_not_the_issuing() {
    let Some(mut moto) = Moto::start() else { return };
    let arn = moto.key(KeySpec::EccNistP256, KeyUsageType::SignVerify).await;
    let ca = moto.session_ca(&arn).await.unwrap();
    let later = now() + Duration::days(4);
    assert_eq!(ca.rotate(later).await.unwrap(), Rotation::Done);
    let present = ca.present().certificate.clone();

    moto.stop();
    let later = now() + Duration::days(8);
    let error = ca.rotate(later).await.unwrap_err();
    assert!(matches!(error, CaError::Kms { operation: "Sign", .. }), "{error}");
    let [leaf, issuer] = ca.issue(&until(&client_key(), later), later).unwrap();
    assert_eq!(issuer, present);
    assert_eq!(verify(ca.anchor(), &leaf, &issuer, later.unix_timestamp() as u64 + 30), Ok(()));
}

/// A moto server on loopback, which ends with this value.
struct Moto {
    process: Child,
    client: Client,
}

impl Moto {
    /// `None`, and a line that says so, where `make setup-test` has not been run.
    fn start() -> Option<Self> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let python: PathBuf = repository.join("target/venv/bin/python");
        if !python.exists() {
            // Not `eprintln!`, which the test harness swallows.
            let _ =
                writeln!(io::stderr(), "SKIPPED: no {}; `make setup-test` installs moto", python.display());
            return None;
        }
        let mut process = Command::new(python)
            .arg(repository.join("tests/python/moto_server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().strip_prefix("ready ").expect("moto is installed").parse().unwrap();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .retry_config(RetryConfig::disabled())
            .build();
        Some(Self { process, client: Client::from_conf(config) })
    }

    async fn key(&self, spec: KeySpec, usage: KeyUsageType) -> String {
        let made = self.client.create_key().key_spec(spec).key_usage(usage).send().await.unwrap();
        made.key_metadata.unwrap().arn.unwrap()
    }

    async fn session_ca(&self, arn: &str) -> Result<SessionCa, CaError> {
        let root = Root::Kms(KmsRoot::with_client(self.client.clone(), arn).await?);
        let intermediate = root.intermediate(now()).await?;
        Ok(SessionCa::new(root, intermediate))
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
