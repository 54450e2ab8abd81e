//! For programs that know no proxy: names lead to addresses on this machine, and
//! whoever answers there knows the name. Needs no netfilter.
//!
//! ```text
//!   getaddrinfo("db.example") ──► dns/ ──► directory ──► names    an address for each name in use
//!            198.18.0.7 ◄─────────┘            │          addresses (the pool, routed to `lo` by netlink)
//!                                              ▼
//!   connect(198.18.0.7:5432) ──► doorman: one listener for each (name, port)
//!                                   │ knows the destination, asks nobody
//!                                   ▼
//!                                Egress::open(db.example:5432) ──► relay/: bytes both ways
//! ```
//!
//! `tun/` is another way to take the connections, by a stack of our own, at every port.
//!
//! A listener belongs to one name for as long as it lives, so a connection can
//! never reach another name than the one that was asked for. The resolver only
//! says where to knock; the policy is asked again for each connection, by
//! [`Egress`](crate::egress::Egress), as for every other entrance.

mod addresses;
mod config;
mod directory;
pub mod dns;
mod doorman;
mod error;
mod names;
mod networks;
mod ports;
mod resolv_conf;
mod service;
mod tun;

pub use addresses::AddressPool;
pub use config::{Limits, Networks, TransparentConfig, Way};
pub use error::TransparentError;
pub use ports::PortList;
pub use resolv_conf::write_resolv_conf;
pub use service::Transparent;
