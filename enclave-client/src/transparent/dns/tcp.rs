use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Names, answer};
use crate::transport::Setbacks;

/// Answers queries over TCP (RFC 7766) until `stop`; connections over the limit are closed.
pub(in super::super) async fn serve_tcp<N>(listener: TcpListener, names: Arc<N>, stop: CancellationToken)
where
    N: Names + Send + Sync + 'static,
{
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut setbacks = Setbacks::default();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(why) => {
                stop.run_until_cancelled(setbacks.wait("resolver over TCP", &why)).await;
                continue;
            }
        };
        setbacks.over();
        let Ok(permit) = room.clone().try_acquire_owned() else { continue };
        let (names, stop) = (names.clone(), stop.clone());
        tokio::spawn(async move {
            // However it ends: a client that wants more connects again.
            let _ = stop.run_until_cancelled(timeout(LONGEST, converse(stream, &*names))).await;
            drop(permit);
        });
    }
}

async fn converse(mut stream: TcpStream, names: &impl Names) -> io::Result<()> {
    while let Ok(query) = timeout(IDLE, read_query(&mut stream)).await? {
        let Some(reply) = answer(&query, names) else { break };
        let len = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let framed = [&len.to_be_bytes(), &reply[..]].concat();
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
    Ok(())
}

/// Two bytes of length, then the message (RFC 1035 section 4.2.2).
async fn read_query(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = usize::from(stream.read_u16().await?);
    if len > MAX_QUERY {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut query = vec![0; len];
    stream.read_exact(&mut query).await?;
    Ok(query)
}

const MAX_CONNECTIONS: usize = 64;

/// For a query to come whole, and for an answer to be taken (RFC 7766 section 6.2.3 asks for seconds).
const IDLE: Duration = Duration::from_secs(10);

/// For a whole connection: whoever sends one byte at a time does not hold it for ever.
const LONGEST: Duration = Duration::from_secs(60);

const MAX_QUERY: usize = 4096;

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::{Existence, Family, Found};
    use super::*;

    struct Nothing;

    impl Names for Nothing {
        fn address(&self, _: &str, _: Family) -> Found {
            Found::NoName
        }
        fn exists(&self, _: &str) -> Existence {
            Existence::NoName
        }
        fn name_of(&self, _: IpAddr) -> Option<Box<str>> {
            None
        }
    }

    /// A query for the address of `a`, framed.
    const QUERY: &[u8] = &[0, 19, 0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];

    async fn serving() -> (std::net::SocketAddr, tokio_util::sync::DropGuard) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve_tcp(listener, Arc::new(Nothing), stop.clone()));
        (address, stop.drop_guard())
    }

    async fn ask(stream: &mut TcpStream) -> Vec<u8> {
        stream.write_all(QUERY).await.unwrap();
        let len = stream.read_u16().await.unwrap();
        let mut reply = vec![0; len.into()];
        stream.read_exact(&mut reply).await.unwrap();
        reply
    }

    #[tokio::test]
    async fn several_queries_are_answered_on_one_connection() {
        let (address, _stop) = serving().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        for _ in 0..3 {
            // Response, recursion available, NXDOMAIN.
            assert_eq!(ask(&mut stream).await[..4], [0, 9, 0x81, 0x83]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_let_go_and_holds_up_nobody() {
        let (address, _stop) = serving().await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(&QUERY[..5]).await.unwrap();
        let mut other = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut other).await[3], 0x83);
        assert_eq!(slow.read(&mut [0]).await.unwrap(), 0, "closed without an answer");
    }

    #[tokio::test]
    async fn connections_over_the_limit_are_closed() {
        let (address, _stop) = serving().await;
        let mut open = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            ask(&mut stream).await;
            open.push(stream);
        }
        let mut over = TcpStream::connect(address).await.unwrap();
        assert!(matches!(over.read(&mut [0]).await, Ok(0) | Err(_)));
        drop(open.pop());
        // The place is free once the server has seen the end.
        loop {
            let mut next = TcpStream::connect(address).await.unwrap();
            let _ = next.write_all(QUERY).await;
            if matches!(next.read(&mut [0]).await, Ok(1)) {
                break;
            }
        }
    }

    #[tokio::test]
    async fn a_length_without_measure_ends_the_connection() {
        let (address, _stop) = serving().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[0xff, 0xff, 0, 0]).await.unwrap();
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
    }
}
