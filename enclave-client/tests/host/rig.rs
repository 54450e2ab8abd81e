//! A host half, its files, and an upstream server that says back what it hears.

use std::{
    collections::HashMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use countersign_enclave::{
    egress::{Egress, HostLink, Outer},
    host::{
        Host, HostOptions, Rules,
        names::{Lookup, Resolver},
    },
    transport::{Dial, Listen},
};
use countersign_protocol::egress::{Action, EgressPolicy, Rule};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UnixStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// A directory of its own, removed at the end.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cs-host-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("egress.sock")
    }

    /// One rule set in a file of its own.
    pub(crate) fn rules(&self, file: &str, targets: &[&str]) -> PathBuf {
        let path = self.0.join(file);
        fs::write(&path, rule_set(targets)).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn rule_set(targets: &[&str]) -> String {
    let lines: String = targets.iter().map(|target| format!("  - \"{target}\"\n")).collect();
    let targets =
        if targets.is_empty() { "  targets: []\n".to_owned() } else { format!("  targets:\n{lines}") };
    format!("apiVersion: zalando.org/v1\nkind: EgressRuleSet\nmetadata:\n  name: test\nspec:\n{targets}")
}

/// Names for tests. Each name has a list of answers; the last one stays.
#[derive(Default)]
pub(crate) struct FakeNames(Mutex<HashMap<String, Vec<Vec<IpAddr>>>>);

impl FakeNames {
    pub(crate) fn of(names: &[(&str, &[&str])]) -> Arc<Self> {
        let fake = Self::default();
        for (name, answer) in names {
            let answer = answer.iter().map(|address| address.parse().unwrap()).collect();
            fake.0.lock().unwrap().entry((*name).to_owned()).or_default().push(answer);
        }
        Arc::new(fake)
    }
}

impl Resolver for FakeNames {
    fn lookup(&self, name: Box<str>) -> Lookup {
        let mut names = self.0.lock().unwrap();
        let answer = names
            .get_mut(&*name)
            .map(|answers| if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() });
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// A host half that runs in this process until it is dropped.
pub(crate) struct Rig {
    pub(crate) dir: Dir,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<()>,
    _reload: watch::Sender<()>,
}

impl Rig {
    pub(crate) async fn with_rules(targets: &[&str], names: Arc<FakeNames>) -> Self {
        let dir = Dir::new();
        let rules = Rules::Sets(vec![dir.rules("rules.yaml", targets)]);
        Self::start(dir, rules, names, |_| {}).await
    }

    pub(crate) async fn unlimited(names: Arc<FakeNames>) -> Self {
        Self::start(Dir::new(), Rules::Unlimited, names, |_| {}).await
    }

    pub(crate) async fn start(
        dir: Dir,
        rules: Rules,
        names: Arc<FakeNames>,
        change: impl FnOnce(&mut HostOptions),
    ) -> Self {
        let mut options = HostOptions {
            egress: Listen::Unix(dir.socket()),
            logs: None,
            cid: None,
            ingress: Vec::new(),
            rules,
            health: None,
            connections: 16_384,
            drain: Duration::ZERO,
        };
        change(&mut options);
        let host = Host::bind(options, names).await.unwrap();
        let (reload, reloaded) = watch::channel(());
        let stop = CancellationToken::new();
        let running = tokio::spawn(host.run(tokio::io::sink(), reloaded, stop.clone()));
        Self { dir, stop, running, _reload: reload }
    }

    /// The enclave's end, which lets pass what is listed.
    pub(crate) fn egress(&self, allowed: &[&str]) -> Egress {
        egress(&self.dir.socket(), allowed)
    }

    /// Bytes to the egress port, and everything that comes back until it closes.
    pub(crate) async fn say(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.dir.socket()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

pub(crate) fn egress(socket: &Path, allowed: &[&str]) -> Egress {
    let rule = |text: &&str| Rule::new(Action::Allow, text.parse().unwrap(), "test");
    let policy = EgressPolicy::new(allowed.iter().map(rule).collect()).unwrap();
    Egress::new(policy, HashMap::new(), Outer::Host(HostLink::new(Dial::Unix(socket.to_owned()))))
}

/// Says back everything, and ends when its caller has.
pub(crate) async fn echo(address: &str) -> SocketAddr {
    // Room for everybody who comes at once: a full queue is another test's.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address.parse().unwrap()).unwrap();
    let listener = socket.listen(4096).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    address
}

/// The code of a refusal.
pub(crate) fn code_of(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["status"], status);
    (status, body["code"].as_str().unwrap().to_owned())
}
