//! A man in the middle relays a genuine exchange (CVE-2026-33697 and its family).
//!
//! He has what TLS alone cannot stop: a certificate that the enclave trusts. The
//! enclave answers his challenge honestly; the proxy must not take the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_e2e::{
    Answer, Attester, Claim, Dialer, Enclave, Identity, Middleman, Proxy, SERVER_NAME, Setup,
};
use countersign_protocol::{message::Challenge, wire};

/// The enclave's evidence names its own key K; the proxy sees the middleman's.
#[tokio::test]
async fn genuine_evidence_over_another_tls_key_is_refused() {
    let (answer, attacker) = relay(Identity::server(SERVER_NAME), |_, _| ()).await;
    assert_eq!(answer.refusal(), (403, "public-key-mismatch".into()));
    drop(attacker);
}

/// An enclave that could be talked into naming the middleman's key: the binder
/// still names the connection it was made on, and that is not the proxy's.
#[tokio::test]
async fn evidence_that_names_the_middlemans_key_is_still_of_another_connection() {
    let (answer, _) = relay(Identity::server(SERVER_NAME), |claim, attacker| {
        claim.public_key = attacker.spki();
        claim.attester_spki = attacker.spki();
    })
    .await;
    assert_eq!(answer.refusal(), (403, "user-data-mismatch".into()));
}

/// Even with the proxy's own server key in his hands (so that SPKI(server)
/// fits), the exporter of his connection to the enclave is another one.
#[tokio::test]
async fn the_exporter_holds_where_the_server_key_was_stolen() {
    let proxy = Proxy::start(Setup::default()).await;
    let stolen = Identity::server(SERVER_NAME);
    let attacker = Identity::p256();
    let server_spki = proxy_spki(&proxy).await;
    let answer = relay_through(&proxy, &stolen, &attacker, |claim, attacker| {
        claim.public_key = attacker.spki();
        claim.attester_spki = attacker.spki();
        claim.server_spki = server_spki;
    })
    .await;
    assert_eq!(answer.refusal(), (403, "user-data-mismatch".into()));
}

/// The control: whoever only carries bytes changes nothing, and sees nothing.
#[tokio::test]
async fn a_pipe_of_bytes_is_no_middleman() {
    let proxy = Proxy::start(Setup::default()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pipe = listener.local_addr().unwrap();
    let to = proxy.attestation;
    tokio::spawn(async move {
        let (mut enclave, _) = listener.accept().await.unwrap();
        let mut proxy = tokio::net::TcpStream::connect(to).await.unwrap();
        drop(tokio::io::copy_bidirectional(&mut enclave, &mut proxy).await);
    });
    let mut enclave = proxy.enclave("payments-1.0").await;
    enclave.attester = Attester::connect(pipe, &proxy.dialer(&enclave.key), &enclave.key).await.unwrap();
    enclave.attest(1, |_| ()).await.grant();
}

async fn relay(middle: Identity, talked_into: impl FnOnce(&mut Claim, &Identity)) -> (Answer, Identity) {
    let proxy = Proxy::start(Setup::default()).await;
    let attacker = Identity::p256();
    let answer = relay_through(&proxy, &middle, &attacker, talked_into).await;
    (answer, attacker)
}

/// Enclave → middleman → proxy: the proxy's challenge goes one way, the
/// enclave's genuine answer the other. Gives back what the proxy said to it.
async fn relay_through(
    proxy: &Proxy,
    middle: &Identity,
    attacker: &Identity,
    talked_into: impl FnOnce(&mut Claim, &Identity),
) -> Answer {
    let mut middleman = Middleman::start(middle).await;
    let mut towards_proxy =
        Attester::connect(proxy.attestation, &proxy.dialer(attacker), attacker).await.unwrap();
    let challenge = towards_proxy.challenge().await.unwrap();

    let mut victim = victim(proxy, &middleman, middle).await;
    let mut caught = middleman.caught().await;
    let (asked, ()) = tokio::join!(victim.attester.challenge(), answer_with(&mut caught, &challenge));
    let asked = asked.unwrap();
    assert_eq!(asked, challenge, "the enclave cannot tell");

    let mut claim = victim.attester.honest(&asked, victim.boot, 1);
    talked_into(&mut claim, attacker);
    let document = claim.document(&victim.nsm);
    towards_proxy.answer(&claim, &document).await.unwrap()
}

/// A genuine enclave that trusts the middleman's certificate.
async fn victim(proxy: &Proxy, middleman: &Middleman, middle: &Identity) -> Enclave {
    let mut enclave = proxy.enclave("payments-1.0").await;
    let dialer = Dialer::new(middle.certificate(), Some(enclave.key.self_signed()));
    enclave.attester = Attester::connect(middleman.address, &dialer, &enclave.key).await.unwrap();
    enclave
}

async fn answer_with<S>(caught: &mut countersign_e2e::Wire<S>, challenge: &Challenge)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (line, _) = caught.request().await;
    assert_eq!(line, format!("POST {} HTTP/1.1", wire::CHALLENGE_PATH));
    let body = challenge.encode();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n", wire::CBOR, body.len());
    caught.send(&[head.as_bytes(), &body].concat()).await.unwrap();
}

async fn proxy_spki(proxy: &Proxy) -> Vec<u8> {
    proxy.enclave("anybody").await.attester.server_spki()
}
