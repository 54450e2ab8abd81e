//! The audit as a file: JSON Lines, one object with one field on each line.
//!
//! ```text
//!   {"header": {format, version, deployment, epoch, at_ms}}     first
//!   {"key": "<public key>"}                                     for finding a key; being here makes none trusted
//!   {"chain": {chain, anchor?}}                                 before anything else of that chain
//!   {"row": {chain, seq, hash, at_ms, kind, code, …}}           in order, each checkpoint behind its row
//!   {"checkpoint": {chain, purpose, seq, hash, …, signature}}
//!   {"head": {chain, seq, hash}}
//!   {"end": {lines}}                                            last; without it the file was cut off
//! ```
//!
//! Every line names its chain, so that `jq` and log stores can read one without the rest. Whoever makes the file can
//! leave out what lies behind the last checkpoint, or a whole chain: known heads find that.

mod error;
mod line;
mod read;
mod write;

pub use error::ExportError;
pub use line::ExportHeader;
pub use read::verify_export;
pub use write::ExportWriter;
