//! Who a peer may be: a file that the host could have written, made into something to rely on.
//!
//! ```text
//!   DIR/NAME/peer.yaml ─text.rs─► PeerConfig, signature ─trusted.rs─► Trusted ─watch.rs─► Standing
//!     the ConfigMap              bounded, strict          pin, serial, time     again each second
//!                                                           ▲ sign.rs makes what a signer's pin covers
//! ```

mod refusal;
mod sign;
mod text;
mod trusted;
mod watch;

pub use refusal::ConfigRefusal;
pub use sign::{ConfigSigner, SignerError};
pub(crate) use text::timestamp;
pub use text::{ConfigText, ConfigTextError, config_map, find_in_config_map, is_config_map};
pub use trusted::{Pin, PinError, Trusted, Verifiers};
pub use watch::{ConfigSource, ConfigWatch, Standing};

/// The key of the ConfigMap, and so the file's name, that holds the peer's configuration.
pub const CONFIG_KEY: &str = "peer.yaml";

/// The largest file, in bytes: 64 measurements with all 32 PCRs are half of it.
pub const MAX_CONFIG: usize = 512 * 1024;
