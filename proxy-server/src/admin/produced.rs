use std::{io, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::{sync::mpsc, time::timeout};

/// A body whose pieces are made in a task of their own, each once the one before it was taken.
///
/// Whoever takes nothing keeps nothing here. HTTP/2 lets a reader leave his window shut for ever
/// (RFC 9113 section 6.9): a body that makes its pieces when it is asked for them is asked no more,
/// and would neither see that its reader's rights are gone nor give back its place.
pub(super) fn produced<F>(patience: Duration, make: impl FnOnce(Pieces) -> F) -> Body
where
    F: Future<Output = ()> + Send + 'static,
{
    let (pieces, made) = mpsc::channel(1);
    tokio::spawn(make(Pieces { pieces, patience }));
    let frames = unfold(Some(made), |made| async move {
        let mut made = made?;
        match made.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(Frame::data(bytes)), Some(made))),
            Some(Piece::End) => None,
            None => Some((Err(io::Error::from(io::ErrorKind::BrokenPipe)), None)),
        }
    });
    Body::new(StreamBody::new(frames))
}

/// Where a body's pieces go. Dropped without [`Self::end`], the body is broken off.
pub(super) struct Pieces {
    pieces: mpsc::Sender<Piece>,
    patience: Duration,
}

enum Piece {
    Bytes(Bytes),
    End,
}

/// The reader is gone, or takes nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotTaken;

impl Pieces {
    /// Returns when the piece was taken.
    pub(super) async fn give(&self, bytes: Bytes) -> Result<(), NotTaken> {
        self.pieces.send(Piece::Bytes(bytes)).await.map_err(|_| NotTaken)?;
        // There is room for the next one only then.
        match timeout(self.patience, self.pieces.reserve()).await {
            Ok(Ok(_room)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NotTaken),
        }
    }

    /// The last piece was given. Whatever else the task holds is given back before: its reader
    /// hears of the end at once.
    pub(super) async fn end(self) {
        // Every piece was taken, so there is room; a reader who is gone needs no end.
        let _ = self.pieces.send(Piece::End).await;
    }

    /// Returns when the reader is gone.
    pub(super) async fn abandoned(&self) {
        self.pieces.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http_body_util::BodyExt;
    use tokio::{sync::oneshot, time::Instant};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_holds_nothing() {
        let (over, ended) = oneshot::channel();
        let started = Instant::now();
        let body = produced(PATIENCE, |pieces| async move {
            let given = pieces.give("one".into()).await;
            over.send((given, started.elapsed())).unwrap();
        });
        let ended = timeout(2 * PATIENCE, ended).await.expect("the task ends").unwrap();
        assert_eq!(ended, (Err(NotTaken), PATIENCE), "nobody polled it");
        let mut body = body;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        body.frame().await.unwrap().unwrap_err();
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn pieces_come_one_by_one_and_only_an_end_is_an_end() {
        let made = Arc::new(Mutex::new(0));
        let count = Arc::clone(&made);
        let mut body = produced(PATIENCE, |pieces| async move {
            for number in 1..=3 {
                *count.lock().unwrap() = number;
                pieces.give(number.to_string().into()).await.unwrap();
            }
            pieces.end().await;
        });
        for number in 1..=3 {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), number.to_string());
            assert!(*made.lock().unwrap() <= number, "nothing is made ahead of its reader");
        }
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_who_leaves_is_noticed() {
        let (over, ended) = oneshot::channel();
        let body = produced(PATIENCE, |pieces| async move {
            pieces.abandoned().await;
            over.send(pieces.give("one".into()).await).unwrap();
        });
        drop(body);
        assert_eq!(ended.await.unwrap(), Err(NotTaken));
    }
}
