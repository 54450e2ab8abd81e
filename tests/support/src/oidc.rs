use std::{
    io::{BufRead, BufReader, Write, stderr},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// A real OpenID provider on a loopback port: `oidc-provider` (certified by the
/// OpenID Foundation) in node, as `tests/oidc/server.mjs` sets it up. It ends
/// with this value.
pub struct OidcProvider {
    /// Its URL.
    pub issuer: String,
    child: Child,
}

impl OidcProvider {
    /// Starts it. `redirects` are where it may send browsers back to. `None`, and a word on standard
    /// error past the capture of test output, when it cannot be had.
    ///
    /// # Panics
    /// It ends, or says nothing, before it is ready.
    pub fn start(redirects: &[&str]) -> Option<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oidc");
        if !directory.join("node_modules/oidc-provider").is_dir() {
            return skipped("no OpenID provider");
        }
        let child = Command::new("node")
            .arg("server.mjs")
            .args(redirects)
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else {
            return skipped("no node");
        };
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (told, ready) = mpsc::channel();
        thread::spawn(move || {
            for issuer in
                lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("ready ").map(str::to_owned))
            {
                // Nobody listens any more when the test is over.
                let _ = told.send(issuer);
            }
        });
        let issuer = ready.recv_timeout(START_DEADLINE).expect("the provider starts");
        Some(Self { issuer, child })
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn skipped<T>(missing: &str) -> Option<T> {
    let said = writeln!(stderr(), "SKIPPED: {missing}; tests/setup/test.sh installs it");
    said.ok().and(None)
}

/// It makes two RSA keys first.
const START_DEADLINE: Duration = Duration::from_secs(60);
