//! Changes and admissions, one after the other, at one replica.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use countersign_e2e::{Attester, Dialer, Identity, Proxy};
use countersign_protocol::BootId;
use countersign_simulator::{Module, SoftwareNsm};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{sync::watch, time::sleep};

use crate::ledger::Ledger;

/// Where a replica is now: its ports change when it comes back.
#[derive(Clone)]
pub(crate) struct Target {
    attestation: SocketAddr,
    anchor: CertificateDer<'static>,
    admin: SocketAddr,
    admin_anchor: CertificateDer<'static>,
}

impl Target {
    pub(crate) fn of(proxy: &Proxy) -> Self {
        let admin_anchor = CertificateDer::from_pem_file(proxy.directory().join("admin.pem")).unwrap();
        let Proxy { attestation, admin, anchor, .. } = proxy;
        Self { attestation: *attestation, anchor: anchor.clone(), admin: *admin, admin_anchor }
    }
}

/// Adds measurements over the API and revokes each at once.
pub(crate) async fn change(
    replica: usize,
    target: watch::Receiver<Target>,
    token: String,
    ledger: Arc<Ledger>,
) {
    for number in 0.. {
        sleep(PAUSE).await;
        let name = name(replica, number);
        let pcrs: serde_json::Value = serde_json::from_str(&Module::from_image(&name).pcr_json()).unwrap();
        let add = serde_json::json!({ "name": name, "pcrs": pcrs });
        let at = "/v1/workloads/payments/measurements";
        if !post(&target, &token, at, &add, &ledger).await {
            continue;
        }
        ledger.added(&name);
        let revoke = serde_json::json!({ "workload": "payments", "measurement": name });
        if post(&target, &token, "/v1/revocations", &revoke, &ledger).await {
            ledger.revoked(&name);
        }
    }
}

/// Is admitted with one new key after the other.
pub(crate) async fn attest(nsm: SoftwareNsm, target: watch::Receiver<Target>, ledger: Arc<Ledger>) {
    loop {
        sleep(PAUSE).await;
        let Target { attestation, anchor, .. } = target.borrow().clone();
        let key = Identity::p256();
        let dialer = Dialer::new(&anchor, Some(key.self_signed()));
        let Ok(mut attester) = Attester::connect(attestation, &dialer, &key).await else { continue };
        match attester.attest(&nsm, BootId::from_bytes([7; 16]), 1, |_| ()).await {
            Ok(answer) if answer.status == 200 => ledger.admitted(answer.grant().session),
            Ok(answer) => ledger.refused(format!("{:?}", answer.refusal())),
            // It was killed meanwhile: whether it admitted, only the store knows.
            Err(_) => {}
        }
    }
}

/// The image, and the name, of a measurement.
fn name(replica: usize, number: u32) -> String {
    format!("chaos-{replica}-{number}")
}

/// Whether it was acknowledged.
async fn post(
    target: &watch::Receiver<Target>,
    token: &str,
    path: &str,
    body: &serde_json::Value,
    ledger: &Ledger,
) -> bool {
    let Target { admin, admin_anchor, .. } = target.borrow().clone();
    let dialer = Dialer { name: "localhost", ..Dialer::new(&admin_anchor, None) };
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    match dialer.ask(admin, request.as_bytes()).await {
        Ok(answer) if (200..300).contains(&answer.status) => true,
        Ok(answer) => {
            ledger.refused(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
            false
        }
        Err(words) => {
            ledger.refused(words);
            false
        }
    }
}

/// So that the audit stays short enough to be checked whole after every kill.
const PAUSE: Duration = Duration::from_millis(200);
