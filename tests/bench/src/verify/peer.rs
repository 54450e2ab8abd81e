use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::failure::{Context, Failure};
use crate::settings::Settings;

/// A verifier by somebody else: `peer-verify` as a child on this core. `tests/peers/README.md` has the protocol.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) version: String,
    process: Child,
    commands: ChildStdin,
    lines: BufReader<ChildStdout>,
}

/// Starts every peer that takes the document; of each other one it says why it is left out.
///
/// # Errors
/// A peer cannot be spoken to.
pub(super) fn start_all(settings: &Settings, document: &Path, at_ms: u64) -> Result<Vec<Peer>, Failure> {
    let program = settings.checkout.join("tests/peers/target/release/peer-verify");
    if !program.is_file() {
        println!("skipped: all peers, {} is not built", program.display());
        return Ok(Vec::new());
    }
    let mut peers = Vec::new();
    for name in NAMES {
        match Peer::start(name, &program, document, at_ms)? {
            Ok(peer) => peers.push(peer),
            Err(why) => println!("skipped: {name}, {why}"),
        }
    }
    Ok(peers)
}

#[derive(Deserialize)]
struct Ready {
    version: String,
    ok: bool,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Round {
    runs: u64,
    nanos: u64,
}

impl Peer {
    fn start(
        name: &'static str,
        program: &PathBuf,
        document: &Path,
        at_ms: u64,
    ) -> Result<Result<Self, String>, Failure> {
        let mut process = Command::new(program)
            .arg(name)
            .arg(document)
            .arg(at_ms.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context(program.display())?;
        let commands = process.stdin.take().context("peer's input")?;
        let mut lines = BufReader::new(process.stdout.take().context("peer's output")?);
        let Ready { version, ok, error } = read(&mut lines).context(name)?;
        if !ok {
            // It ends by itself.
            let _ = process.wait();
            return Ok(Err(error.unwrap_or_default()));
        }
        Ok(Ok(Self { name, version, process, commands, lines }))
    }

    /// Microseconds of one of `count` verifications.
    ///
    /// # Errors
    /// The peer broke off.
    pub(super) fn turn(&mut self, count: u64) -> Result<f64, Failure> {
        writeln!(self.commands, "run {count}").context(self.name)?;
        let Round { runs, nanos } = read(&mut self.lines).context(self.name)?;
        if runs != count {
            return Err(Failure::new(format!("{}: {runs} verifications instead of {count}", self.name)));
        }
        Ok(nanos as f64 / 1e3 / runs as f64)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read<T: DeserializeOwned>(lines: &mut impl BufRead) -> Result<T, Failure> {
    let mut line = String::new();
    lines.read_line(&mut line).context("no line")?;
    serde_json::from_str(&line).context(format_args!("not understood: {line:?}"))
}

const NAMES: [&str; 5] =
    ["nitro_attest", "nsm-nitro-enclave-utils", "attestation-doc-validation", "qos_nsm", "ttkserver"];
