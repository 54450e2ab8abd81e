//! Limits by EC2 instance: a machine full of allowed enclaves is bounded, and no other machine notices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_e2e::{Proxy, Setup};
use countersign_simulator::Fault;

/// One simulated machine for each image.
const ONE: &str = "payments-1.0";
const OTHER: &str = "payments-2.0";

#[tokio::test]
async fn one_instance_has_so_many_sessions_and_renews_them_all() {
    let proxy = Proxy::start(Setup { limits: "sessions_per_instance = 2", ..Setup::default() }).await;
    let mut first = proxy.admitted(ONE).await;
    proxy.admitted(ONE).await;
    let refused = proxy.enclave(ONE).await.attest(1, |_| ()).await;
    assert_eq!(refused.refusal(), (429, "too-many-of-instance".into()));
    assert_eq!(first.enclave.attest(2, |_| ()).await.grant().session, first.grant.session);
    proxy.admitted(OTHER).await;
}

#[tokio::test]
async fn one_instance_attests_so_often_in_a_minute() {
    let proxy = Proxy::start(Setup { limits: "attestations_per_instance = 3", ..Setup::default() }).await;
    let mut first = proxy.admitted(ONE).await;
    // What its NSM did not sign is not counted, whatever it names.
    for _ in 0..3 {
        let forged =
            proxy.enclave(ONE).await.attest(1, |claim| claim.fault = Some(Fault::SignedByOtherKey)).await;
        assert_eq!(forged.refusal(), (403, "signature-invalid".into()));
    }
    for sequence in 2..=3 {
        first.enclave.attest(sequence, |_| ()).await.grant();
    }
    let refused = first.enclave.attest(4, |_| ()).await;
    assert_eq!(refused.refusal(), (429, "attesting-too-often".into()));
    proxy.admitted(OTHER).await;
}
