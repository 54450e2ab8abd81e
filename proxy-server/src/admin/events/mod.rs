//! What happens, as it happens: a stream of server-sent events.
//!
//! ```text
//!   audit chains, replicas ──asked every 500 ms while somebody listens──► Watch ──Tick──► each listener
//!                                                                                           │ keeps what he may see
//!                                                                                           ▼
//!                                                                              policy, sessions, access, replica
//! ```
//!
//! A tick says how far each chain of the audit was read; that is the id of its
//! last event. Whoever comes back with it is given what he missed, or is told
//! to read everything again (`resync`).

mod place;
mod tick;
mod watch;

pub(super) use place::Place;
pub(super) use tick::Tick;
pub(super) use watch::{Events, Listener, Next, Resumed};
