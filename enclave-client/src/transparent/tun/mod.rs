//! The second way: the pool is routed to a TUN device, and TCP is spoken here, in user
//! space, so that every port of a name can be dialled.
//!
//! ```text
//!   connect(198.18.0.7:5432) ──► kernel ──► device ──► gate: which flow is this packet of?
//!                                                       │
//!        SYN of a new one ──► book: which name? ──► Egress::open(db.example:5432)
//!                                                       │ not opened: RST, by refuser
//!                                                       ▼ opened: SYN-ACK
//!        any other ──► connection: smoltcp's TCP ◄──► relay/: bytes both ways
//!        UDP ──► refuser: ICMP port unreachable
//! ```
//!
//! - The handshake is completed only when the way out is open: who is denied or cannot be
//!   reached is refused, as by the destination itself.
//! - Each connection has a stack of its own (`stack`), found by its addresses and ports: the
//!   cost of a packet does not depend on how many connections there are.
//! - There is no buffer between the device and a connection's own, which TCP's window bounds.

mod book;
mod connection;
mod device;
mod flows;
mod gate;
mod interface;
mod ioctl;
mod packet;
mod plan;
mod port;
mod refuser;
mod stack;
mod stream;

pub(super) use book::Book;
pub(super) use device::Tun;
pub(super) use gate::Gate;
pub(super) use plan::TunPlan;
