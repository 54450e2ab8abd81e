//! Peers: other enclaves, reached and let in through attested mutual TLS.
//!
//! ```text
//!   config/ who a peer may be ──► site.rs ◄── proofs.rs which keys hold a proof (proof.rs), and until when
//!                                   │ a permit for each channel, cut by either
//!   Egress::open ─► outbound.rs ────┤      turns.rs: one proves a key at a time
//!                      keeper.rs    ├─► channel.rs   TLS between the applications' bytes
//!   a port ──────► inbound.rs ──────┘
//!                      │
//!                 exchange.rs  one round: both ends prove what they are    time.rs  by the NSM's clock
//!                 frames.rs    its messages on a connection                probe.rs half a round, for people
//!                 tls.rs       TLS 1.3, a self-signed key at both ends (any_key.rs)
//! ```
//!
//! [`PeerIdentity`], [`round`] and [`Channel`] can be called by themselves, on any stream.
//! `docs/peers.md` tells users and other implementers.

mod any_key;
mod channel;
pub mod config;
mod error;
mod exchange;
mod frames;
mod inbound;
mod keeper;
mod outbound;
mod probe;
mod proof;
mod proofs;
mod service;
mod site;
mod time;
mod tls;
mod turns;

pub use channel::Channel;
pub use error::{PeerError, ProtocolFault};
pub use exchange::{Judge, Proven, ROUND_DEADLINE, SKEW, round};
pub use inbound::{Inbound, InboundLimits};
pub use outbound::{Outbound, Own};
pub use probe::{Probed, probe};
pub use proof::{InUse, Proof};
pub use proofs::Proofs;
pub use service::{PeersStartError, Service};
pub use site::{Permit, Place, Site};
pub use time::{NsmTime, SignedTime};
pub use tls::{HANDSHAKE_DEADLINE, IdentityError, PeerIdentity, Secured};
