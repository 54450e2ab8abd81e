//! Many lanes over one connection between the halves, each a stream of bytes with its own
//! half-closes, resets and flow control.
//!
//! ```text
//!   run                                             host
//!    lane 1 ─┐                                     ┌─ lane 1
//!    lane 2 ─┼── frames ═══ connection ═══ frames ──┼─ lane 2
//!    lane 3 ─┘                                     └─ lane 3
//! ```
//!
//! What it is for is in decision 0086: a connection for each lane costs both halves its beginning and its
//! end, and every message a system call and a wake-up; here all messages that are ready go with one.
//!
//! - Neither end trusts the other: frames are bounded before they are kept, what breaks the rules ends the trunk.
//! - A slow reader holds back its own lane alone: an end may send what the other has room for (credit).
//! - A reset is a frame of its own, so what was cut off never looks like what ended.
//!
//! `frame.rs` is what goes over the wire, `state/` everything that is known without a socket (what a lane asks for in
//! `said.rs`, what the other end says in `heard.rs`), `drive.rs` the socket.

mod drive;
mod frame;
mod lane;
mod state;
#[cfg(test)]
mod tests;

pub use lane::{Connection, Lane, Trunk};
