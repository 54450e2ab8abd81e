use countersign_protocol::Problem;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::PATIENCE;

/// An HTTP/1.1 client that sends whatever it is told, byte for byte.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    /// Read beyond the answer's head.
    spare: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type, lower case; empty without one.
    pub content_type: String,
    /// The body, as long as `content-length` says.
    pub body: Vec<u8>,
}

/// How a connection that gave no answer ended.
#[derive(Debug)]
pub struct Closed(pub Option<std::io::Error>);

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Over a connection.
    pub fn new(stream: S) -> Self {
        Self { stream, spare: Vec::new() }
    }

    /// The connection, for whatever comes after a 200 to CONNECT.
    pub fn into_inner(self) -> (S, Vec<u8>) {
        (self.stream, self.spare)
    }

    /// The connection itself.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// The other side closed.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, sending).await.unwrap().map_err(|error| Closed(Some(error)))
    }

    /// A well-formed `POST`.
    ///
    /// # Errors
    /// No answer.
    pub async fn post(&mut self, path: &str, body: &[u8]) -> Result<Answer, Closed> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: proxy.test\r\ncontent-type: application/cbor\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.exchange(&[head.as_bytes(), body].concat()).await
    }

    /// A well-formed `CONNECT`.
    ///
    /// # Errors
    /// No answer.
    pub async fn connect(&mut self, authority: &str) -> Result<Answer, Closed> {
        self.exchange(format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n").as_bytes()).await
    }

    /// Sends and reads one answer. An answer that comes before everything is sent counts.
    ///
    /// # Errors
    /// No answer.
    pub async fn exchange(&mut self, bytes: &[u8]) -> Result<Answer, Closed> {
        let sent = self.send(bytes).await;
        match self.answer().await {
            Ok(answer) => Ok(answer),
            Err(closed) => sent.and(Err(closed)),
        }
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// The connection ends first.
    pub async fn answer(&mut self) -> Result<Answer, Closed> {
        let (head, content_type, body) = self.message().await?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Answer { status, content_type, body })
    }

    /// Reads one request, as a server: its first line and its body.
    ///
    /// # Panics
    /// The connection ends first.
    pub async fn request(&mut self) -> (String, Vec<u8>) {
        let (head, _, body) = self.message().await.unwrap();
        (head.lines().next().unwrap().to_owned(), body)
    }

    /// Head, media type and body of one message.
    async fn message(&mut self) -> Result<(String, String, Vec<u8>), Closed> {
        let head = loop {
            if let Some(end) = self.spare.windows(4).position(|four| four == b"\r\n\r\n") {
                let body = self.spare.split_off(end + 4);
                break String::from_utf8(std::mem::replace(&mut self.spare, body)).unwrap();
            }
            self.more().await?;
        };
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
            })
        };
        let content_type = header("content-type").unwrap_or_default();
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.spare.len() < length {
            self.more().await?;
        }
        let rest = self.spare.split_off(length);
        let body = std::mem::replace(&mut self.spare, rest);
        Ok((head, content_type, body))
    }

    /// Whether the other side closes without another byte.
    pub async fn closes(&mut self) -> bool {
        self.more().await.is_err()
    }

    async fn more(&mut self) -> Result<(), Closed> {
        let mut buffer = [0; 4096];
        match timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("an answer in time") {
            Ok(0) => Err(Closed(None)),
            Ok(count) => {
                self.spare.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) => Err(Closed(Some(error))),
        }
    }
}

impl Answer {
    /// The refusal in it.
    ///
    /// # Panics
    /// It is none, or not in the form of RFC 9457 that both ports promise.
    #[track_caller]
    pub fn problem(&self) -> Problem {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status, "{problem:?}");
        assert!(!problem.detail.is_empty() && !problem.request_id.is_empty(), "{problem:?}");
        problem
    }

    /// The refusal's status and code.
    #[track_caller]
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.problem().code.into_owned())
    }
}
