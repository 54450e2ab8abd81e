use std::{fmt, io};

use super::line::{FORMAT, LONGEST, VERSION};
use crate::audit::ChainName;

/// Why a file is no export. What is wrong with the audit in an export is a [`crate::audit::Finding`] instead.
#[derive(Debug)]
pub enum ExportError {
    /// It cannot be read.
    Read {
        /// The line, from 1.
        line: u64,
        /// What the system says.
        source: io::Error,
    },
    /// It has not even a first line.
    Empty,
    /// A line is longer than any that is ever written.
    TooLong {
        /// The line, from 1.
        line: u64,
    },
    /// A line is not one of those that an export has.
    Junk {
        /// The line, from 1.
        line: u64,
        /// What does not fit, without control characters.
        problem: String,
    },
    /// It is another format, or another version of it.
    OtherFormat {
        /// The format it names, without control characters.
        format: String,
        /// The version it names.
        version: u64,
    },
    /// A line stands where it may not.
    Misplaced {
        /// The line, from 1.
        line: u64,
        /// What it is.
        what: &'static str,
        /// What was expected there.
        expected: &'static str,
    },
    /// A line speaks of a chain that no line before it begins.
    NotBegun {
        /// The line, from 1.
        line: u64,
        /// The chain.
        chain: ChainName,
    },
    /// A chain begins, or has a head, a second time.
    Twice {
        /// The line, from 1.
        line: u64,
        /// The chain.
        chain: ChainName,
        /// What there is twice.
        what: &'static str,
    },
    /// It has more chains than a deployment can have.
    TooManyChains {
        /// The line, from 1.
        line: u64,
        /// The most.
        limit: usize,
    },
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { line, .. } => write!(f, "line {line} of the export cannot be read"),
            Self::Empty => f.write_str("the export is empty, expected its header"),
            Self::TooLong { line } => write!(f, "line {line} of the export is longer than {LONGEST} bytes"),
            Self::Junk { line, problem } => write!(f, "line {line} is none of an export: {problem}"),
            Self::OtherFormat { format, version } => {
                write!(f, "the file is {format} version {version}, expected {FORMAT} version {VERSION}")
            }
            Self::Misplaced { line, what, expected } => {
                write!(f, "line {line} of the export is {what}, expected {expected}")
            }
            Self::NotBegun { line, chain } => {
                write!(
                    f,
                    "line {line} of the export speaks of the chain {chain}, which no line before it begins"
                )
            }
            Self::Twice { line, chain, what } => {
                write!(f, "line {line} of the export has {what} of the chain {chain} a second time")
            }
            Self::TooManyChains { line, limit } => {
                write!(f, "line {line} of the export begins a chain more than {limit}")
            }
        }
    }
}

impl std::error::Error for ExportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Empty
            | Self::TooLong { .. }
            | Self::Junk { .. }
            | Self::OtherFormat { .. }
            | Self::Misplaced { .. }
            | Self::NotBegun { .. }
            | Self::Twice { .. }
            | Self::TooManyChains { .. } => None,
        }
    }
}
