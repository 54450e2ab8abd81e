//! Runs one competitor's attestation-document verifier, so that a bench driver can alternate rounds
//! between it and ours.
//!
//! ```text
//! peer-verify <peer> <document file> <timestamp ms>
//!     -> {"peer":..,"version":..,"ok":true,"error":null}     after a first verification
//! run 200
//!     -> {"runs":200,"nanos":561234567}
//! quit
//! ```
//!
//! Ends with status 0 after `quit` or end of input, 1 when the document was refused or a line was not
//! understood, 2 when the arguments were wrong. Every verification starts from the document's bytes.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod clock;
mod lockfile;
mod peer;
mod protocol;

use std::env;
use std::fs;
use std::io;
use std::process::ExitCode;

use crate::clock::Clock;
use crate::peer::Peer;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("peer-verify: {message}\nusage: peer-verify <peer> <document file> <timestamp ms>");
            ExitCode::from(2)
        }
        Err(Failure::Refused) => ExitCode::FAILURE,
        Err(Failure::Protocol(error)) => {
            eprintln!("peer-verify: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let [peer, file, timestamp] = arguments else {
        return Err(Failure::Usage(format!("expected 3 arguments, got {}", arguments.len())));
    };
    let peer: Peer = peer.parse().map_err(Failure::Usage)?;
    let document = fs::read(file).map_err(|e| Failure::Usage(format!("{file}: {e}")))?;
    let at_ms: u64 =
        timestamp.parse().map_err(|e| Failure::Usage(format!("timestamp {timestamp:?}: {e}")))?;

    let ready = match peer.clock() {
        Clock::Argument => Ok(()),
        Clock::Process => clock::shift_process_to(at_ms),
    };
    let verifier = ready.and_then(|()| peer.verifier(at_ms));
    let first = verifier.as_ref().map_err(String::clone).and_then(|verify| verify(&document));

    let mut output = io::stdout().lock();
    let version = lockfile::version_of(peer.crate_name());
    protocol::announce(&mut output, peer.name(), &version, &first).map_err(Failure::Protocol)?;
    let (Ok(()), Ok(verify)) = (first, verifier) else {
        return Err(Failure::Refused);
    };
    protocol::serve(io::stdin().lock(), &mut output, || verify(&document)).map_err(Failure::Protocol)
}

/// Why the program ends other than by `quit`.
enum Failure {
    /// The command line could not be used.
    Usage(String),
    /// The peer refuses the document; the first output line said why.
    Refused,
    /// Input or output failed, or the driver broke the protocol.
    Protocol(io::Error),
}
