use std::{io, net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use super::{Address, DialError, Stream};

/// Connects to the first of several addresses of one name that takes it: "Happy
/// Eyeballs" (RFC 8305). Both families take turns, each attempt has a head start
/// over the next one, and a failure is followed by the next attempt at once. So an
/// address that swallows packets costs a quarter of a second, not the deadline.
///
/// The deadline of each attempt is all there is: 16 addresses are given up after 8.75 s
/// at the latest, one after 5 s. Which of them it was is the second thing in the answer.
///
/// # Errors
/// [`DialError::Connect`] of the attempt that failed last.
pub async fn connect_first(addresses: Vec<SocketAddr>) -> Result<(Stream, SocketAddr), DialError> {
    let mut addresses = in_turns(addresses).into_iter().peekable();
    let mut last = DialError::Resolve { name: String::new(), why: io::ErrorKind::NotFound.into() };
    let mut attempts = JoinSet::new();
    loop {
        match addresses.next() {
            // The only one there is: no task, no timer.
            Some(address) if attempts.is_empty() && addresses.peek().is_none() => {
                return connect(address).await;
            }
            Some(address) => drop(attempts.spawn(connect(address))),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        tokio::select! {
            Some(attempt) = attempts.join_next() => match attempt {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(why)) => last = why,
                // The runtime stops.
                Err(_) => {}
            },
            () = sleep(HEAD_START), if addresses.peek().is_some() => {}
        }
    }
}

async fn connect(address: SocketAddr) -> Result<(Stream, SocketAddr), DialError> {
    Address::Tcp(address).connect().await.map(|stream| (stream, address))
}

/// The resolver's order, but no family waits for all of the other (RFC 8305 section 4).
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == v6_first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut turns = Vec::new();
    loop {
        match (one.next(), other.next()) {
            (None, None) => return turns,
            (first, second) => turns.extend(first.into_iter().chain(second)),
        }
    }
}

/// "Connection Attempt Delay", RFC 8305 section 8.
const HEAD_START: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use socket2::{Domain, Socket, Type};
    use tokio::time::Instant;

    use super::{super::MAX_ADDRESSES, *};

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn refusing() -> SocketAddr {
        listener().1
    }

    /// A listener whose queue is full: the system drops whoever else comes, as a firewall does.
    fn silent() -> (Vec<Socket>, SocketAddr) {
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        full.listen(0).unwrap();
        let address = full.local_addr().unwrap();
        let waiting = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        waiting.connect(&address).unwrap();
        (vec![full, waiting], address.as_socket().unwrap())
    }

    async fn peer(addresses: Vec<SocketAddr>) -> SocketAddr {
        let (stream, address) = connect_first(addresses).await.unwrap();
        let Stream::Tcp(stream) = stream else { panic!("{stream:?}") };
        assert_eq!(stream.peer_addr().unwrap(), address);
        address
    }

    fn why(error: DialError) -> io::ErrorKind {
        let DialError::Connect { why, .. } = error else { panic!("{error:?}") };
        why.kind()
    }

    #[tokio::test]
    async fn the_first_that_takes_it_is_it() {
        let ((_first, first), (_second, second)) = (listener(), listener());
        assert_eq!(peer(vec![first, second]).await, first);
        assert_eq!(peer(vec![refusing(), second]).await, second);
        let gone = refusing();
        let error = connect_first(vec![refusing(), gone]).await.unwrap_err();
        assert_eq!(why(error), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_its_head_start() {
        let ((_full, silent), (_listener, good)) = (silent(), listener());
        let start = Instant::now();
        assert_eq!(peer(vec![silent, good]).await, good);
        assert_eq!(start.elapsed().as_millis(), HEAD_START.as_millis());
    }

    /// docs/host.md says so.
    #[tokio::test(start_paused = true)]
    async fn silent_addresses_are_given_up_in_time() {
        let (_full, silent) = silent();
        for (addresses, milliseconds) in [(1, 5_000), (2, 5_250), (MAX_ADDRESSES, 8_750)] {
            let start = Instant::now();
            let error = connect_first(vec![silent; addresses]).await.unwrap_err();
            assert_eq!((why(error), start.elapsed().as_millis()), (io::ErrorKind::TimedOut, milliseconds));
        }
    }

    #[test]
    fn families_take_turns() {
        let parse = |text: &str| -> Vec<SocketAddr> {
            text.split(' ').map(|ip| SocketAddr::new(ip.parse().unwrap(), 1)).collect()
        };
        assert_eq!(in_turns(parse("::2 ::3 ::4 10.0.0.1 10.0.0.2")), parse("::2 10.0.0.1 ::3 10.0.0.2 ::4"));
        assert_eq!(in_turns(parse("10.0.0.1 ::2 ::3")), parse("10.0.0.1 ::2 ::3"));
    }
}
