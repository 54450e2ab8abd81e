//! The HTTP proxy on loopback that the application finds in its environment.
//!
//! ```text
//!   serve.rs ─► caller.rs ─► head.rs (target.rs, framing.rs) ─┬─ CONNECT ──► Egress::open ──► relay/
//!                                                             └─ http:// ──► forward.rs, exchange.rs
//!       content up:  content.rs ─► origin.rs (hyper) ─► Egress::open      hop.rs: what stays here
//!       answer down: reply.rs ◄─── origin.rs
//! ```
//!
//! It decides nothing and dials nothing: every request asks [`crate::egress`]. What
//! could be read in two ways is refused before that (decision 0052).

mod answer;
mod caller;
mod content;
mod exchange;
mod forward;
mod framing;
mod head;
mod hop;
mod moved;
mod origin;
mod reply;
mod serve;
mod target;

pub use content::{ContentError, ContentReader, Progress};
pub use framing::{Framing, FramingError};
pub use head::{ForwardRequest, Head, HeadError, MAX_HEAD, Request, Version, parse};
pub use serve::{LocalProxy, LocalProxyLimits};
pub use target::{Forward, TargetError};
