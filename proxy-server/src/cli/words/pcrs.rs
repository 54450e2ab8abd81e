use std::{path::PathBuf, str::FromStr};

use clap::Args;
use countersign_verifier::{Pcr, PcrIndex};

/// Where PCRs come from: one file at most, and registers one by one.
#[derive(Debug, Args)]
#[command(next_help_heading = "PCRs")]
pub(in crate::cli) struct PcrSource {
    /// What nitro-cli build-enclave or describe-eif printed; - is standard input.
    #[arg(long, value_name = "FILE.json", conflicts_with = "eif")]
    pub(in crate::cli) from: Option<PathBuf>,
    /// Measure this enclave image: PCR0, 1 and 2, and 8 when it is signed; - is standard input.
    #[arg(long, value_name = "FILE.eif")]
    pub(in crate::cli) eif: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) flags: Box<PcrFlags>,
}

/// Registers one by one.
#[derive(Debug, Args)]
pub(in crate::cli) struct PcrFlags {
    /// The image.
    #[arg(long, value_name = "HEX")]
    pcr0: Option<Pcr>,
    /// Kernel and boot ramdisk.
    #[arg(long, value_name = "HEX")]
    pcr1: Option<Pcr>,
    /// The application.
    #[arg(long, value_name = "HEX")]
    pcr2: Option<Pcr>,
    /// The IAM role of the parent instance.
    #[arg(long, value_name = "HEX")]
    pcr3: Option<Pcr>,
    /// The id of the parent instance.
    #[arg(long, value_name = "HEX")]
    pcr4: Option<Pcr>,
    /// The certificate that signed the image.
    #[arg(long, value_name = "HEX")]
    pcr8: Option<Pcr>,
    /// Any other register, 0 to 31. Can be given again.
    #[arg(long = "pcr", value_name = "INDEX=HEX")]
    others: Vec<Register>,
}

impl PcrFlags {
    /// Every register that was named, in no order, and maybe twice.
    pub(in crate::cli) fn registers(&self) -> impl Iterator<Item = (PcrIndex, Pcr)> {
        let Self { pcr0, pcr1, pcr2, pcr3, pcr4, pcr8, others } = self;
        let named = [(0, pcr0), (1, pcr1), (2, pcr2), (3, pcr3), (4, pcr4), (8, pcr8)];
        let named = named.into_iter().filter_map(|(index, value)| Some((PcrIndex::new(index)?, (*value)?)));
        named.chain(others.iter().map(|register| (register.index, register.value)))
    }
}

/// `16=…`.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Register {
    index: PcrIndex,
    value: Pcr,
}

impl FromStr for Register {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (index, value) = text.split_once('=').ok_or("expected INDEX=HEX, as 16=00ff…")?;
        let number = index.parse().ok().and_then(PcrIndex::new);
        let index = number.ok_or_else(|| format!("expected a register from 0 to 31; found {index:?}"))?;
        Ok(Self { index, value: value.parse().map_err(|error| format!("{error}"))? })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        source: PcrSource,
    }

    #[test]
    fn registers_are_named_one_by_one() {
        let (a, b) = ("1a".repeat(48), "2b".repeat(48));
        let other = format!("16={b}");
        let line = Line::try_parse_from(["x", "--pcr3", &a, "--pcr", &other]).unwrap();
        let found: Vec<_> =
            line.source.flags.registers().map(|(index, value)| (index.get(), value)).collect();
        assert_eq!(found, [(3, a.parse().unwrap()), (16, b.parse().unwrap())]);
        let short = "1a".repeat(47);
        for bad in [["--pcr0", &short], ["--pcr", &a], ["--pcr", &format!("32={a}")], ["--pcr", "1="]] {
            assert!(Line::try_parse_from(["x", bad[0], bad[1]]).is_err(), "{bad:?}");
        }
        assert!(Line::try_parse_from(["x", "--from", "a", "--eif", "b"]).is_err());
    }
}
