//! The transparent mode in a namespace whose only way out is this process: it resolves
//! names by an /etc/hosts that programs do not see, and dials servers on loopback.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use countersign_enclave::{
    egress::{Egress, Outer},
    transparent::{AddressPool, Limits, Networks, Transparent, TransparentConfig, Way, write_resolv_conf},
};
use countersign_protocol::egress::{Action, EgressPolicy, Ports, Rule};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, UnixStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::namespace::{Scratch, mount_over, outcome, program};

pub struct Enclave {
    pub scratch: Scratch,
    plain_hosts: PathBuf,
    log: Log,
    _stop: DropGuard,
}

/// The names that this process resolves, all to 127.0.0.1, and no program does.
const NAMES: &str = "web.example db.example ssh.example other.wild.example one.wild.example two.wild.example";

pub const RULES: &[(Action, &str, u16)] = &[
    (Action::Allow, "web.example", 80),
    (Action::Allow, "db.example", 5432),
    (Action::Allow, "ssh.example", 22),
    (Action::Allow, "away.example", 80),
    (Action::Allow, "two-ports.example", 80),
    (Action::Allow, "two-ports.example", 443),
    (Action::Allow, "*.wild.example", 80),
    (Action::Deny, "evil.wild.example", 80),
];

impl Enclave {
    pub async fn start(test: &str, limits: Limits) -> Self {
        Self::start_way(test, limits, Way::Listeners, RULES).await
    }

    /// The same with a TUN device, and rules that say more ports.
    pub async fn start_tun(test: &str, limits: Limits, rules: &[(Action, &str, u16)]) -> Self {
        Self::start_way(test, limits, Way::Tun, rules).await
    }

    /// Either way.
    pub async fn start_way(test: &str, limits: Limits, way: Way, rules: &[(Action, &str, u16)]) -> Self {
        let scratch = Scratch::new(test);
        let log = Log::default();
        let writer = log.clone();
        tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).init();

        let hosts = scratch.file("hosts", &format!("127.0.0.1 localhost\n127.0.0.1 {NAMES}\n"));
        mount_over(&hosts, "/etc/hosts");
        mount_over(&scratch.file("nsswitch.conf", "hosts: files dns\n"), "/etc/nsswitch.conf");
        let resolv_conf = scratch.path("resolv.conf");
        write_resolv_conf(&resolv_conf).unwrap();
        mount_over(&resolv_conf, "/etc/resolv.conf");
        let plain_hosts = scratch.file("plain-hosts", "127.0.0.1 localhost\n");

        let rules = compiled(rules);
        let egress = Egress::new(EgressPolicy::new(rules.clone()).unwrap(), HashMap::new(), Outer::Direct);
        let stop = CancellationToken::new();
        let config =
            TransparentConfig { limits, way, ..TransparentConfig::new(rules, &[], Networks::Untouched) };
        Transparent::start(config, Arc::new(egress), stop.clone()).await.unwrap();
        Self { scratch, plain_hosts, log, _stop: stop.drop_guard() }
    }

    /// Runs a program that knows nothing of all this.
    pub async fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        outcome(program(&self.plain_hosts, words)).await
    }

    /// The lines of the log so far that hold all of these words.
    pub fn logged(&self, words: &[&str]) -> Vec<String> {
        let text = String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap();
        let hit = |line: &&str| words.iter().all(|word| line.contains(word));
        text.lines().filter(hit).map(str::to_owned).collect()
    }
}

fn compiled(rules: &[(Action, &str, u16)]) -> Vec<Rule> {
    let one = |(action, target, ports): (Action, &str, Ports)| Rule {
        action,
        target: target.parse().unwrap(),
        ports,
        origin: "rules".into(),
    };
    let written = rules.iter().map(|(action, target, port)| match port {
        0 => (*action, *target, Ports::Any),
        port => (*action, *target, Ports::Range(*port..=*port)),
    });
    // What the names lead to here is special, so a rule must name it.
    let loopback = (Action::Allow, "127.0.0.1", Ports::Range(1..=u16::MAX));
    written.chain([loopback]).map(one).chain(AddressPool::default().denying_rules()).collect()
}

/// A server that answers every request with `body`.
pub async fn web_server(at: SocketAddr, body: &'static str) {
    let listener = TcpListener::bind(at).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await?;
                stream.shutdown().await
            });
        }
    });
}

/// Carries connections to a UNIX socket, where PostgreSQL listens.
pub async fn forward(at: SocketAddr, to: PathBuf) {
    let listener = TcpListener::bind(at).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let mut far = UnixStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
}

/// Asks the resolver for an IPv4 address, as a program does.
pub async fn resolve(name: &str) -> Result<Ipv4Addr, ResponseCode> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, 53)).await.unwrap();
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    query.queries.push(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), RecordType::A));
    socket.send(&query.to_vec().unwrap()).await.unwrap();
    let mut reply = [0; 512];
    let len = socket.recv(&mut reply).await.unwrap();
    let reply = Message::from_vec(&reply[..len]).unwrap();
    match reply.answers.first().map(|record| &record.data) {
        Some(RData::A(address)) => Ok(address.0),
        _ => Err(reply.response_code),
    }
}

/// The first bytes that come from an address, or why none do.
pub async fn get(address: impl Into<IpAddr>, port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect((address.into(), port)).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
