//! Programs as they are, unchanged and unconfigured.

use std::{
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
};

use countersign_enclave::transparent::Limits;
use countersign_test_support::{Durability, PostgresServer};

use super::{
    enclave::{Enclave, forward, web_server},
    namespace::inside,
};

#[test]
fn curl() {
    inside("programs::curl", || async {
        let enclave = Enclave::start("curl", Limits::default()).await;
        web_server((Ipv4Addr::LOCALHOST, 80).into(), "hello").await;
        let curl =
            async |url: &str| enclave.run(&["curl", "--silent", "--show-error", "--noproxy", "*", url]).await;
        let fetched = curl("http://web.example/").await;
        assert_eq!((fetched.0, &*fetched.1), (Some(0), "hello"), "{fetched:?}");
        // Over IPv6 alone, as some programs insist.
        let sixth = enclave.run(&["curl", "-6", "-s", "--noproxy", "*", "http://web.example/"]).await;
        assert_eq!((sixth.0, &*sixth.1), (Some(0), "hello"), "{sixth:?}");

        // A name that is not allowed does not exist: 6 is curl's word for that.
        assert_eq!(curl("http://elsewhere.example/").await.0, Some(6));
        let line = enclave.logged(&["name-denied", "name=\"elsewhere.example\"", "no rule allows it"]);
        assert_ne!(line, [""; 0]);
        assert_eq!(curl("http://evil.wild.example/").await.0, Some(6));
        let rule = "denied by rules: deny evil.wild.example:80";
        assert_ne!(enclave.logged(&["name-denied", "name=\"evil.wild.example\"", rule]), [""; 0]);

        // A port that no rule allows for this name is refused by the kernel: nobody listens (7).
        for port in [81, 22, 5432] {
            assert_eq!(curl(&format!("http://web.example:{port}/")).await.0, Some(7), "{port}");
        }
        // An address by itself has no way at all (7: could not connect).
        let (code, _, why) = curl("http://192.0.2.1/").await;
        assert_eq!(code, Some(7), "{why}");
        // A name that is allowed and leads nowhere: the connection is reset, during connect (7) or
        // after it (56), and the log says why, once for each family that curl tries. Here the name
        // leads back to the resolver, and must not go round in circles.
        let (code, _, why) = curl("http://away.example/").await;
        assert!(matches!(code, Some(7 | 56)), "{code:?} {why}");
        let why = "denied by addresses that stand for names: deny ";
        assert!((1..=2).contains(&enclave.logged(&["not-opened", "away.example:80", why]).len()));
    });
}

#[test]
fn node_fetch() {
    inside("programs::node_fetch", || async {
        let enclave = Enclave::start("node", Limits::default()).await;
        web_server((Ipv4Addr::LOCALHOST, 80).into(), "hello").await;
        let script = "fetch('http://web.example/').then(r => r.text()).then(console.log)";
        let fetched = enclave.run(&["node", "-e", script]).await;
        assert_eq!((fetched.0, &*fetched.1), (Some(0), "hello"), "{fetched:?}");
        let script = "fetch('http://elsewhere.example/').catch(e => console.log(e.cause.code))";
        let refused = enclave.run(&["node", "-e", script]).await;
        assert_eq!((refused.0, &*refused.1), (Some(0), "ENOTFOUND"), "{refused:?}");
    });
}

#[test]
fn psql() {
    inside("programs::psql", || async {
        let Some(postgres) = PostgresServer::start(Durability::Test) else { return };
        let url = postgres.database();
        let directory = url.split("host=").nth(1).and_then(|rest| rest.split('&').next()).unwrap();
        let enclave = Enclave::start("psql", Limits::default()).await;
        forward((Ipv4Addr::LOCALHOST, 5432).into(), Path::new(directory).join(".s.PGSQL.5432")).await;
        let words = ["psql", "-h", "db.example", "-U", "postgres", "-XqAt", "-c", "SELECT 6 * 7"];
        let answered = enclave.run(&words).await;
        assert_eq!((answered.0, &*answered.1), (Some(0), "42"), "{answered:?}");
        // More than any buffer holds, both ways.
        let words = [
            "psql",
            "-h",
            "db.example",
            "-U",
            "postgres",
            "-XqAt",
            "-c",
            "SELECT md5(string_agg(md5(n::text), '')) FROM generate_series(1, 100000) AS n; \
             SELECT repeat('x', 8000000)",
        ];
        let (code, out, why) = enclave.run(&words).await;
        assert_eq!((code, out.len()), (Some(0), 32 + 1 + 8_000_000), "{why}");
    });
}

