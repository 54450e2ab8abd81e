use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    drive::{Driven, drive},
    state::{Role, State},
};

/// What a trunk may run over.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection for S {}

/// One end of a trunk. Dropped, it begins and takes no more lanes; those there are go on.
#[derive(Debug)]
pub struct Trunk(Arc<Shared>);

/// What a trunk, its lanes and its driver share.
#[derive(Debug)]
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trunk {
    /// The end that opens lanes, and what moves its bytes until it is over.
    pub fn opening<S: Connection>(over: S) -> (Self, impl Future<Output = ()> + Send + use<S>) {
        Self::new(over, Role::Opens, Bytes::new())
    }

    /// The end that takes lanes; `early` was read from the connection already.
    pub fn taking<S: Connection>(over: S, early: Bytes) -> (Self, impl Future<Output = ()> + Send + use<S>) {
        Self::new(over, Role::Takes, early)
    }

    fn new<S: Connection>(
        over: S,
        role: Role,
        early: Bytes,
    ) -> (Self, impl Future<Output = ()> + Send + use<S>) {
        let shared = Arc::new(Shared(Mutex::new(State::new(role))));
        (Self(shared.clone()), drive(over, Driven(shared), early))
    }

    /// Opens a lane; `None` where this trunk takes no more.
    pub fn open(&self) -> Option<Lane> {
        let number = self.0.state().open()?;
        Some(Lane { shared: self.0.clone(), number })
    }

    /// The next lane that the other end opened; `None` when the connection is over.
    pub async fn take(&self) -> Option<Lane> {
        let number = poll_fn(|cx| self.0.state().poll_take(cx)).await?;
        Some(Lane { shared: self.0.clone(), number })
    }

    /// Whether the connection is over.
    pub fn is_over(&self) -> bool {
        self.0.state().is_over()
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.0.state().retire();
    }
}

/// A stream of bytes over a trunk. Dropped before both directions ended it is reset.
#[derive(Debug)]
pub struct Lane {
    shared: Arc<Shared>,
    number: u32,
}

impl Lane {
    /// Nobody is at its other end any more.
    pub fn is_gone(&self) -> bool {
        self.shared.state().is_gone(self.number)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.state().leave(self.number);
    }
}

impl AsyncRead for Lane {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.shared.state().poll_read(self.number, cx, buf)
    }
}

impl AsyncWrite for Lane {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.state().poll_write(self.number, cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shared.state().shutdown(self.number))
    }
}
