//! Tunnels: how fast they open, and how fast bytes move through one, beside HAProxy, nginx and no proxy.
//!
//! All proxies run at the same time but work one after the other; the load and the upstream share the other core.

pub(crate) mod bytes;
pub(crate) mod opens;
pub(crate) mod way;

use std::slice;

use countersign_protocol::Lease;

use self::{bytes::Direction, way::Way};
use crate::competitor::{Competitor, Kind};
use crate::failure::Failure;
use crate::fleet::{Session, Standing};
use crate::proxy::Proxy;
use crate::report::Report;
use crate::settings::Settings;
use crate::tls::SUITE;
use crate::upstream::Upstream;

/// Runs the part.
///
/// # Errors
/// A tunnel that does not open or carry, or no proxy of ours.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let upstream = Upstream::start().await?;
    let proxy = Proxy::start(settings, "tunnel", upstream.address).await?;
    let haproxy = Competitor::start(Kind::HaProxy, settings, upstream.address).await?;
    let nginx = Competitor::start(Kind::Nginx, settings, upstream.address).await?;
    println!("all over TLS 1.3 with {SUITE}, P-256 certificates, no resumption");

    let session = Session::open(&proxy, Lease::MAX).await?;
    let mut standing = Vec::new();
    for _ in 0..STANDING {
        standing.push(Standing::connect(&proxy, &session, upstream.address).await?);
    }
    let own = Way::own(&proxy, session.client(&proxy, b"http/1.1")?, upstream.address);
    let competitors =
        [("haproxy-mtls", haproxy.as_ref()), ("nginx-mtls", nginx.as_ref())].map(|(name, competitor)| {
            competitor
                .map(|competitor| (name, Way::handshake(competitor), slice::from_ref(&competitor.server)))
        });
    let direct = Way::Direct { upstream: upstream.address };

    let mut opening = vec![
        opens::Contestant::new("ours", Way::Standing(standing), slice::from_ref(&proxy.server)),
        opens::Contestant::new("ours-fresh-mtls", own.clone(), slice::from_ref(&proxy.server)),
    ];
    let mut moving = vec![bytes::Contestant::new("ours", own, slice::from_ref(&proxy.server))];
    for (name, way, server) in competitors.into_iter().flatten() {
        opening.push(opens::Contestant::new(name, way.clone(), server));
        moving.push(bytes::Contestant::new(name, way, server));
    }
    opening.push(opens::Contestant::new("direct", direct.clone(), &[]));
    moving.push(bytes::Contestant::new("direct", direct, &[]));

    opens::run(&mut opening, settings, report).await?;
    upstream.settle(0, crate::tls::PATIENCE).await?;
    for direction in [Direction::Up, Direction::Down] {
        bytes::run(&moving, direction, &upstream, settings, report).await?;
    }
    Ok(())
}

/// Standing connections that tunnels are opened on.
const STANDING: usize = 4;
