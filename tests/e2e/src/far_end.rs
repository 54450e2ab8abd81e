//! A destination whose behaviour the caller chooses, and whose bytes both ends can compute: what was lost, doubled or
//! swapped on the way shows.

use std::{io, net::SocketAddr, time::Duration};

use aws_lc_rs::digest::{Context, SHA256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// What one connection does. Its first 25 bytes say it: a kind, a seed, a length up and a length down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errand {
    /// How the far end behaves.
    pub kind: Kind,
    /// Of the bytes both ways.
    pub seed: u64,
    /// Bytes to the far end.
    pub up: u64,
    /// Bytes from it, after the digest of what it took.
    pub down: u64,
}

/// How the far end behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Takes all, answers with the digest and the bytes down.
    Fair,
    /// The same, a little at a time.
    Slow,
    /// Takes a part, and resets the connection.
    Resets,
    /// Sends every byte back.
    Echo,
}

impl Errand {
    /// Runs it over an open connection; the far end has finished and was right when this is `Ok`.
    ///
    /// # Errors
    /// The connection's. A wrong byte is `InvalidData`.
    pub async fn run(self, stream: &mut TcpStream) -> io::Result<()> {
        let (mut read, mut write) = stream.split();
        let sent = async {
            write.write_all(&self.head()).await?;
            let mut bytes = Bytes::new(self.seed);
            let mut left = self.up;
            while left > 0 {
                let some = bytes.next(left);
                write.write_all(some).await?;
                left -= some.len() as u64;
            }
            // The far end answers only when it has seen this.
            write.shutdown().await
        };
        let taken = async {
            let mut digest = [0; 32];
            read.read_exact(&mut digest).await?;
            if digest != self.digest() {
                return Err(wrong("the far end took other bytes than were sent"));
            }
            let mut bytes = Bytes::new(!self.seed);
            let mut left = self.down;
            let mut room = vec![0; CHUNK];
            while left > 0 {
                let expected = bytes.next(left);
                let room = &mut room[..expected.len()];
                read.read_exact(room).await?;
                if room != expected {
                    return Err(wrong("other bytes came than were given"));
                }
                left -= expected.len() as u64;
            }
            match read.read(&mut room).await? {
                0 => Ok(()),
                _ => Err(wrong("more bytes came than were given")),
            }
        };
        tokio::try_join!(sent, taken).map(|_| ())
    }

    fn head(self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[0] = match self.kind {
            Kind::Fair => b'f',
            Kind::Slow => b's',
            Kind::Resets => b'r',
            Kind::Echo => b'e',
        };
        for (index, number) in [self.seed, self.up, self.down].into_iter().enumerate() {
            head[1 + 8 * index..9 + 8 * index].copy_from_slice(&number.to_be_bytes());
        }
        head
    }

    fn read(head: [u8; HEAD]) -> Option<Self> {
        let kind = match head[0] {
            b'f' => Kind::Fair,
            b's' => Kind::Slow,
            b'r' => Kind::Resets,
            b'e' => Kind::Echo,
            _ => return None,
        };
        let number = |at: usize| head[at..at + 8].try_into().map(u64::from_be_bytes).unwrap_or_default();
        Some(Self { kind, seed: number(1), up: number(9), down: number(17) })
    }

    fn digest(self) -> [u8; 32] {
        let mut digest = Context::new(&SHA256);
        let mut bytes = Bytes::new(self.seed);
        let mut left = self.up;
        while left > 0 {
            let some = bytes.next(left);
            digest.update(some);
            left -= some.len() as u64;
        }
        digest.finish().as_ref().try_into().unwrap()
    }
}

/// Serves errands on a free port of loopback, for as long as the runtime lives.
///
/// # Errors
/// The system's.
pub async fn serve_errands() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // However a connection ends is the caller's to judge.
            tokio::spawn(async move { serve(stream).await });
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await?;
    let errand = Errand::read(head).ok_or_else(|| wrong("no errand"))?;
    if errand.kind == Kind::Echo {
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await?;
        return write.shutdown().await;
    }
    let mut digest = Context::new(&SHA256);
    let mut room = vec![0; CHUNK];
    let mut taken = 0;
    loop {
        let at_once = if errand.kind == Kind::Slow { SLOW } else { CHUNK };
        let read = stream.read(&mut room[..at_once]).await?;
        if read == 0 {
            break;
        }
        digest.update(&room[..read]);
        taken += read as u64;
        match errand.kind {
            Kind::Slow => sleep(PAUSE).await,
            Kind::Resets if taken * 2 >= errand.up => return stream.set_zero_linger(),
            _ => {}
        }
    }
    stream.write_all(digest.finish().as_ref()).await?;
    let mut bytes = Bytes::new(!errand.seed);
    let mut left = errand.down;
    while left > 0 {
        let some = bytes.next(left);
        stream.write_all(some).await?;
        left -= some.len() as u64;
    }
    stream.shutdown().await
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The bytes of a seed: SplitMix64 (Steele, Lea, Flood 2014).
struct Bytes {
    state: u64,
    chunk: Vec<u8>,
}

impl Bytes {
    fn new(seed: u64) -> Self {
        Self { state: seed, chunk: vec![0; CHUNK] }
    }

    /// The next of them, at most `left`.
    fn next(&mut self, left: u64) -> &[u8] {
        for word in self.chunk.chunks_exact_mut(8) {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word.copy_from_slice(&(z ^ (z >> 31)).to_be_bytes());
        }
        &self.chunk[..usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))]
    }
}

const HEAD: usize = 25;
const CHUNK: usize = 16 * 1024;

/// A slow reader: about 800 KB a second.
const SLOW: usize = 4 * 1024;
const PAUSE: Duration = Duration::from_millis(5);
