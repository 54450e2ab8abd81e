//! An enclave starts without any AWS secret, decrypts, and nobody on the way sees anything of it.

use countersign_test_support::logs;

use crate::shim::{REGION, Shim, Way};

#[tokio::test]
async fn an_enclave_without_a_secret_decrypts_and_the_proxy_sees_ciphertext_only() {
    let Some(shim) = Shim::start() else { return };
    let (way, proxy) = Way::around(&shim).await;
    let ran = shim.application(&proxy, &way, &[]).await;
    let (said, log) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_eq!((ran.status.code(), &*said), (Some(0), "ok\n"), "{log}");

    // What STS was asked, and what it gave: both in the clear between the proxy and this stand-in alone.
    let asked = String::from_utf8_lossy(&way.sts.seen()).into_owned();
    for expected in [
        "Action=AssumeRole",
        "DurationSeconds=900",
        "RoleSessionName=countersign-",
        "Tags.member.1.Key=countersign-workload&Tags.member.1.Value=payments",
        "Tags.member.2.Key=countersign-measurement&Tags.member.2.Value=1.0",
        "Tags.member.3.Key=countersign-pcr0&Tags.member.3.Value=",
        "TransitiveTagKeys.member.1=countersign-workload",
        "OnlyKms",
    ] {
        assert!(asked.contains(expected), "{expected}: {asked}");
    }
    assert_eq!(asked.matches("Action=AssumeRole").count(), 1, "asked once: {asked}");
    let given = |name: &str| {
        let (_, rest) = asked.split_once(&format!("<{name}>")).expect("credentials of STS");
        rest.split('<').next().unwrap().to_owned()
    };
    let (secret, token) = (given("SecretAccessKey"), given("SessionToken"));
    logs::plant("AWS secret access key", &secret);
    logs::plant("AWS session token", &token);

    let plaintext = "the plaintext that nobody on the way may see";
    logs::plant("KMS plaintext", plaintext);
    let key = shim.text("key");
    let hidden = [
        plaintext,
        &base64(plaintext),
        key,
        key.rsplit('/').next().unwrap(),
        "TrentService",
        "CiphertextBlob",
        "AttestationDocument",
        "CiphertextForRecipient",
        "EncryptionContext",
        &format!("{REGION}/kms/aws4_request"),
        &given("AccessKeyId"),
        &secret,
        &token,
    ];
    for (side, recorder) in
        [("enclave to gateway", &way.gateway), ("proxy to KMS", &way.kms), ("attestation", &way.attestation)]
    {
        let bytes = recorder.seen().len();
        assert!(bytes > 3000, "{side}: {bytes} bytes: the call did not come this way");
        for text in hidden {
            assert!(!recorder.saw(text), "{side} shows {text}");
        }
    }
    // Both programs' logs name the access key at the most.
    let proxy_log = std::fs::read_to_string(proxy.directory().join("proxy.log")).unwrap();
    assert!(proxy_log.contains("credentials-issued"), "{proxy_log}");
    for log in [&*log, &proxy_log] {
        for text in [plaintext, &secret, &token] {
            assert!(!log.contains(text), "{text} is in a log: {log}");
        }
    }
}

fn base64(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}
