//! The administrators' side of the proxy: its own port, `/v1`.
//!
//! ```text
//!   TCP ─► server ─TLS─► frame ─────► authenticate ─► extract ─► routes ─► Store
//!          bounds        request id    identity        types      may? ◄─ Caller
//!                        deadline
//!                          ▲                                        │
//!                          └────────── problem: every error ◄───────┘
//! ```
//!
//! A handler gets its caller ([`extract::Caller`]) and asks him for each row
//! whether he may. What he may not see does not exist: the answer is the same
//! as for what nobody has.
//!
//! The OpenAPI document is made from the handlers themselves ([`openapi`]).

pub mod identity;

mod access;
mod activity;
mod answers;
mod code;
mod config;
mod events;
mod extract;
mod lingering;
mod machine;
mod model;
mod problem;
mod produced;
mod router;
mod routes;
mod server;
mod shares;
mod stalling;
mod state;
mod tls;
mod tokens;
mod web;

pub use code::Code;
pub use config::AdminConfig;
pub use machine::{MachineParts, danger_routes_of_the_machine};
pub use router::openapi;
pub use server::AdminApi;
pub use state::AdminParts;
pub use tokens::{AuditedLogins, StoreTokens, row as token_row};

#[cfg(test)]
mod tests;
