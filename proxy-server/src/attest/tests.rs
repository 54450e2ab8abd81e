//! The port over real TLS on loopback, with documents of the simulated NSM:
//! the device is simulated, every check is the real one.

mod checks;
mod client;
mod fixture;
mod limits;
#[cfg(feature = "otlp")]
mod traces;