/// A static program with musl's resolver, which asks for both families at once and knows
/// no nsswitch; nothing in it has ever heard of a proxy.
#[test]
fn a_static_program() {
    inside("programs::a_static_program", || async {
        let enclave = Enclave::start("static", Limits::default()).await;
        web_server((Ipv4Addr::LOCALHOST, 80).into(), "hello").await;
        let source = enclave.scratch.file("get.c", GET_C);
        let binary = enclave.scratch.path("get").display().to_string();
        let built = Command::new("musl-gcc")
            .args(["-static", "-o", &binary])
            .arg(&source)
            .status()
            .expect("musl-gcc is missing: run tests/setup/test.sh");
        assert!(built.success());
        let fetched = enclave.run(&[&binary, "web.example", "80"]).await;
        assert_eq!((fetched.0, fetched.1.lines().last()), (Some(0), Some("hello")), "{fetched:?}");
        let refused = enclave.run(&[&binary, "elsewhere.example", "80"]).await;
        assert_eq!((refused.0, &*refused.1), (Some(1), "Name does not resolve"), "{refused:?}");
    });
}

const GET_C: &str = r#"
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int n, char **word) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    char buffer[4096];
    int error = getaddrinfo(word[1], word[2], &hints, &found);
    if (error) return puts(gai_strerror(error)), 1;
    int fd = socket(found->ai_family, found->ai_socktype, 0);
    if (connect(fd, found->ai_addr, found->ai_addrlen)) return perror("connect"), 2;
    dprintf(fd, "GET / HTTP/1.0\r\n\r\n");
    for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) > 0;) fwrite(buffer, 1, got, stdout);
    return 0;
}
"#;

/// OpenSSH's client, a server of another kind (dropbear), a key exchange, a login.
#[test]
fn ssh() {
    inside("programs::ssh", || async {
        let enclave = Enclave::start("ssh", Limits::default()).await;
        let file = |name: &str| enclave.scratch.path(name).display().to_string();
        let [host_key, key, home, known] = ["host-key", "key", "home", "known-hosts"].map(file);
        let keygen = ["-q", "-t", "ed25519", "-N", "", "-f", &key];
        assert!(Command::new("ssh-keygen").args(keygen).status().unwrap().success());
        let made = Command::new("dropbearkey")
            .args(["-t", "ed25519", "-f", &host_key])
            .output()
            .expect("dropbear is missing: run tests/setup/test.sh");
        let public = String::from_utf8(made.stdout).unwrap();
        let public = public.lines().find(|line| line.starts_with("ssh-ed25519")).unwrap().to_owned();
        std::fs::create_dir_all(format!("{home}/.ssh")).unwrap();
        std::fs::copy(format!("{key}.pub"), format!("{home}/.ssh/authorized_keys")).unwrap();
        enclave.scratch.file("known-hosts", &format!("ssh.example {public}\n"));
        let _server = dropbear(&home, &host_key);

        let files = [format!("UserKnownHostsFile={known}"), format!("IdentityFile={key}")];
        let mut words = vec!["ssh", "-F", "none", "-o", &files[0], "-o", &files[1]];
        words.extend(["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]);
        words.extend(["root@ssh.example", "echo over $SSH_CONNECTION"]);
        let (code, out, why) = enclave.run(&words).await;
        assert_eq!(code, Some(0), "{why}");
        assert!(out.starts_with("over 127.0.0.1 ") && out.ends_with(" 127.0.0.1 22"), "{out}");
    });
}

/// A server on 127.0.0.1:22 to which root logs in with the key in `home`; ready when this returns.
fn dropbear(home: &str, host_key: &str) -> Ended {
    let script = "mount --bind \"$0\" \"$(getent passwd root | cut -d: -f6)\" && exec \"$@\"";
    let mut server = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, home])
        .args([
            "dropbear",
            "-F",
            "-E",
            "-r",
            host_key,
            "-p",
            "127.0.0.1:22",
            "-P",
            &format!("{host_key}.pid"),
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("Not backgrounding")), "dropbear did not start");
    // Read on, so that its log does not block.
    std::thread::spawn(move || lines.for_each(drop));
    Ended(server)
}

/// Killed when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
