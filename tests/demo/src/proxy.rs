use std::{ffi::OsStr, path::PathBuf, time::Duration};

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::sleep;

use crate::{
    child::{Child, Program},
    failure::Failure,
    programs::{Programs, run},
    world::World,
};

/// The running proxy, and the commands that an administrator gives it.
pub(crate) struct Proxy {
    /// The program.
    pub(crate) child: Child,
    /// Port of the attestation listener.
    pub(crate) attestation: u16,
    /// Port of the gateway listener.
    pub(crate) gateway: u16,
    /// Port of the admin API.
    pub(crate) admin: u16,
    program: PathBuf,
    configuration: PathBuf,
}

impl Proxy {
    /// Starts `countersign-proxy serve`; ports come with [`Self::ready`].
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(programs: &Programs, world: &World, configuration: PathBuf) -> Result<Self, Failure> {
        let ready = world.path(READY);
        let arguments: [&OsStr; 5] = [
            "serve".as_ref(),
            "--config".as_ref(),
            configuration.as_ref(),
            "--ready-file".as_ref(),
            ready.as_ref(),
        ];
        let logs = world.path("logs");
        let program = Program { name: "proxy", path: &programs.proxy, logs: &logs, environment: &[] };
        let child = Child::start(&program, &arguments)?;
        Ok(Self {
            child,
            attestation: 0,
            gateway: 0,
            admin: 0,
            program: programs.proxy.clone(),
            configuration,
        })
    }

    /// Waits for the ready file and reads the ports in it.
    ///
    /// # Errors
    /// The proxy ends, or writes something else.
    pub(crate) async fn ready(&mut self, world: &World) -> Result<(), Failure> {
        let path = world.path(READY);
        let text = loop {
            tokio::select! {
                ended = self.child.must_live() => return ended,
                () = sleep(LOOK_AGAIN) => {}
            }
            // It appears whole: the proxy renames it into place.
            if let Ok(text) = std::fs::read(&path) {
                break text;
            }
        };
        let ready: Value = serde_json::from_slice(&text)
            .map_err(|error| Failure::new(format!("JSON in {}", path.display()), error.to_string()))?;
        let port = |key: &str| {
            let address = ready.get(key).and_then(Value::as_str).and_then(|text| text.rsplit(':').next());
            let port = address.and_then(|digits| digits.parse().ok());
            port.ok_or_else(|| {
                Failure::new(format!("\"{key}\" with a port in the ready file"), ready.to_string())
            })
        };
        self.attestation = port("attestation")?;
        self.gateway = port("gateway")?;
        self.admin = port("admin")?;
        Ok(())
    }

    /// `session list`, of one measurement: how many there are, and the highest sequence number.
    ///
    /// # Errors
    /// The command fails.
    pub(crate) async fn sessions(&self, measurement: &str) -> Result<Vec<Value>, Failure> {
        let output = self.command(&["session", "list", "--output", "json"]).await?;
        let list: Value = serde_json::from_slice(&output)
            .map_err(|error| Failure::new("JSON from `session list`", error.to_string()))?;
        let list = list.as_array().cloned().unwrap_or_default();
        Ok(list.into_iter().filter(|session| session["measurement"] == measurement).collect())
    }

    /// Runs a command of the proxy on this installation.
    ///
    /// # Errors
    /// It fails.
    pub(crate) async fn command(&self, words: &[&str]) -> Result<Vec<u8>, Failure> {
        let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        arguments.extend([OsStr::new("--config"), self.configuration.as_ref()]);
        run(&self.program, &arguments).await
    }

    /// When the revocation that is in force now was committed, by the proxy's own
    /// account: it logs a new policy with the time that has passed since.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) async fn revocation_committed(
        &self,
        after: OffsetDateTime,
    ) -> Result<OffsetDateTime, Failure> {
        loop {
            let committed = |line: &Value| {
                let written = OffsetDateTime::parse(line["timestamp"].as_str()?, &Rfc3339).ok()?;
                let passed = Duration::from_millis(line["commit_to_cut_ms"].as_u64()?);
                let ours = line["code"] == "policy-in-force" && written > after;
                // Both are told in whole milliseconds at best.
                ours.then(|| (written - passed).max(after))
            };
            if let Some(moment) = self.log_lines()?.iter().find_map(committed) {
                return Ok(moment);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// The log's lines that are JSON objects, oldest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn log_lines(&self) -> Result<Vec<Value>, Failure> {
        let text = std::fs::read_to_string(self.child.log()).map_err(Failure::system("the proxy's log"))?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

const READY: &str = "ready.json";

/// The file system has no portable way to tell that a file appeared.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
