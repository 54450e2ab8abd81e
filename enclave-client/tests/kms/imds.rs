//! The instance's role, through the one way out.

use std::{collections::HashMap, convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use countersign_enclave::{
    egress::{Egress, Outer},
    kms::{CredentialSource, Credentials, Imds, ImdsError, Issuer, keep_issued},
};
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::setup::loopback_only;

#[tokio::test]
async fn the_roles_credentials_are_fetched_and_published() {
    let (imds, address) = start("enclave-role").await;
    let (publish, source) = CredentialSource::published();
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(keep_issued(imds, publish, stop.clone()));
    let found = source.newest().await.unwrap();
    let expected = Credentials::new("ASIAROLE".into(), "secret".into(), Some("session".into()));
    assert_eq!(*found, expected.expiring(found.expires().unwrap()));
    stop.cancel();
    keeping.await.unwrap();

    let denied =
        Imds::new(Arc::new(egress()), format!("169.254.169.254:{}", address.port()).parse().unwrap());
    assert!(matches!(denied.issue().await, Err(ImdsError::Egress(_))), "no rule names the metadata service");
}

#[tokio::test]
async fn a_role_that_is_no_name_gets_into_no_path() {
    let (imds, _) = start("../../user-data").await;
    assert_eq!(imds.issue().await.unwrap_err().to_string(), "the instance has no role");
}

async fn start(role: &'static str) -> (Imds, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service =
                service_fn(move |request| async move { Ok::<_, Infallible>(answer(&request, role)) });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (Imds::new(Arc::new(egress()), address.to_string().parse().unwrap()), address)
}

fn egress() -> Egress {
    Egress::new(loopback_only(), HashMap::new(), Outer::Direct)
}

/// IMDSv2: without a token everything is 401.
fn answer(request: &Request<Incoming>, role: &'static str) -> Response<Full<Bytes>> {
    let folder = "/latest/meta-data/iam/security-credentials/";
    let (path, headers) = (request.uri().path(), request.headers());
    let reply = |status: u16, body: &str| {
        Response::builder().status(status).body(Full::new(Bytes::from(body.to_owned()))).unwrap()
    };
    if request.method() == Method::PUT && path == "/latest/api/token" {
        let asked = headers.contains_key("x-aws-ec2-metadata-token-ttl-seconds");
        return if asked { reply(200, "a-token") } else { reply(400, "") };
    }
    if headers.get("x-aws-ec2-metadata-token").is_none_or(|token| token != "a-token") {
        return reply(401, "");
    }
    match path.strip_prefix(folder) {
        Some("") => reply(200, role),
        Some("enclave-role") => reply(
            200,
            r#"{"Code":"Success","LastUpdated":"2025-01-01T00:00:00Z","Type":"AWS-HMAC","AccessKeyId":"ASIAROLE","SecretAccessKey":"secret","Token":"session","Expiration":"2999-01-01T00:00:00Z"}"#,
        ),
        _ => reply(404, ""),
    }
}
