use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::transport::{Address, DialError, Stream};

/// Connects to the first of the addresses that takes it. The next one is tried
/// when one failed or was silent for [`STAGGER`] (RFC 8305 section 5), so that a
/// dead address among living ones costs a quarter of a second.
///
/// # Errors
/// [`Unreachable`], of the attempt that failed last.
pub(super) async fn dial(addresses: &[IpAddr], port: u16) -> Result<(Stream, IpAddr), Unreachable> {
    match addresses {
        // Its own deadline is the shorter one: no task and no timer more.
        [only] => connect(*only, port).await.map(|stream| (stream, *only)),
        several => timeout(DEADLINE, race(several, port)).await.unwrap_or(Err(Unreachable::Deadline)),
    }
}

/// Why no connection came about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreachable {
    /// Every address refused.
    Refused(String),
    /// None answered in time.
    Deadline,
}

async fn race(addresses: &[IpAddr], port: u16) -> Result<(Stream, IpAddr), Unreachable> {
    let mut waiting = addresses.iter();
    // Dropped at return, and with it every attempt that is still under way.
    let mut attempts = JoinSet::new();
    let mut last = Unreachable::Deadline;
    loop {
        let next = waiting.next();
        if let Some(&ip) = next {
            attempts.spawn(async move { connect(ip, port).await.map(|stream| (stream, ip)) });
        }
        let finished = match next {
            Some(_) => tokio::select! {
                finished = attempts.join_next() => finished,
                () = sleep(STAGGER) => continue,
            },
            None => attempts.join_next().await,
        };
        match finished {
            None => return Err(last),
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(why))) => last = why,
            Some(Err(why)) => last = Unreachable::Refused(why.to_string()),
        }
    }
}

async fn connect(ip: IpAddr, port: u16) -> Result<Stream, Unreachable> {
    Address::Tcp(SocketAddr::new(ip, port)).connect().await.map_err(|error| match error {
        DialError::Connect { why, .. } if why.kind() == io::ErrorKind::TimedOut => Unreachable::Deadline,
        DialError::Connect { why, .. } => Unreachable::Refused(why.to_string()),
        other => Unreachable::Refused(other.to_string()),
    })
}

/// For all addresses together.
const DEADLINE: Duration = Duration::from_secs(10);

/// RFC 8305 section 8: "Connection Attempt Delay", recommended 250 ms.
const STAGGER: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_address_that_refuses_does_not_hide_one_that_takes() {
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses = ["127.0.0.1", "127.0.0.3", "127.0.0.2"].map(|ip| ip.parse().unwrap());
        let (_, dialled) = dial(&addresses, port).await.unwrap();
        assert_eq!(dialled.to_string(), "127.0.0.2");
        assert!(matches!(dial(&addresses[..2], port).await, Err(Unreachable::Refused(_))));
    }
}
