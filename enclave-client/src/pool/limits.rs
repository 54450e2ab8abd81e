//! The bounds of one pool.

use std::time::Duration;

/// Standing HTTP/2 connections at most.
pub const STANDING: usize = 4;

/// Streams on each before the next connection is opened. The gateway may allow fewer.
pub const STREAMS: usize = 256;

/// Warm HTTP/1.1 connections.
pub const IDLE: usize = 2;

/// Older ones are thrown away: gateways and firewalls drop connections that never speak.
pub const IDLE_AGE: Duration = Duration::from_secs(45);

/// Warm HTTP/1.1 connections are kept only this long after the last tunnel, so
/// that ten thousand idle enclaves do not keep a proxy busy with handshakes.
pub const ACTIVE: Duration = Duration::from_secs(60);

/// How often the pool looks after its connections when nothing happens.
pub const TICK: Duration = Duration::from_secs(5);

/// A connection that dies younger counts as a failure to connect.
pub const YOUNG: Duration = Duration::from_secs(10);

/// One handshake with the gateway.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// Opening a tunnel, every attempt included. The gateway's own deadline for the
/// destination is shorter, so that its answer arrives before this.
pub const OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// Between two pings on a standing connection.
pub const PING_EVERY: Duration = Duration::from_secs(15);

/// A ping that takes longer means that the path is dead.
pub const PING_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes that one stream may have under way: enough for 80 Mbit/s over 100 ms.
pub const STREAM_WINDOW: u32 = 1 << 20;

/// Bytes that one HTTP/2 connection may have under way.
pub const CONNECTION_WINDOW: u32 = 4 << 20;

/// The head of an answer to CONNECT.
pub const MAX_HEAD: usize = 16 * 1024;

/// The problem document in a refusal.
pub const MAX_PROBLEM: usize = 16 * 1024;

/// Sessions that are over and whose tunnels may end by themselves.
pub const RETIRED: usize = 8;
