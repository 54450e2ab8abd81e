use std::{
    io,
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::Duration,
};

use clap::ValueEnum;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::unix::pipe::Receiver,
    task::JoinHandle,
    time::timeout,
};
use tracing::info;

/// What becomes of the application's standard output and error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ApplicationOutput {
    /// It writes where this program does
    #[default]
    Inherit,
    /// Each line becomes a line of the log, and goes where the log goes
    Log,
}

impl ApplicationOutput {
    pub(super) fn prepare(self, command: &mut Command) {
        if self == Self::Log {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
    }
}

/// The application's two pipes, read to their ends: a log that is slow or away
/// never makes the application wait.
pub(super) struct Output(Vec<JoinHandle<()>>);

impl Output {
    pub(super) fn of(child: &mut Child) -> io::Result<Self> {
        let pipes = [
            ("stdout", child.stdout.take().map(OwnedFd::from)),
            ("stderr", child.stderr.take().map(OwnedFd::from)),
        ];
        let mut readers = Vec::new();
        for (stream, pipe) in pipes {
            if let Some(pipe) = pipe {
                readers.push(tokio::spawn(log_lines(stream, Receiver::from_owned_fd(pipe)?)));
            }
        }
        Ok(Self(readers))
    }

    /// The rest of the lines. An orphan may hold the pipes open; it is not waited for.
    pub(super) async fn finish(self) {
        for reader in self.0 {
            let stop = reader.abort_handle();
            if timeout(REST, reader).await.is_err() {
                stop.abort();
            }
        }
    }
}

async fn log_lines(stream: &'static str, pipe: Receiver) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut pipe).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => info!(target: "application", stream, "{}", readable(&line)),
        }
    }
}

/// One line as text, without what could pass for another line or command a terminal.
fn readable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let visible = |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    text.trim_end_matches(['\r', '\n']).chars().map(visible).collect()
}

/// A longer line becomes several. Each byte may come out as three, and the whole must still fit in a line
/// of the log's way to the host.
const MAX_LINE: u64 = 4 * 1024;

/// For the last lines of an application that has ended.
const REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_pass_for_something_else() {
        assert_eq!(readable(b"plain\ttext \xc3\xa4\r\n"), "plain\ttext ä");
        assert_eq!(readable(b"\x1b[2Ja\rb\x00\xff"), "\u{fffd}[2Ja\u{fffd}b\u{fffd}\u{fffd}");
    }
}
