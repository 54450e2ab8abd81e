//! The far end of many tunnels in a process of its own: a process may hold 20,000 files where this runs, and three
//! replicas with 10,000 tunnels each have 30,000 destinations.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
};

use crate::failure::{Context, Failure};
use crate::upstream::Upstream;

/// This program as an upstream. It ends with the value, and with this process.
pub(crate) struct FarEnd {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    process: Child,
    input: Option<ChildStdin>,
}

impl FarEnd {
    /// Starts one.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn start() -> Result<Self, Failure> {
        let program = std::env::current_exe().context("this program")?;
        let mut process = Command::new(program)
            .arg(WORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("upstream")?;
        let input = process.stdin.take();
        let output = process.stdout.take().context("upstream")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).context("upstream")?;
        let address = line.trim().parse().context("upstream")?;
        Ok(Self { address, process, input })
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

/// Whether this process is to be an upstream and nothing else.
pub(crate) fn is_meant() -> bool {
    std::env::args_os().nth(1).is_some_and(|word| word == WORD)
}

/// Says where it listens, and serves until its standard input ends.
pub(crate) fn serve() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let ended = runtime.block_on(async {
        let upstream = Upstream::start().await?;
        println!("{}", upstream.address);
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.context("input")
    });
    runtime.shutdown_background();
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const WORD: &str = "serve-upstream";
