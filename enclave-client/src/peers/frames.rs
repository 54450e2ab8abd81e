//! Messages over a connection: each behind its length, bounded before anything is kept.

use countersign_protocol::peer::{PeerMessage, frame, frame_length};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{PeerError, ProtocolFault};

/// Reads one whole message; its text or document lies in what is given back.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Received, PeerError> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.map_err(PeerError::Tls)?;
    let length = frame_length(header).map_err(ProtocolFault::Frame)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(PeerError::Tls)?;
    Ok(Received(body))
}

/// Writes one message, and sees that it leaves.
pub(super) async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    message: &PeerMessage<'_>,
) -> Result<(), PeerError> {
    stream.write_all(&frame(message)).await.map_err(PeerError::Tls)?;
    stream.flush().await.map_err(PeerError::Tls)
}

/// The bytes of one message.
pub(super) struct Received(Vec<u8>);

impl Received {
    /// What it says; a refusal is an error wherever it comes.
    pub(super) fn message(&self) -> Result<PeerMessage<'_>, PeerError> {
        match PeerMessage::decode(&self.0).map_err(ProtocolFault::Message)? {
            PeerMessage::Refused(why) => Err(PeerError::RefusedByPeer(why)),
            message => Ok(message),
        }
    }
}
