//! A host half that lies, errs, stalls or goes away.

use std::{
    collections::VecDeque,
    future::Future,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign_protocol::{
    Destination,
    egress::{Action, EgressPolicy, Rule},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    sync::Notify,
    task::JoinSet,
    time::Instant,
};

use super::{
    HostLink,
    fake::{head, serve, trunk},
    link::{AWAY, OPEN_DEADLINE, PATIENCE},
};
use crate::{
    egress::EgressError,
    host::wire::{Answer, HostCode},
    transport::{Dial, Stream},
};

/// Answers requests in the order of its script, over whichever connection they come, and writes
/// down what it was asked. With the last answer it closes that connection.
struct Liar {
    path: PathBuf,
    link: HostLink,
    script: Arc<Script>,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<String>>,
    asked: Mutex<Vec<String>>,
    over: Notify,
}

impl Script {
    async fn play(self: Arc<Self>, mut stream: Stream) {
        while let Some(head) = head(&mut stream).await {
            self.asked.lock().unwrap().push(head);
            let Some(answer) = self.answers.lock().unwrap().pop_front() else { return };
            stream.write_all(answer.as_bytes()).await.unwrap();
            if self.answers.lock().unwrap().is_empty() {
                return self.over.notify_one();
            }
        }
    }
}

impl Liar {
    fn new(name: &str, answers: &[String]) -> Self {
        let path = std::env::temp_dir().join(format!("cs-liar-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let script = Arc::new(Script { answers: Mutex::new(answers.to_vec().into()), ..Script::default() });
        let played = script.clone();
        serve(listener, move |stream| played.clone().play(stream));
        Self { link: HostLink::new(Dial::Unix(path.clone())), path, script }
    }

    async fn open(&self, destination: &str) -> Result<Stream, EgressError> {
        let allow = |text: &str| Rule::new(Action::Allow, text.parse().unwrap(), "test");
        let policy =
            EgressPolicy::new(vec![allow("**"), allow("192.0.2.0/24"), allow("2001:db8::/32")]).unwrap();
        self.link.open(&destination.parse().unwrap(), &policy, None).await.map(|(stream, ..)| stream)
    }

    /// Every request, when the script is at its end.
    async fn asked(&self) -> Vec<String> {
        self.script.over.notified().await;
        self.script.asked.lock().unwrap().clone()
    }

    /// The code of the refusal, or what was denied here.
    async fn refusal(&self, destination: &str) -> String {
        match self.open(destination).await.unwrap_err() {
            EgressError::Host(problem) => problem.code.into_owned(),
            EgressError::Denied { .. } => "denied".to_owned(),
            other => other.to_string(),
        }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn resolved(addresses: &str, lifetime: &str) -> String {
    let body = format!("{{\"addresses\":[{addresses}],\"lifetime_seconds\":{lifetime}}}");
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn connected(address: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nCountersign-Address: {address}\r\n\r\n")
}

#[tokio::test]
async fn addresses_that_the_policy_denies_are_never_asked_for() {
    let liar = Liar::new("deny", &[resolved("\"169.254.169.254\",\"127.0.0.1\"", "15")]);
    assert_eq!(liar.refusal("a.example:80").await, "denied");
    assert_eq!(
        liar.asked().await,
        ["GET /v1/resolve?destination=a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n"]
    );
}

#[tokio::test]
async fn only_what_was_judged_is_asked_for() {
    let answers = [resolved("\"127.0.0.1\",\"192.0.2.1\"", "15"), connected("192.0.2.1")];
    let liar = Liar::new("judged", &answers);
    liar.open("a.example:80").await.unwrap();
    let asked = liar.asked().await;
    assert!(asked[1].contains("\r\nCountersign-Addresses: 192.0.2.1\r\n\r\n"), "{asked:?}");
}

#[tokio::test]
async fn answers_that_are_none_open_nothing() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(9000));
    for (number, (answer, code)) in [
        (connected("192.0.2.2"), "host-answer-invalid"),
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), "host-answer-invalid"),
        (long, "host-answer-invalid"),
        ("SSH-2.0-OpenSSH_9.9\r\nxxxxxxxxxxxxxxxx\r\n\r\n".to_owned(), "host-answer-invalid"),
        (resolved("\"192.0.2.1\"", "15"), "host-answer-invalid"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}".to_owned(), "host-answer-invalid"),
        ("HTTP/1.1 4".to_owned(), "host-away"),
        (String::new(), "host-away"),
    ]
    .into_iter()
    .enumerate()
    {
        let liar = Liar::new(&format!("none{number}"), std::slice::from_ref(&answer));
        assert_eq!(liar.refusal("192.0.2.1:443").await, code, "{answer:?}");
    }
    for (number, addresses) in ["", "\"localhost\"", "\"192.0.2.1\",\"a\""].into_iter().enumerate() {
        let liar = Liar::new(&format!("resolved{number}"), &[resolved(addresses, "15")]);
        assert_eq!(liar.refusal("a.example:443").await, "host-answer-invalid", "{addresses}");
    }
}

/// What follows the answer belongs to whoever gets the stream, however it was sent and read.
#[tokio::test]
async fn nothing_behind_the_answer_is_taken() {
    for (number, address) in ["192.0.2.1", "192.0.2.100"].into_iter().enumerate() {
        let resolved = resolved("\"192.0.2.1\",\"192.0.2.100\"", "15");
        let answers = [resolved, connected(address) + "SSH-2.0-OpenSSH_9.9\r\n\r\n"];
        let liar = Liar::new(&format!("behind{number}"), &answers);
        let mut stream = liar.open("a.example:22").await.unwrap();
        let mut banner = [0; 23];
        stream.read_exact(&mut banner).await.unwrap();
        assert_eq!(&banner, b"SSH-2.0-OpenSSH_9.9\r\n\r\n");
    }
    // No host half answers so: whose bytes are these?
    let short = "HTTP/1.1 200 \r\nCountersign-Address: 192.0.2.1\r\n\r\nabcd".to_owned();
    assert_eq!(Liar::new("short", &[short]).refusal("192.0.2.1:22").await, "host-answer-invalid");
}

/// The gateway and the attestation port of a proxy are two dials of one link.
#[tokio::test]
async fn every_way_through_a_link_shares_what_it_knows() {
    let liar = Liar::new("shared", &[resolved("\"192.0.2.1\"", "15")]);
    let dial = || Dial::Tcp("a.example:443".parse().unwrap()).through(&liar.link);
    let found = dial().resolve().await.unwrap();
    assert_eq!(dial().resolve().await.unwrap(), found);
    assert_eq!(liar.asked().await.len(), 1);
}

/// The head of a refusal may be shorter than that of a connection which stands.
#[tokio::test]
async fn a_terse_refusal_is_read_whole() {
    let body = r#"{"status":403,"code":"egress-rule-set","detail":"no","request_id":"r"}"#;
    let answer = format!("HTTP/1.1 403 No\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let liar = Liar::new("terse", &[answer]);
    assert_eq!(liar.refusal("[2001:db8:1111:2222:3333:4444:5555:6666]:22").await, "egress-rule-set");
}

#[tokio::test]
async fn a_name_that_moved_is_asked_for_again_once() {
    let differ = || {
        let problem = HostCode::AddressesDiffer.problem("moved");
        String::from_utf8(Answer::Refused(problem).encode()).unwrap()
    };
    let moved =
        [resolved("\"192.0.2.1\"", "15"), differ(), resolved("\"192.0.2.2\"", "15"), connected("192.0.2.2")];
    Liar::new("moved", &moved).open("a.example:443").await.unwrap();
    let moving = [resolved("\"192.0.2.1\"", "0"), differ(), resolved("\"192.0.2.2\"", "0"), differ()];
    assert_eq!(Liar::new("moving", &moving).refusal("a.example:443").await, "addresses-differ");
}

#[tokio::test(start_paused = true)]
async fn a_host_half_that_says_nothing_is_given_up() {
    let liar = Liar::new("silent", &["HTTP/1.1 200 OK\r\n".to_owned(), "never sent".to_owned()]);
    let begun = Instant::now();
    assert!(matches!(liar.open("192.0.2.1:443").await, Err(EgressError::Deadline)));
    assert_eq!(begun.elapsed(), OPEN_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_away_is_waited_for_once() {
    let link = HostLink::new(Dial::Unix("/nowhere/cs-host.sock".into()));
    let away = async || {
        let begun = Instant::now();
        let error =
            link.open(&"192.0.2.1:1".parse().unwrap(), &EgressPolicy::default(), None).await.unwrap_err();
        assert!(matches!(&error, EgressError::Host(problem) if problem.code == "host-away"), "{error}");
        begun.elapsed()
    };
    let first = away().await;
    assert!((PATIENCE..PATIENCE * 3).contains(&first), "{first:?}");
    assert_eq!(away().await, Duration::ZERO);
    tokio::time::advance(AWAY).await;
    assert!(away().await >= PATIENCE);
}

/// A trunk that died with the host half costs nothing but the next attempt.
#[tokio::test]
async fn a_restart_between_two_connections_is_not_seen() {
    let path = std::env::temp_dir().join(format!("cs-restart-{}", std::process::id()));
    let link = HostLink::new(Dial::Unix(path.clone()));
    let serve_one = |listener: UnixListener| async move {
        let trunk = trunk(listener.accept().await.unwrap().0).await.unwrap();
        let mut lane = trunk.take().await.unwrap();
        head(&mut lane).await.unwrap();
        lane.write_all(connected("192.0.2.1").as_bytes()).await.unwrap();
        // Its driver ends with it.
        lane
    };
    for _ in 0..3 {
        let _ = std::fs::remove_file(&path);
        let serving = tokio::spawn(serve_one(UnixListener::bind(&path).unwrap()));
        link.open(&"192.0.2.1:443".parse().unwrap(), &EgressPolicy::default(), None).await.unwrap();
        // The listener is gone, and with its only lane the trunk.
        drop(serving.await.unwrap());
    }
    let _ = std::fs::remove_file(&path);
}

/// A host half that carries all it can and has no time to say so stays the host half: what was
/// left of every trunk that a lane was reset on would stand until all its other lanes end.
#[tokio::test]
async fn a_lane_that_is_reset_costs_no_trunk() {
    let path = std::env::temp_dir().join(format!("cs-reset-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let trunks = Arc::new(AtomicUsize::new(0));
    let counted = trunks.clone();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                match trunk(connection).await {
                    Ok(trunk) => {
                        counted.fetch_add(1, Ordering::Relaxed);
                        while trunk.take().await.is_some() {}
                    }
                    Err(mut alone) => {
                        let full = HostCode::EgressRuleSet.problem("no place");
                        alone.write_all(&Answer::Refused(full).encode()).await.unwrap();
                    }
                }
            });
        }
    });
    let link = HostLink::new(Dial::Unix(path.clone()));
    for _ in 0..20 {
        match link.open(&"192.0.2.1:443".parse().unwrap(), &EgressPolicy::default(), None).await {
            Err(EgressError::Host(problem)) => assert_eq!(problem.code, "egress-rule-set"),
            other => panic!("{other:?}"),
        }
    }
    assert!(trunks.load(Ordering::Relaxed) <= 4, "{trunks:?}");
    let _ = std::fs::remove_file(&path);
}

/// It takes connections and makes none of them a trunk: everybody waits his own time, and no longer.
#[tokio::test(start_paused = true)]
async fn a_trunk_that_never_stands_is_given_up_by_each_in_his_time() {
    let path = std::env::temp_dir().join(format!("cs-never-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let _listener = UnixListener::bind(&path).unwrap();
    let link = HostLink::new(Dial::Unix(path.clone()));
    let mut waiting = JoinSet::new();
    for after in [0, 0, 0, 0, 0, 0, 0, 0, 7, 19] {
        let link = link.clone();
        waiting.spawn(async move {
            tokio::time::sleep(Duration::from_secs(after)).await;
            let begun = Instant::now();
            let opened = link.open(&"192.0.2.1:1".parse().unwrap(), &EgressPolicy::default(), None).await;
            assert!(matches!(opened, Err(EgressError::Deadline)));
            assert_eq!(begun.elapsed(), OPEN_DEADLINE);
        });
    }
    waiting.join_all().await;
    let _ = std::fs::remove_file(&path);
}

fn _opens_are_send(link: &HostLink, to: &Destination, policy: &EgressPolicy) -> impl Future + Send {
    link.open(to, policy, None)
}
