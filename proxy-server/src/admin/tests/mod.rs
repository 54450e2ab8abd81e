//! The admin port over a real store, real TLS and a real HTTP client.

mod approvals;
mod bounds;
mod changes;
mod document;
mod errors;
mod events;
mod explain;
mod export;
mod revocations;
mod rig;
mod scope;
mod sign_in;
mod telemetry;
mod tls;
mod tokens;
mod web;
