use std::{fmt, io, str::FromStr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::Step;
use crate::transport::{Dial, DialError, TransportError};

/// The sign of life that `nitro-cli` waits for after starting an enclave: one
/// byte to the parent, which sends it back (AWS's own init does it so).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// Sent there.
    At(Dial),
    /// Nobody waits for it.
    None,
}

impl Default for Heartbeat {
    /// Port 9000 of the parent, CID 3.
    fn default() -> Self {
        Self::At(Dial::Vsock { cid: 3, port: 9000 })
    }
}

impl Heartbeat {
    /// Sends it and waits for the echo, [`DEADLINE`] in all.
    ///
    /// # Errors
    /// [`HeartbeatError`].
    pub async fn send(&self) -> Result<Step, HeartbeatError> {
        let Self::At(dial) = self else { return Ok(Step::NotNeeded) };
        timeout(DEADLINE, exchange(dial)).await.map_err(|_| HeartbeatError::Deadline)??;
        Ok(Step::Done("the parent knows that the enclave has booted".to_owned()))
    }
}

async fn exchange(dial: &Dial) -> Result<(), HeartbeatError> {
    let mut stream = dial.connect().await.map_err(HeartbeatError::Dial)?;
    let echo = async {
        stream.write_u8(BEAT).await?;
        stream.flush().await?;
        stream.read_u8().await
    };
    match echo.await.map_err(HeartbeatError::Io)? {
        BEAT => Ok(()),
        actual => Err(HeartbeatError::Echo { actual }),
    }
}

/// `none`, or a transport.
impl FromStr for Heartbeat {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        if text == "none" { Ok(Self::None) } else { text.parse().map(Self::At) }
    }
}

/// Why nobody knows that this enclave has booted.
#[derive(Debug)]
pub enum HeartbeatError {
    /// No connection to the parent.
    Dial(DialError),
    /// It broke.
    Io(io::Error),
    /// Another byte came back.
    Echo {
        /// This one.
        actual: u8,
    },
    /// Nothing came back in time.
    Deadline,
}

impl fmt::Display for HeartbeatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(_) => f.write_str("the parent takes no heartbeat"),
            Self::Io(_) => f.write_str("the heartbeat broke off"),
            Self::Echo { actual } => write!(f, "the parent echoed {actual:#04x}, expected {BEAT:#04x}"),
            Self::Deadline => write!(f, "the parent echoed no heartbeat within {DEADLINE:?}"),
        }
    }
}

impl std::error::Error for HeartbeatError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dial(why) => Some(why),
            Self::Io(why) => Some(why),
            Self::Echo { .. } | Self::Deadline => None,
        }
    }
}

/// The byte of AWS's init.
const BEAT: u8 = 0xb7;

const DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn parent(answer: &'static [u8]) -> Result<Step, HeartbeatError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let heartbeat = format!("tcp:{}", listener.local_addr().unwrap()).parse::<Heartbeat>().unwrap();
        let parent = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), 0xb7);
            stream.write_all(answer).await.unwrap();
        };
        tokio::join!(heartbeat.send(), parent).0
    }

    #[tokio::test]
    async fn the_echo_must_be_the_same_byte() {
        assert!(matches!(parent(&[0xb7]).await, Ok(Step::Done(_))));
        let error = parent(&[0xb8]).await.unwrap_err();
        assert_eq!(error.to_string(), "the parent echoed 0xb8, expected 0xb7");
        assert!(matches!(parent(&[]).await, Err(HeartbeatError::Io(_))));
    }

    #[tokio::test]
    async fn nobody_is_told_when_nobody_waits() {
        assert_eq!("none".parse::<Heartbeat>().unwrap().send().await.unwrap(), Step::NotNeeded);
        assert!("vsock".parse::<Heartbeat>().is_err());
    }
}
