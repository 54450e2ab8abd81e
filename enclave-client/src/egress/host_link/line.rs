use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    host::wire::{Answer, AnswerError, AnswerHead, MAX_HEAD, Request},
    transport::Stream,
};

/// A connection to the host half, or a lane of one, before its `CONNECT`.
#[derive(Debug)]
pub(super) struct Line(Stream);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The host half closed or broke the connection.
    Gone(io::Error),
    /// What it said is no answer.
    Invalid(AnswerError),
}

impl Line {
    pub(super) fn new(stream: Stream) -> Self {
        Self(stream)
    }

    /// One request and its answer. Not one byte beyond the answer is read: what
    /// follows belongs to whoever gets the stream.
    pub(super) async fn ask(mut self, request: &Request) -> Result<(Self, Answer), Trouble> {
        self.0.write_all(request.to_string().as_bytes()).await.map_err(Trouble::Gone)?;
        let (head, mut body) = self.head(request.shortest_answer()).await?;
        let head = AnswerHead::parse(&head).map_err(Trouble::Invalid)?;
        let stands = match request {
            Request::Connect { .. } => head.status == 200,
            Request::Trunk => head.status == 101,
            Request::Resolve(_) => false,
        };
        let length = if stands { 0 } else { head.length };
        let taken = body.len();
        if taken > length {
            return Err(Trouble::Invalid(AnswerError::Body));
        }
        body.resize(length, 0);
        let rest = body.get_mut(taken..).unwrap_or_default();
        self.0.read_exact(rest).await.map_err(Trouble::Gone)?;
        let answer = match request {
            Request::Connect { .. } => head.connected(&body),
            Request::Trunk => head.trunk(&body),
            Request::Resolve(_) => head.resolved(&body),
        };
        answer.map(|answer| (self, answer)).map_err(Trouble::Invalid)
    }

    /// A head, and what was read of its body: the head of a refusal may be shorter than that of
    /// the answer which lets bytes follow.
    async fn head(&mut self, shortest: usize) -> Result<(Vec<u8>, Vec<u8>), Trouble> {
        let mut head = Vec::with_capacity(256);
        loop {
            let missing = missing(&head, shortest) as u64;
            let read = (&mut self.0).take(missing).read_buf(&mut head).await.map_err(Trouble::Gone)?;
            if read == 0 {
                return Err(Trouble::Gone(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(at) = head.windows(END.len()).position(|window| window == END) {
                let body = head.split_off(at + END.len());
                return Ok((head, body));
            }
            if head.len() >= MAX_HEAD {
                return Err(Trouble::Invalid(AnswerError::TooLong));
            }
        }
    }

    pub(super) fn into_stream(self) -> Stream {
        self.0
    }
}

/// How many bytes a head that begins so needs at least to its empty line. Sockets of three kinds
/// have no common way to look ahead. The usual answer is the shortest one, so this costs one read.
fn missing(head: &[u8], shortest: usize) -> usize {
    match head {
        short if short.len() < shortest => shortest - short.len(),
        [.., b'\r', b'\n', b'\r'] => 1,
        [.., b'\r', b'\n'] => 2,
        [.., b'\r'] => 3,
        _ => 4,
    }
}

/// Of a head.
const END: &[u8] = b"\r\n\r\n";
