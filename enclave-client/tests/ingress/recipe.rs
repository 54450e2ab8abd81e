//! The recipe of docs/ingress.md, as it stands there, run by a shell.

use std::{num::NonZeroU16, path::Path, process::Stdio};

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_enclave::ingress::IngressListen;
use countersign_verifier::{
    CacheCapacity, Expectations, Expected, Freshness, TrustAnchor, UnixMillis, UnverifiedDocument, Verifier,
};
use tokio::{process::Command, time::Duration};

use crate::rig::{Directory, Rig, attested, now_ms};

/// The first shell block of the page.
fn recipe() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ingress.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, block) = page.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

fn hex_of(line: Option<&str>) -> Vec<u8> {
    hex::decode(line.unwrap()).unwrap()
}

#[tokio::test]
async fn the_documented_recipe_verifies() {
    // The application holds 127.0.0.1, so the ingress takes another address of loopback.
    let listen = IngressListen::Tcp("127.0.0.2".parse().unwrap());
    let rig = Rig::listening(attested(), listen).await;
    let port: NonZeroU16 = rig.port;
    let directory = Directory::new();
    // What the verifier would be called with is printed instead.
    let program = "countersign-verify() { printf '%s\\n' \"$@\"; }\n";
    let recipe = recipe().replace("where=app.example:443", &format!("where=127.0.0.2:{port}"));
    let run = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &(program.to_owned() + &recipe)])
        .current_dir(&directory.0)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    let arguments: Vec<_> = said.lines().collect();
    let after = |option: &str| {
        let place = arguments.iter().position(|argument| *argument == option).unwrap();
        hex_of(arguments.get(place + 1).copied())
    };
    let (nonce, public_key, user_data) = (after("--nonce"), after("--public-key"), after("--user-data"));
    let document = std::fs::read_to_string(directory.0.join(arguments[1])).unwrap();
    let document = STANDARD.decode(document.trim()).unwrap();
    let allowance = Duration::from_secs(60);
    let expectations = Expectations {
        at: UnixMillis::from_millis(now_ms()),
        freshness: Freshness::Within { past: allowance, future: allowance },
        nonce: Expected::Exactly(&nonce),
        public_key: Expected::Exactly(&public_key),
        user_data: Expected::Exactly(&user_data),
    };
    let verifier = Verifier::new(TrustAnchor::danger_from_der(&rig.root_der).unwrap(), CacheCapacity::NONE);
    verifier.verify(&UnverifiedDocument::parse(&document).unwrap(), &expectations).unwrap();
}
