//! The way in: a port of the manifest, carried to the application on loopback.
//!
//! ```text
//!   vsock port ─► door.rs accepts ─► waiting.rs a place, a deadline
//!                                      │
//!                    Passthrough ──────┤
//!                    Files, Attested ──┴─► tls.rs handshake ─► relay/ ─► 127.0.0.1:port
//!                                              │ Attested, ALPN http/1.1 or countersign-attest/1
//!                                              └─► carry.rs, sniff.rs: is it ours? ─► attestation.rs answers
//! ```
//!
//! A handshake is never awaited in the accept loop, and a flood of connections
//! that say nothing pushes out its own oldest, never a caller that speaks.
//! `docs/ingress.md` tells callers how to verify an attested port.

mod attestation;
pub(crate) mod budget;
pub(crate) mod carry;
mod door;
mod error;
mod files;
mod listen;
mod outside;
mod sniff;
mod tls;
pub(crate) mod waiting;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use error::{FilesError, IngressError};
pub use listen::{IngressListen, IngressListenError};

use crate::{device::Device, manifest::IngressEntry};
use attestation::Attestation;
use door::{Door, Port};
use tls::Ending;
use waiting::WaitingRoom;

/// The bounds of all ingress ports together.
#[derive(Clone, Copy, Debug)]
pub struct IngressLimits {
    /// Connections that are carried at a time; the next one is closed.
    pub connections: usize,
    /// Connections that have not finished their handshake, or not said what they want;
    /// the next one pushes the oldest out.
    pub waiting: usize,
    /// For a handshake.
    pub handshake: Duration,
    /// For the first bytes after it, where they decide who answers; then the application gets the connection.
    pub first_bytes: Duration,
}

impl Default for IngressLimits {
    fn default() -> Self {
        Self {
            connections: 8192,
            waiting: 512,
            handshake: Duration::from_secs(10),
            first_bytes: Duration::from_secs(5),
        }
    }
}

/// Opens every port of the manifest and serves each in a task of its own until `stop`.
/// Returns when all of them listen.
///
/// # Errors
/// [`IngressError`]: a port that cannot be listened on, a certificate that cannot be
/// used. Nothing is served then: `stop` is the caller's to cancel.
pub async fn start(
    entries: &[IngressEntry],
    listen: &IngressListen,
    device: &Device,
    limits: IngressLimits,
    stop: &CancellationToken,
) -> Result<(), IngressError> {
    let room = Arc::new(Semaphore::new(limits.connections));
    let waiting = Arc::new(WaitingRoom::new(limits.waiting));
    let attestation = Arc::new(Attestation::new(device.clone()));
    let mut doors = Vec::with_capacity(entries.len());
    for entry in entries {
        let ending = Ending::new(&entry.tls, attestation.clone(), stop)?;
        let at = listen.at(entry.listen_port);
        let failed = |why| IngressError::Listen { at: at.clone(), why };
        let listener = at.bind().await.map_err(failed)?;
        info!(code = "ingress-listens", "ingress {at} leads to 127.0.0.1:{} ({ending})", entry.listen_port);
        let port = Port::new(entry.listen_port, ending, room.clone(), waiting.clone(), limits);
        doors.push(Door::new(listener, port));
    }
    for door in doors {
        tokio::spawn(door.serve(stop.clone()));
    }
    Ok(())
}

/// Between two lines of the log about the same trouble.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
