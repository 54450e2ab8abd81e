//! Rule sets while the host half runs.

use std::{fs, io::ErrorKind};

use countersign_enclave::{
    egress::{EgressError, Way},
    host::Rules,
    relay::Side,
    transport::Stream,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::rig::{Dir, FakeNames, Rig, rule_set};

#[tokio::test]
async fn without_rule_sets_nothing_passes() {
    let rig = Rig::start(Dir::new(), Rules::Sets(Vec::new()), FakeNames::of(&[]), |_| {}).await;
    let egress = rig.egress(&["**", "host", "192.0.2.1"]);
    for destination in ["host:80", "a.example:443", "192.0.2.1:443"] {
        match egress.open(&destination.parse().unwrap()).await {
            Err(EgressError::Host(problem)) => assert_eq!(problem.code, "egress-rule-set", "{destination}"),
            other => panic!("{destination}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_rule_that_goes_takes_its_connections_with_it_and_no_others() {
    let kept = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = |listener: &TcpListener| format!("host:{}", listener.local_addr().unwrap().port());
    let (to_kept, to_gone) = (to(&kept), to(&gone));
    let rig = Rig::with_rules(&[&to_kept, &to_gone], FakeNames::of(&[])).await;
    let egress = rig.egress(&["host"]);
    let open = async |destination: &str| match egress
        .open(&destination.parse().unwrap())
        .await
        .unwrap()
        .into_inner()
    {
        Way::Plain(stream) => stream,
        other => panic!("{other:?}"),
    };
    let mut kept_near = open(&to_kept).await;
    let (mut kept_far, _) = kept.accept().await.unwrap();
    let mut gone_near = open(&to_gone).await;
    let (mut gone_far, _) = gone.accept().await.unwrap();

    // Wrong rules change nothing: another file that is right comes after them, in one swap.
    let file = rig.dir.0.join("rules.yaml");
    fs::write(rig.dir.0.join("next"), rule_set(&[&to_kept])).unwrap();
    fs::rename(rig.dir.0.join("next"), &file).unwrap();

    assert_eq!(gone_far.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(gone_near.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(Stream::is_gone(&gone_near), "a half-close, and no disappearance");
    match egress.open(&to_gone.parse().unwrap()).await {
        Err(EgressError::Host(problem)) => assert_eq!(problem.code, "egress-rule-set"),
        other => panic!("{other:?}"),
    }
    kept_near.write_all(b"still here").await.unwrap();
    kept_far.read_exact(&mut [0; 10]).await.unwrap();
}
