//! The other end of a link, for tests: everything but what it answers.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use crate::{
    host::wire::Answer,
    transport::{Stream, UnixSocket},
    trunk::Trunk,
};

/// Takes connections as a host half does, and gives each lane of them to `play`.
pub(in crate::egress) fn serve<P, F>(listener: UnixListener, play: P)
where
    P: Fn(Stream) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let play = Arc::new(play);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let play = play.clone();
            tokio::spawn(async move {
                // Whoever is not heard over a lane is not heard at all.
                let Ok(trunk) = trunk(connection).await else { return };
                while let Some(lane) = trunk.take().await {
                    tokio::spawn(play(Stream::Lane(lane)));
                }
            });
        }
    });
}

/// Makes a connection a trunk; gives it back where it was asked for something else.
pub(super) async fn trunk(mut connection: UnixStream) -> Result<Trunk, UnixStream> {
    if head(&mut connection).await.as_deref() != Some(TRUNK) {
        return Err(connection);
    }
    connection.write_all(&Answer::Trunk.encode()).await.unwrap();
    let connection = UnixSocket::new(connection.into_std().unwrap()).unwrap();
    let (trunk, driver) = Trunk::taking(Stream::Unix(connection), Bytes::new());
    tokio::spawn(driver);
    Ok(trunk)
}

/// The next head; `None` at the end.
pub(super) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(String::from_utf8(head).unwrap())
}

const TRUNK: &str =
    "GET /v1/trunk HTTP/1.1\r\nHost: host\r\nConnection: Upgrade\r\nUpgrade: countersign-trunk/1\r\n\r\n";
