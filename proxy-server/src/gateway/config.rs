use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};

use crate::proxy_protocol::LoadBalancers;

/// How long the gateway waits and how much it holds. Every wait has a deadline
/// and everything that grows has a bound; the defaults suit a proxy of its own machine.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// From the first byte of a connection to the end of its handshake.
    pub handshake_timeout: Duration,
    /// From the first byte of a request head to its last.
    pub head_timeout: Duration,
    /// A connection without a tunnel ends after this long.
    pub idle_timeout: Duration,
    /// One attempt at one address of a destination.
    pub connect_timeout: Duration,
    /// One name lookup.
    pub resolve_timeout: Duration,
    /// How long a name's addresses are used again; they are checked each time.
    pub resolve_cache: Duration,
    /// An HTTP/2 connection is asked for a sign of life this often, and TCP connections too.
    pub keepalive: Duration,
    /// How long open tunnels may go on when the proxy stops.
    pub drain: Duration,
    /// Handshakes at one time. One more throws out the oldest.
    pub max_handshakes: usize,
    /// Connections at one time, those in their handshake included.
    pub max_connections: usize,
    /// Streams of one HTTP/2 connection.
    pub max_streams: u32,
    /// Addresses of the proxy's own listeners: no destination leads to them, whatever it is called.
    pub own_addresses: Vec<SocketAddr>,
    /// Whose headers of the PROXY protocol are believed, and demanded.
    pub load_balancers: LoadBalancers,
    /// Names that are not looked up. The address rules hold for them too.
    pub static_hosts: HashMap<String, Vec<IpAddr>>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(90),
            connect_timeout: Duration::from_secs(5),
            resolve_timeout: Duration::from_secs(3),
            resolve_cache: Duration::from_secs(5),
            keepalive: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            max_handshakes: 1024,
            max_connections: 65_536,
            max_streams: 1024,
            own_addresses: Vec::new(),
            load_balancers: LoadBalancers::default(),
            static_hosts: HashMap::new(),
        }
    }
}

/// What the gateway shows and what it trusts.
#[derive(Debug)]
pub struct GatewayTls {
    /// The server's certificate and those of its issuers.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// Roots of the session CA: their names and keys.
    pub session_roots: Vec<TrustAnchor<'static>>,
}
