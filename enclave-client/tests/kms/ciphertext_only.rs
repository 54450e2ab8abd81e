//! Whoever carries the bytes between the enclave and KMS sees no plaintext, no secret and no request.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    setup::{KEY, Running, SECRET, config},
    upstream::{FakeKms, base64_encode},
};

#[tokio::test]
async fn what_passes_on_the_way_to_kms_is_ciphertext() {
    let kms = FakeKms::honest().await;
    let recorder = Recorder::start(kms.site.strip_prefix("https://").unwrap().to_owned()).await;
    let site = format!("https://127.0.0.1:{}", recorder.port);
    let endpoint = Running::start(config(&site, &kms.anchor)).await;
    let plain = b"the plaintext that nobody on the way may see".as_slice();
    let reversed: Vec<u8> = plain.iter().rev().copied().collect();
    let request = json!({"CiphertextBlob": base64_encode(&reversed), "KeyId": KEY});
    let answer = endpoint.call("Decrypt", request).await.json();
    assert_eq!(answer["Plaintext"], base64_encode(plain));
    let seen = recorder.seen.lock().unwrap().clone();
    assert!(seen.len() > 2000, "{} bytes: the call did not come this way", seen.len());
    for hidden in [
        plain,
        base64_encode(plain).as_bytes(),
        base64_encode(&reversed).as_bytes(),
        b"TrentService",
        b"AKIDENDPOINT",
        SECRET.as_bytes(),
        KEY.as_bytes(),
        b"CiphertextForRecipient",
        b"Recipient",
    ] {
        let found = seen.windows(hidden.len()).any(|part| part == hidden);
        assert!(!found, "{}", String::from_utf8_lossy(hidden));
    }
}

/// Carries bytes both ways and remembers them: what the public proxy and the host half can see.
struct Recorder {
    port: u16,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    async fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = seen.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&to).await.unwrap();
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::spawn(carry(near_read, far_write, record.clone()));
                tokio::spawn(carry(far_read, near_write, record.clone()));
            }
        });
        Self { port, seen }
    }
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    seen: Arc<Mutex<Vec<u8>>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        seen.lock().unwrap().extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
