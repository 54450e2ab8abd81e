//! The outer limit: what the parent machine lets any enclave on it reach. The
//! enclave cannot lift it, since it holds on this side of the vsock.
//!
//! ```text
//!   paths ─load.rs─► files ─file.rs─► RuleSet … ──► OuterLimit   one policy, the union of all sets
//!     ▲                                                │
//!   watch.rs reads again what changed                  ▼ watch channel: every connection judges itself anew
//! ```

mod file;
mod load;
mod outer;
mod watch;

pub use file::{FileMistake, RuleSet, parse};
pub use load::{LoadError, load};
pub use outer::{Beyond, OuterLimit};
pub use watch::LimitWatch;
