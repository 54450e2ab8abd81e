use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::BytesMut;
use countersign_protocol::ingress::CallerNonce;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::server::TlsStream;

use super::{
    attestation,
    sniff::{self, After, Verdict},
    tls::Attested,
};
use crate::transport::{self, Stream, set_local};

/// What became of the first bytes.
#[derive(Debug)]
pub(super) enum First {
    /// They are the application's, and these were read already.
    Application(BytesMut),
    /// The caller wanted the attestation and nothing else.
    Ended,
}

/// Answers requests for the attestation until something else comes, or nothing for `wait`.
///
/// # Errors
/// When the connection breaks or does not take an answer in time.
pub(super) async fn first_bytes(
    stream: &mut TlsStream<Stream>,
    attested: &Attested,
    wait: Duration,
) -> io::Result<First> {
    let mut buffer = BytesMut::new();
    for answered in 0..MAX_ANSWERS {
        let (answer, after) = match next_request(stream, &mut buffer, wait).await? {
            Next::Application => return Ok(First::Application(buffer)),
            Next::End if answered == 0 => return Ok(First::Application(buffer)),
            Next::End => break,
            Next::Wrong(why) => (attestation::wrong(why), After::Close),
            Next::Asked { nonce, after } => {
                let (spki, tls) = (attested.key.spki(), stream.get_ref().1);
                (attested.attestation.answer(spki, tls, &nonce, after).await, after)
            }
        };
        let sent = async {
            stream.write_all(&answer).await?;
            stream.flush().await
        };
        timeout(ANSWER_DEADLINE, sent).await??;
        if after == After::Close {
            break;
        }
    }
    close(stream).await;
    Ok(First::Ended)
}

enum Next {
    Application,
    End,
    Wrong(String),
    Asked { nonce: CallerNonce, after: After },
}

/// One request off the buffer. `End`: the caller left with nothing unsaid.
async fn next_request(
    stream: &mut TlsStream<Stream>,
    buffer: &mut BytesMut,
    wait: Duration,
) -> io::Result<Next> {
    let deadline = Instant::now() + wait;
    loop {
        match sniff::judge(buffer) {
            Verdict::Application => return Ok(Next::Application),
            Verdict::Wrong(why) => return Ok(Next::Wrong(why)),
            Verdict::Asked { head_len, nonce, after } => {
                let _head = buffer.split_to(head_len);
                return Ok(Next::Asked { nonce, after });
            }
            Verdict::More => {}
        }
        let room = (sniff::MAX_HEAD - buffer.len().min(sniff::MAX_HEAD)) as u64;
        let mut limited = (&mut *stream).take(room);
        match timeout_at(deadline, limited.read_buf(buffer)).await {
            // A silent connection is the application's to judge: it has limits of its own.
            Err(_) => return Ok(Next::Application),
            Ok(Ok(0)) if buffer.is_empty() => return Ok(Next::End),
            Ok(Ok(0)) => return Ok(Next::Application),
            Ok(read) => read?,
        };
    }
}

/// The application's end of a connection.
///
/// # Errors
/// It does not listen there, or not in time.
pub(crate) async fn connect(port: u16) -> io::Result<Stream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = timeout(CONNECT_DEADLINE, transport::connect(address)).await??;
    set_local(&stream)?;
    Ok(Stream::Tcp(stream))
}

/// Ends a connection in order, as far as the other end lets us.
pub(crate) async fn close<S: AsyncWrite + Unpin>(stream: &mut S) {
    // The other end may be gone already; then nobody misses it.
    let _ = timeout(CLOSE_DEADLINE, stream.shutdown()).await;
}

/// Attestations on one connection; whoever wants more opens another.
const MAX_ANSWERS: usize = 16;

/// For an answer of a few kilobytes to be taken.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Loopback answers at once, unless the application's backlog is full.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
