use std::{fmt::Write as _, io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::door::Place;
use crate::transport::Stream;

/// Reads lines of one connection until it ends, and queues them. When the queue
/// is full the enclave waits; nothing is lost here.
pub(super) async fn read(
    mut stream: Stream,
    queue: mpsc::Sender<String>,
    stop: CancellationToken,
    place: Place,
) {
    let reading = async {
        let mut lines = Lines::default();
        let mut chunk = BytesMut::with_capacity(CHUNK);
        loop {
            chunk.clear();
            let ended = !matches!(stream.read_buf(&mut chunk).await, Ok(1..));
            let mut found = lines.feed(&chunk);
            if ended {
                found.extend(lines.rest());
            }
            for line in found {
                if queue.send(line).await.is_err() {
                    return;
                }
            }
            if ended {
                return;
            }
        }
    };
    stop.run_until_cancelled(reading).await;
    drop(place);
}

/// Writes queued lines, no faster than [`RATE`].
pub(super) async fn write(
    mut lines: mpsc::Receiver<String>,
    mut out: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut allowance = Allowance { bytes: BURST, since: Instant::now() };
    while let Some(line) = lines.recv().await {
        allowance.spend(line.len()).await;
        out.write_all(line.as_bytes()).await?;
        if lines.is_empty() {
            out.flush().await?;
        }
    }
    out.flush().await
}

/// What was not written may be written later, up to [`BURST`].
struct Allowance {
    bytes: f64,
    since: Instant,
}

impl Allowance {
    async fn spend(&mut self, bytes: usize) {
        let now = Instant::now();
        self.bytes = (self.bytes + RATE * now.duration_since(self.since).as_secs_f64()).min(BURST);
        self.since = now;
        self.bytes -= bytes as f64;
        if self.bytes < 0.0 {
            sleep(Duration::from_secs_f64(-self.bytes / RATE)).await;
        }
    }
}

/// Bytes to lines that a terminal, a file and a collector can take from a stranger.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
    /// Bytes of this line that found no room.
    over: usize,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            let room = MAX_LINE - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            self.over += text.len().saturating_sub(room);
            if ends {
                found.push(self.take());
            }
        }
        found
    }

    /// What came after the last line's end.
    fn rest(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let mut text = escape(line);
        if self.over > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, " [{} bytes more]", self.over);
        }
        text.push('\n');
        self.line.clear();
        self.over = 0;
        text
    }
}

/// Control characters, and what is no UTF-8, as `\u{1b}` and `\xff`: an escape
/// sequence must not reach the terminal of whoever reads the log.
fn escape(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() && char != '\t' {
                text.extend(char.escape_default())
            } else {
                text.push(char)
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The queue between readers and the writer.
pub(super) fn queue() -> (mpsc::Sender<String>, mpsc::Receiver<String>) {
    mpsc::channel(QUEUE)
}

/// Of one line, in bytes, before control characters are escaped.
const MAX_LINE: usize = 16 * 1024;

const CHUNK: usize = 16 * 1024;

/// Lines that wait for the writer.
const QUEUE: usize = 64;

/// Bytes a second. More than a person reads, less than fills a disk unseen.
const RATE: f64 = 1024.0 * 1024.0;

/// Bytes at once after a pause.
const BURST: f64 = 4.0 * RATE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_made_harmless() {
        let mut lines = Lines::default();
        assert_eq!(lines.feed(b"one\r\ntw"), ["one\n"]);
        assert_eq!(lines.feed(b"o\n\n"), ["two\n", "\n"]);
        assert_eq!(lines.feed(b"\x1b[2Jx\ty\x00\xff\xc3\xa9\n"), ["\\u{1b}[2Jx\ty\\u{0}\\xff\u{e9}\n"]);
        assert_eq!(lines.feed(b"rest"), [] as [&str; 0]);
        assert_eq!((lines.rest(), lines.rest()), (Some("rest\n".to_owned()), None));
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let mut lines = Lines::default();
        for _ in 0..4 {
            assert_eq!(lines.feed(&[b'x'; 10_000]), [] as [&str; 0]);
            assert!(lines.line.len() <= MAX_LINE);
        }
        let found = lines.feed(b"\nnext\n");
        assert_eq!(
            found,
            [format!("{} [{} bytes more]\n", "x".repeat(MAX_LINE), 40_000 - MAX_LINE), "next\n".into()]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_the_rate_waits_and_is_not_lost() {
        let (sender, receiver) = queue();
        let begun = Instant::now();
        let writing = tokio::spawn(async move {
            let mut out = Vec::new();
            write(receiver, &mut out).await.map(|()| out.len())
        });
        let line = "x".repeat(16 * 1024);
        for _ in 0..64 * 10 {
            sender.send(line.clone()).await.unwrap();
        }
        drop(sender);
        assert_eq!(writing.await.unwrap().unwrap(), 10 << 20);
        // 10 MiB, of which 4 at once: six seconds, in virtual time.
        assert_eq!(begun.elapsed().as_secs(), 6);
    }
}
