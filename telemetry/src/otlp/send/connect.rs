use std::{io, pin::Pin};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// How bytes reach the collector. TLS, where the endpoint asks for it, goes over this.
///
/// Inside an enclave this is the way out that the policy allows; on a machine it is
/// [`TcpConnect`]. Any `Fn(String, u16) -> Connecting` is one too.
pub trait Connect: Send + Sync + 'static {
    /// Opens a way to a host (a name, or an address without brackets) and port. Has a deadline of its caller's:
    /// it may be dropped at any time.
    fn connect(&self, host: &str, port: u16) -> Connecting;
}

/// A way that is being opened.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Over TCP, names by the system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpConnect;

impl Connect for TcpConnect {
    fn connect(&self, host: &str, port: u16) -> Connecting {
        let host = host.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

impl<F: Fn(String, u16) -> Connecting + Send + Sync + 'static> Connect for F {
    fn connect(&self, host: &str, port: u16) -> Connecting {
        self(host.to_owned(), port)
    }
}
