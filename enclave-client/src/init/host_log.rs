//! Log lines to the host half, which never hold anything up.
//!
//! The console of an enclave is dark (outside debug mode), so the only way for a
//! line to be read is to leave the enclave. Whoever runs the host can read it:
//! the log holds no secret, and the application's own lines go there only if asked for.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    attest::Backoff,
    log::LogFormat,
    random::Fraction,
    transport::{Dial, Stream},
};

/// Lines that wait for the host half. A full queue drops its oldest, and says how many.
/// What was on its way when the host half went away is lost without a word: nobody acknowledges.
#[derive(Clone, Debug)]
pub struct LogQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    format: LogFormat,
    lines: Mutex<Lines>,
    /// A line came, or the last one left.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: u64,
    /// One is out of the queue and not yet on its way.
    in_hand: bool,
}

impl LogQueue {
    /// An empty queue for lines of one format.
    pub fn new(format: LogFormat) -> Self {
        let shared = Shared { format, lines: Mutex::default(), changed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Adds a line. Never waits.
    pub fn push(&self, mut line: Vec<u8>) {
        if line.len() > MAX_LINE {
            line.truncate(MAX_LINE - 1);
            line.push(b'\n');
        }
        let mut lines = self.lines();
        lines.bytes += line.len();
        lines.waiting.push_back(line);
        while lines.bytes > MAX_BYTES {
            lines.drop_oldest();
        }
        drop(lines);
        self.shared.changed.notify_waiters();
    }

    /// Sends the lines to the host half until `stop`, connecting anew whenever it must.
    pub async fn deliver(self, to: Dial, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        while let Some(opened) = stop.run_until_cancelled(to.connect()).await {
            if let Ok(stream) = opened {
                backoff.reset();
                stop.run_until_cancelled(self.feed(stream)).await;
            }
            // Said nowhere: a line about a lost line would be lost as well.
            let pause = backoff.fail(Fraction::random());
            stop.run_until_cancelled(sleep(pause)).await;
        }
    }

    /// Returns when every line has been sent, or after `patience`: the last words of a program that ends.
    pub async fn drained(&self, patience: Duration) {
        let empty = async {
            loop {
                let changed = self.shared.changed.notified();
                let mut changed = std::pin::pin!(changed);
                changed.as_mut().enable();
                if self.lines().is_empty() {
                    return;
                }
                changed.await;
            }
        };
        // Whoever does not take the lines in time misses them.
        let _ = timeout(patience, empty).await;
    }

    /// Until the connection ends.
    async fn feed(&self, stream: Stream) {
        let (mut reader, mut writer) = split(stream);
        loop {
            let line = tokio::select! {
                biased;
                // The host half has nothing to say: whatever comes, an end most likely, ends this connection.
                _ = reader.read_u8() => return,
                line = self.next() => line,
            };
            let sent = async {
                writer.write_all(&line).await?;
                writer.flush().await
            };
            let sent = timeout(LINE_DEADLINE, sent).await.is_ok_and(|sent| sent.is_ok());
            self.settle(line, sent);
            if !sent {
                return;
            }
        }
    }

    /// The next line, which is in hand until it is settled.
    async fn next(&self) -> Vec<u8> {
        loop {
            let changed = self.shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if let Some(line) = self.take() {
                return line;
            }
            changed.await;
        }
    }

    fn take(&self) -> Option<Vec<u8>> {
        let mut lines = self.lines();
        let line = if lines.dropped > 0 {
            let dropped = std::mem::take(&mut lines.dropped);
            dropped_line(self.shared.format, dropped)
        } else {
            let line = lines.waiting.pop_front()?;
            lines.bytes -= line.len();
            line
        };
        lines.in_hand = true;
        Some(line)
    }

    /// A line that was not sent is the next one again; the host half may see its start twice.
    fn settle(&self, line: Vec<u8>, sent: bool) {
        let mut lines = self.lines();
        lines.in_hand = false;
        if !sent {
            lines.bytes += line.len();
            lines.waiting.push_front(line);
        }
        drop(lines);
        self.shared.changed.notify_waiters();
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn drop_oldest(&mut self) {
        if let Some(line) = self.waiting.pop_front() {
            self.bytes -= line.len();
            self.dropped += 1;
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.dropped == 0 && !self.in_hand
    }
}

fn dropped_line(format: LogFormat, dropped: u64) -> Vec<u8> {
    match format {
        LogFormat::Text => format!("WARN log-lines-dropped: {dropped} lines are missing here\n"),
        LogFormat::Json => format!(
            "{}\n",
            serde_json::json!({ "level": "WARN", "code": "log-lines-dropped", "dropped": dropped })
        ),
    }
    .into_bytes()
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { queue: self.clone(), text: Vec::new() }
    }
}

/// One line being written; it joins the queue when it is dropped.
#[derive(Debug)]
pub struct Line {
    queue: LogQueue,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.queue.push(std::mem::take(&mut self.text));
        }
    }
}

/// What waits while the host half is away: minutes of a busy log.
const MAX_BYTES: usize = 1 << 20;

const MAX_LINE: usize = 16 * 1024;

/// For the host half to take one line.
const LINE_DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncBufReadExt, BufReader},
        net::TcpListener,
    };

    use super::*;

    fn line(text: &str) -> Vec<u8> {
        format!("{text}\n").into_bytes()
    }

    async fn host() -> (TcpListener, Dial) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dial = format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
        (listener, dial)
    }

    #[tokio::test]
    async fn lines_arrive_in_order_and_the_last_ones_before_the_end() {
        let (listener, dial) = host().await;
        let queue = LogQueue::new(LogFormat::Text);
        queue.push(line("before anybody listens"));
        writeln!(queue.make_writer(), "through the writer").unwrap();
        let stop = CancellationToken::new();
        let delivering = tokio::spawn(queue.clone().deliver(dial, stop.clone()));
        let (stream, _) = listener.accept().await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "before anybody listens");
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "through the writer");
        queue.push(line("last words"));
        queue.drained(Duration::from_secs(20)).await;
        stop.cancel();
        delivering.await.unwrap();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "last words");
        assert_eq!(lines.next_line().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_host_half_that_restarts_gets_the_rest() {
        let (listener, dial) = host().await;
        let queue = LogQueue::new(LogFormat::Text);
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        tokio::spawn(queue.clone().deliver(dial, stop));
        for text in ["first", "second"] {
            // It comes back by itself, before there is anything to say.
            let (stream, _) = listener.accept().await.unwrap();
            queue.push(line(text));
            let mut lines = BufReader::new(stream).lines();
            assert_eq!(lines.next_line().await.unwrap().unwrap(), text);
        }
    }

    #[test]
    fn a_full_queue_drops_its_oldest_and_says_so() {
        for (format, expected) in [
            (LogFormat::Text, "WARN log-lines-dropped: 936 lines are missing here\n"),
            (LogFormat::Json, "{\"code\":\"log-lines-dropped\",\"dropped\":936,\"level\":\"WARN\"}\n"),
        ] {
            let queue = LogQueue::new(format);
            for number in 0..1000 {
                let mut long = format!("{number} ").into_bytes();
                long.resize(MAX_LINE * 2, b'x');
                queue.push(long);
            }
            assert_eq!(queue.lines().bytes, MAX_BYTES);
            assert_eq!(String::from_utf8(queue.take().unwrap()).unwrap(), expected);
            let oldest = queue.take().unwrap();
            assert!(oldest.starts_with(b"936 ") && oldest.ends_with(b"x\n"));
            assert_eq!(oldest.len(), MAX_LINE);
        }
    }

    #[test]
    fn a_line_that_was_not_sent_stays_the_first() {
        let queue = LogQueue::new(LogFormat::Text);
        queue.push(line("a"));
        queue.push(line("b"));
        let first = queue.take().unwrap();
        assert!(!queue.lines().is_empty());
        queue.settle(first, false);
        assert_eq!(queue.take().unwrap(), line("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_a_host_half_that_is_away() {
        let queue = LogQueue::new(LogFormat::Text);
        queue.push(line("unheard"));
        let before = tokio::time::Instant::now();
        queue.drained(Duration::from_secs(2)).await;
        assert_eq!(before.elapsed(), Duration::from_secs(2));
    }
}
