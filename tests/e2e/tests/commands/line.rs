//! Runs the program as somebody at a terminal would, with nobody's environment.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use countersign_e2e::{PATIENCE, Proxy};
use countersign_test_support::logs;
use tokio::{process::Command, time::timeout};

/// `countersign-proxy`.
pub(crate) const PROXY: &str = env!("CARGO_BIN_EXE_e2e-proxy");

/// One of the two ways to the API.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    options: Vec<String>,
    variables: Vec<(&'static str, String)>,
    directory: PathBuf,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Way {
    /// On the machine, with the configuration of this directory.
    pub(crate) fn machine(directory: &Path) -> Self {
        let config = directory.join("countersign.toml").to_str().unwrap().to_owned();
        Self {
            options: vec!["--config".to_owned(), config],
            variables: Vec::new(),
            directory: directory.to_owned(),
        }
    }

    /// Over the admin port, with this token.
    pub(crate) fn server(proxy: &Proxy, token: &str) -> Self {
        let server = format!("https://localhost:{}", proxy.admin.port());
        let ca = proxy.directory().join("admin.pem").to_str().unwrap().to_owned();
        Self {
            options: Vec::new(),
            variables: vec![
                ("COUNTERSIGN_SERVER", server),
                ("COUNTERSIGN_CA", ca),
                ("COUNTERSIGN_TOKEN", token.to_owned()),
            ],
            directory: proxy.directory().to_owned(),
        }
    }

    /// The same with one variable changed or, for an empty value, gone.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            self.variables.push((name, value.to_owned()));
        }
        self
    }

    /// A token of an admin, made on the machine, and the way over the port with it.
    pub(crate) async fn admin(proxy: &Proxy) -> Self {
        let made = Self::machine(proxy.directory()).say(&["token", "create", "e2e", "--role", "admin"]).await;
        let made = made.good();
        logs::plant("API token", made.trim());
        Self::server(proxy, made.trim())
    }

    /// Runs the words.
    pub(crate) async fn say(&self, words: &[&str]) -> Said {
        self.say_with(words, &[]).await
    }

    /// The same, with something on standard input.
    pub(crate) async fn say_with(&self, words: &[&str], input: &[u8]) -> Said {
        let words = words.iter().copied().chain(self.options.iter().map(String::as_str));
        run(&self.directory, words, &self.variables, input).await
    }
}

/// Runs words without any way: what they say is all there is.
pub(crate) async fn bare(directory: &Path, words: &[&str]) -> Said {
    run(directory, words, &[], &[]).await
}

async fn run(
    directory: &Path,
    words: impl IntoIterator<Item = impl AsRef<OsStr>>,
    variables: &[(&'static str, String)],
    input: &[u8],
) -> Said {
    let mut command = Command::new(PROXY);
    command.args(words).current_dir(directory).env_clear().kill_on_drop(true);
    for (name, value) in variables {
        command.env(name, value);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (_, output) = timeout(PATIENCE, async {
        // A program that has seen enough closes its end.
        tokio::join!(
            async {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stdin, input).await;
                drop(stdin);
            },
            child.wait_with_output()
        )
    })
    .await
    .expect("an end in time");
    let output = output.unwrap();
    logs::keep("command", &output.stderr);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let said =
        Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
    assert!(!said.out.contains('\x1b') && !said.err.contains('\x1b'), "colours are for terminals: {said:?}");
    said
}

impl Said {
    /// What it printed, having done what it was told.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// The same as JSON.
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.good()).unwrap()
    }

    /// What it complained about, with this exit code and nothing printed.
    pub(crate) fn bad(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        self.err
    }
}
