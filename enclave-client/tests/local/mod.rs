//! A local proxy whose rules are given as text, and origins on loopback behind it.
#![allow(dead_code, unreachable_pub)]

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use countersign_enclave::{
    egress::{Egress, Outer},
    local::{LocalProxy, LocalProxyLimits},
};
use countersign_protocol::{
    Problem,
    egress::{Action, EgressPolicy, Ports, Rule},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running local proxy.
pub struct Local {
    pub address: SocketAddr,
    _stop: DropGuard,
}

impl Local {
    /// Loopback may be reached.
    pub async fn start() -> Self {
        Self::with(LocalProxyLimits::default(), &["127.0.0.1", "host"]).await
    }

    /// What is named may be reached, at any port.
    pub async fn with(limits: LocalProxyLimits, allowed: &[&str]) -> Self {
        let rule = |target: &&str| Rule {
            action: Action::Allow,
            target: target.parse().unwrap(),
            ports: Ports::Any,
            origin: "test".into(),
        };
        let policy = EgressPolicy::new(allowed.iter().map(rule).collect()).unwrap();
        let proxy = LocalProxy::bind(0, limits).await.unwrap();
        let address = proxy.address();
        assert!(address.ip().is_loopback());
        let stop = CancellationToken::new();
        let egress = Arc::new(Egress::new(policy, HashMap::new(), Outer::Direct));
        tokio::spawn(proxy.serve(egress, stop.clone()));
        Self { address, _stop: stop.drop_guard() }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes as they are and reads to the end.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        Answer::to_end(&mut stream).await
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub head: String,
    pub body: String,
}

impl Answer {
    /// Everything until the proxy closes.
    pub async fn to_end(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an end in time").unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        Self { head: format!("{head}\r\n\r\n"), body: body.to_owned() }
    }

    /// One answer of a connection that stays: its head, and as much content as it says.
    pub async fn one(stream: &mut TcpStream) -> Self {
        let head = read_head(stream).await;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        timeout(PATIENCE, stream.read_exact(&mut body)).await.expect("content in time").unwrap();
        Self { head, body: String::from_utf8(body).unwrap() }
    }

    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn problem(&self) -> Problem {
        assert!(self.head.contains("\r\nContent-Type: application/problem+json\r\n"), "{self:?}");
        let problem: Problem = serde_json::from_str(&self.body).unwrap();
        assert_eq!(self.status(), problem.status, "{self:?}");
        problem
    }
}

/// To the empty line and no further.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
    };
    timeout(PATIENCE, read).await.expect("a head in time");
    String::from_utf8(head).unwrap()
}

/// An origin server that the test plays itself.
pub struct Origin {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Origin {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// The next connection.
    pub async fn accept(&self) -> TcpStream {
        timeout(PATIENCE, self.listener.accept()).await.expect("a connection in time").unwrap().0
    }

    /// Whether nobody has connected. On loopback a connection stands in the queue as soon as it is
    /// made, so that after an answer there is nothing to wait for.
    pub async fn is_untouched(&self) -> bool {
        timeout(Duration::ZERO, self.listener.accept()).await.is_err()
    }
}

/// For what must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);
