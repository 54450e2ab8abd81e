use std::{fmt, num::NonZeroU16};

use super::{PeerConfig, PeerMeasurement};

/// Why fields make no peer configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerConfigError {
    /// Its name.
    Name {
        /// What stands there, or how it begins.
        name: String,
    },
    /// The word for the root.
    Root {
        /// What stands there, or how it begins.
        root: String,
    },
    /// It ends before it begins, or after the year 9999.
    Validity {
        /// Seconds since 1970.
        from: u64,
        /// Seconds since 1970.
        until: u64,
    },
    /// None, or too many. None would let nobody in: somebody forgot them.
    Measurements {
        /// How many there are.
        count: usize,
    },
    /// A name that people could not tell from others.
    MeasurementName {
        /// What stands there, or how it begins.
        name: String,
    },
    /// Two of one name.
    MeasurementTwice {
        /// The name.
        name: String,
    },
    /// PCR0, 1 and 2 are needed.
    PcrMissing {
        /// The measurement's name.
        measurement: String,
        /// The index that is not there.
        index: u8,
    },
    /// No document has that PCR.
    PcrIndex {
        /// The measurement's name.
        measurement: String,
        /// The index.
        index: u8,
    },
    /// PCR0, 1 and 2 are zero: any image has them in debug mode.
    DebugMode {
        /// The measurement's name.
        measurement: String,
    },
    /// Too many.
    Ports {
        /// How many there are.
        count: usize,
    },
    /// A port that stands twice.
    PortTwice {
        /// The port.
        port: NonZeroU16,
    },
    /// The name of the image.
    Image,
}

/// As much of a text that nobody signed as an error needs: it goes to the log.
pub(super) fn beginning(text: &str) -> String {
    text.chars().take(64).collect()
}

impl fmt::Display for PeerConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => {
                write!(f, "name {name:?} is not 1 to {} of a-z A-Z 0-9 . _ -", PeerConfig::MAX_NAME)
            }
            Self::Root { root } => write!(f, "root {root:?} is neither aws nor aws-us-gov"),
            Self::Validity { from, until } => {
                write!(f, "validity from {from} until {until} (seconds since 1970) is no span before 10000")
            }
            Self::Measurements { count } => {
                write!(f, "{count} measurements; 1 to {} are possible", PeerConfig::MAX_MEASUREMENTS)
            }
            Self::MeasurementName { name } => {
                write!(f, "measurement name {name:?} is not 1 to {} characters", PeerMeasurement::MAX_NAME)
            }
            Self::MeasurementTwice { name } => write!(f, "measurement {name:?} stands twice"),
            Self::PcrMissing { measurement, index } => {
                write!(f, "measurement {measurement:?} lacks PCR{index}; PCR0, PCR1 and PCR2 are needed")
            }
            Self::PcrIndex { measurement, index } => {
                write!(f, "measurement {measurement:?} names PCR{index}; the last is PCR31")
            }
            Self::DebugMode { measurement } => write!(
                f,
                "measurement {measurement:?} has zero PCR0, PCR1 and PCR2, as any image in debug mode does"
            ),
            Self::Ports { count } => {
                write!(f, "{count} ports; at most {} are possible", PeerConfig::MAX_PORTS)
            }
            Self::PortTwice { port } => write!(f, "port {port} stands twice"),
            Self::Image => {
                write!(f, "image is not 1 to {} printable bytes", PeerConfig::MAX_IMAGE)
            }
        }
    }
}

impl std::error::Error for PeerConfigError {}
