//! Real programs with the environment that `run` gives them, through the local proxy to
//! real servers. The servers are reached by the name `host`, since programs go to
//! addresses of loopback without a proxy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod local;

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use local::{Local, PATIENCE};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    process::Command,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// A server for http:// and one for https://, which say what they were asked.
struct Servers {
    http: SocketAddr,
    https: SocketAddr,
    /// Connections to the first one.
    connections: Arc<AtomicUsize>,
    certificate: PathBuf,
}

impl Servers {
    async fn start(name: &str) -> Self {
        let certified = rcgen::generate_simple_self_signed(["host".to_owned()]).unwrap();
        let certificate =
            std::env::temp_dir().join(format!("countersign-clients-{}-{name}.pem", std::process::id()));
        std::fs::write(&certificate, certified.cert.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(tls));
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (plain, secure) = (listen().await.unwrap(), listen().await.unwrap());
        let (http, https) = (plain.local_addr().unwrap(), secure.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = plain.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = secure.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move { serve(tls.accept(stream).await.unwrap()).await });
            }
        });
        Self { http, https, connections, certificate }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.certificate);
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) {
    let answer = service_fn(async |request: Request<Incoming>| {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
        let text = format!("{} {} {} {sum}\n", parts.method, parts.uri, body.len());
        Ok::<_, Infallible>(Response::new(text))
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

/// Runs a program with the variables that `run` sets; `None` where it is not installed.
async fn run(local: &Local, program: &str, arguments: &[&str]) -> Option<Output> {
    let proxy = format!("http://{}", local.address);
    let mut command = Command::new(program);
    for (name, value) in [
        ("http_proxy", &*proxy),
        ("https_proxy", &*proxy),
        ("all_proxy", &*proxy),
        ("no_proxy", "localhost,127.0.0.1,::1"),
    ] {
        command.env(name, value).env(name.to_uppercase(), value);
    }
    let output = timeout(PATIENCE, command.args(arguments).kill_on_drop(true).output());
    match output.await.expect("the program ends in time") {
        Ok(output) => Some(output),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED: {program} is not installed");
            None
        }
        Err(why) => panic!("{program}: {why}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn curl_asks_for_urls_on_one_connection_and_tunnels_tls() {
    let (local, servers) = (Local::start().await, Servers::start("curl").await);
    let (one, two) = (
        format!("http://host:{}/one", servers.http.port()),
        format!("http://host:{}/two", servers.http.port()),
    );
    let Some(output) = run(&local, "curl", &["-sS", &one, &two]).await else { return };
    assert_eq!(text(&output.stdout), "GET /one 0 0\nGET /two 0 0\n", "{}", text(&output.stderr));
    assert_eq!(servers.connections.load(Ordering::SeqCst), 1, "curl's second request went the same way");

    let secure = format!("https://host:{}/three", servers.https.port());
    let certificate = servers.certificate.to_str().unwrap();
    let output = run(&local, "curl", &["-sS", "--cacert", certificate, &secure]).await.unwrap();
    assert_eq!(text(&output.stdout), "GET /three 0 0\n", "{}", text(&output.stderr));
    // HTTP/1.0 to the proxy, for a tunnel and for a URL.
    let address = local.address.to_string();
    let old = ["-sS", "--proxy1.0", &address, "--cacert", certificate, &secure];
    let output = run(&local, "curl", &old).await.unwrap();
    assert_eq!(text(&output.stdout), "GET /three 0 0\n", "{}", text(&output.stderr));
    let output = run(&local, "curl", &["-sS", "--http1.0", &one]).await.unwrap();
    assert_eq!(text(&output.stdout), "GET /one 0 0\n", "{}", text(&output.stderr));
    let output = run(&local, "curl", &["-sS", "--proxytunnel", &one]).await.unwrap();
    assert_eq!(text(&output.stdout), "GET /one 0 0\n", "{}", text(&output.stderr));
}

/// Over a megabyte curl says `Expect: 100-continue`; from a pipe it sends chunks.
#[tokio::test]
async fn curl_uploads() {
    let (local, servers) = (Local::start().await, Servers::start("upload").await);
    let file = std::env::temp_dir().join(format!("countersign-upload-{}", std::process::id()));
    std::fs::write(&file, vec![7; 3 << 20]).unwrap();
    let url = format!("http://host:{}/up", servers.http.port());
    let path = file.to_str().unwrap();
    let expected = format!("PUT /up {} {}\n", 3 << 20, 7 * (3 << 20));
    for upload in [vec!["-sS", "-T", path], vec!["-sS", "-H", "Transfer-Encoding: chunked", "-T", path]] {
        let Some(output) = run(&local, "curl", &[&upload[..], &[&url]].concat()).await else { break };
        assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn curl_is_told_why_not() {
    let local = Local::start().await;
    let Some(output) = run(&local, "curl", &["-sS", "http://blocked.example/"]).await else { return };
    assert!(
        text(&output.stdout).contains("blocked.example:80: no rule allows it"),
        "{}",
        text(&output.stdout)
    );
    let output = run(&local, "curl", &["-sSv", "https://blocked.example/"]).await.unwrap();
    assert_eq!(output.status.code(), Some(56));
    let said = text(&output.stderr);
    let status = "< Proxy-Status: countersign; error=http_request_denied; details=\"blocked.example:443: no rule allows it\"";
    assert!(said.lines().any(|line| line.trim_end() == status), "{said}");
}

#[tokio::test]
async fn python_reads_the_environment() {
    let (local, servers) = (Local::start().await, Servers::start("python").await);
    let script = format!(
        "import ssl, urllib.request, http.client\n\
         tls = ssl.create_default_context(cafile={:?})\n\
         get = lambda url: print(urllib.request.urlopen(url, context=tls).read().decode(), end='')\n\
         get('http://host:{http}/a')\n\
         get('https://host:{https}/b')\n\
         proxy = http.client.HTTPConnection('127.0.0.1', {proxy})\n\
         for path in 'cd':\n\
         \x20   proxy.request('POST', 'http://host:{http}/' + path, iter([b'x', b'yz']), encode_chunked=True,\n\
         \x20       headers={{'Transfer-Encoding': 'chunked'}})\n\
         \x20   print(proxy.getresponse().read().decode(), end='')\n\
         try: get('http://blocked.example/')\n\
         except urllib.error.HTTPError as error: print(error.code, error.read().decode())\n",
        servers.certificate,
        http = servers.http.port(),
        https = servers.https.port(),
        proxy = local.address.port(),
    );
    let Some(output) = run(&local, "python3", &["-c", &script]).await else { return };
    let said = text(&output.stdout);
    let (answers, refusal) =
        said.split_once("403").unwrap_or_else(|| panic!("{said}{}", text(&output.stderr)));
    assert_eq!(answers, "GET /a 0 0\nGET /b 0 0\nPOST /c 3 363\nPOST /d 3 363\n");
    assert!(refusal.contains("blocked.example:80: no rule allows it"), "{refusal}");
}

#[tokio::test]
async fn wget_reads_the_environment() {
    let (local, servers) = (Local::start().await, Servers::start("wget").await);
    let plain = format!("http://host:{}/a", servers.http.port());
    let secure = format!("https://host:{}/b", servers.https.port());
    let certificate = format!("--ca-certificate={}", servers.certificate.display());
    let Some(output) = run(&local, "wget", &["-qO-", &certificate, &plain, &secure]).await else { return };
    assert_eq!(text(&output.stdout), "GET /a 0 0\nGET /b 0 0\n", "{}", text(&output.stderr));
}
