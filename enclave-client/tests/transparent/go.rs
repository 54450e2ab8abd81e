//! A Go program, static (`CGO_ENABLED=0`): Go's own resolver, which asks for both families at once with EDNS0, and
//! Go's own dialler. `tests/setup/test.sh` builds it from `tests/go`.

use std::{fs, net::Ipv4Addr, path::Path, sync::Arc};

use countersign_enclave::transparent::{Limits, Way};
use countersign_protocol::egress::Action;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{
    enclave::{Enclave, web_server},
    namespace::inside,
    tun::with_tun,
};

const RULES: &[(Action, &str, u16)] = &[
    (Action::Allow, "web.example", 80),
    (Action::Allow, "web.example", 443),
    (Action::Allow, "db.example", 5432),
    (Action::Allow, "*.wild.example", 80),
    (Action::Deny, "evil.wild.example", 80),
];

#[test]
fn by_names() {
    inside("go::by_names", || async {
        let program = Program::start(Way::Listeners).await;
        program.fetches().await;
        program.finds_names().await;
        program.is_refused().await;
        // Whoever refuses is the kernel, so the log has no line of it.
        assert_eq!(program.enclave.logged(&["web.example:81"]), [""; 0]);
        // Nobody is there: the connection stands before that is known, and is reset; now and then so soon that
        // the dialler takes the other family.
        let (code, _, why) = program.run(&["dial", "tcp", "db.example:5432"]).await;
        let reset = [": connection reset by peer", ": broken pipe"];
        assert!(code == Some(1) && reset.iter().any(|end| why.ends_with(end)), "{why}");
        let lines = program.enclave.logged(&["not-opened", "db.example:5432", "Connection refused"]);
        assert!((1..=2).contains(&lines.len()), "{lines:?}");
        program.bursts().await;
    });
}

#[test]
fn by_tun() {
    with_tun("go::by_tun", || async {
        let program = Program::start(Way::Tun).await;
        program.fetches().await;
        program.finds_names().await;
        program.is_refused().await;
        // The dialler tries both families.
        let line = ["not-opened", "web.example:81", "no rule allows it"];
        assert_eq!(program.enclave.logged(&line).len(), 2);
        // Nobody is there: the handshake waits for the way out, and Go sees the truth.
        program
            .fails(
                &["dial", "tcp", "db.example:5432"],
                "dial tcp 198.18.0.2:5432: connect: connection refused",
            )
            .await;
        let line = ["not-opened", "db.example:5432", "Connection refused"];
        assert_eq!(program.enclave.logged(&line).len(), 2);
        program.bursts().await;
    });
}

struct Program {
    enclave: Enclave,
    path: String,
}

impl Program {
    /// In a namespace with nothing but the transparent mode; web.example has port 80, and 443 with TLS.
    async fn start(way: Way) -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let path = repository.join("target/go-program/no-proxy");
        assert!(path.exists(), "{} is missing: run tests/setup/test.sh", path.display());
        // As `run` does: each name that is asked for has listeners.
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
        let enclave = Enclave::start_way("go", Limits::default(), way, RULES).await;
        web_server((Ipv4Addr::LOCALHOST, 80).into(), "hello").await;
        tls_server(&enclave.scratch.path("anchor.pem")).await;
        Self { enclave, path: path.display().to_string() }
    }

    async fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        self.enclave.run(&[&[&*self.path], words].concat()).await
    }

    async fn prints(&self, words: &[&str], expected: &str) {
        let (code, out, why) = self.run(words).await;
        assert_eq!((code, &*out), (Some(0), expected), "{words:?} {why}");
    }

    async fn fails(&self, words: &[&str], expected: &str) {
        let (code, _, why) = self.run(words).await;
        assert_eq!((code, &*why), (Some(1), expected), "{words:?}");
    }

    /// With net/http, plain and over TLS with the name that was asked for; and by hand, in each family.
    async fn fetches(&self) {
        self.prints(&["get", "http://web.example/"], "200 hello\n200 hello").await;
        let anchor = self.enclave.scratch.path("anchor.pem").display().to_string();
        self.prints(&["get", "https://web.example/", &anchor], "200 secret\n200 secret").await;
        for network in ["tcp", "tcp4", "tcp6"] {
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
            self.prints(&["dial", network, "web.example:80"], answer).await;
        }
    }

    /// One query for each family and no second one: each is answered at once, with what it asked for.
    async fn finds_names(&self) {
        for network in ["udp", "tcp"] {
            let asked = |name: &str| {
                let (a, aaaa, edns) = (1, 28, "additional 1");
                format!("{network} {name} type {a}, {edns}\n{network} {name} type {aaaa}, {edns}")
            };
            let found = format!("{}\n198.18.0.1\nfd5c:8b1e:46d0::1", asked("web.example."));
            self.prints(&["lookup", network, "web.example"], &found).await;
            let (code, out, why) = self.run(&["lookup", network, "elsewhere.example."]).await;
            assert_eq!((code, out), (Some(1), asked("elsewhere.example.")));
            assert_eq!(why, "lookup elsewhere.example. on 127.0.0.1:53: no such host");
        }
        self.prints(&["reverse", "198.18.0.1"], "web.example.").await;
        self.fails(&["text", "web.example"], "lookup web.example on 127.0.0.1:53: no such host").await;
    }

    /// A thousand names at once, two queries each. One that was dropped would be sent again, five seconds later.
    async fn bursts(&self) {
        self.prints(&["burst", "1000", "wild.example"], "2000").await;
    }

    /// Denied names do not exist, with the rule in the log; ports, addresses and datagrams are refused.
    async fn is_refused(&self) {
        for (name, rule) in [
            ("nowhere.example", "no rule allows it"),
            ("evil.wild.example", "denied by rules: deny evil.wild.example:80"),
        ] {
            let error = format!("dial tcp: lookup {name} on 127.0.0.1:53: no such host");
            self.fails(&["get", &format!("http://{name}/")], &format!("Get \"http://{name}/\": {error}"))
                .await;
            let lines = self.enclave.logged(&["name-denied", &format!("name=\"{name}\""), rule]);
            assert_eq!(lines.len(), 2, "one for each family: {lines:?}");
        }
        for (words, why) in [
            (["dial", "tcp", "web.example:81"], "dial tcp 198.18.0.1:81: connect: connection refused"),
            (["dial", "tcp", "192.0.2.1:80"], "dial tcp 192.0.2.1:80: connect: network is unreachable"),
            (["dial", "udp", "192.0.2.1:443"], "dial udp 192.0.2.1:443: connect: network is unreachable"),
        ] {
            self.fails(&words, why).await;
        }
        for network in ["udp4", "udp6"] {
            let (code, _, why) = self.run(&["dial", network, "web.example:443"]).await;
            assert!(code == Some(1) && why.ends_with(":443: read: connection refused"), "{network} {why}");
        }
    }
}

/// TLS at 127.0.0.1:443 as web.example, for whoever has the certificate in `anchor`; connections are kept.
async fn tls_server(anchor: &Path) {
    let made = rcgen::generate_simple_self_signed(["web.example".to_owned()]).unwrap();
    fs::write(anchor, made.cert.pem()).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 443)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut head = Vec::new();
                // Until the program leaves.
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").await?;
                    }
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
}
