//! What the user may ask for.

use clap::{Args, Parser, Subcommand, ValueEnum};
use countersign_verifier::{TrustAnchor, UnixMillis};
use std::path::PathBuf;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Inspects and verifies AWS Nitro Enclaves attestation documents, and measures enclave images.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a document says. Nothing is verified.
    Inspect(InspectArguments),
    /// Verify a document: signature, certificates, time, and PCRs when they are given.
    Verify(VerifyArguments),
    /// Measure an enclave image: PCR0, PCR1 and PCR2, and PCR8 when it is signed.
    Eif(EifArguments),
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// The document, or - for standard input: binary, base64 or hex, told apart by itself.
    pub(crate) file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The document, or - for standard input: binary, base64 or hex, told apart by itself.
    pub(crate) file: PathBuf,
    /// The time to verify at: RFC 3339, or milliseconds since 1970. Without it, now by this machine's clock.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) at: Option<UnixMillis>,
    /// Whose enclaves: AWS's commercial regions, or GovCloud.
    #[arg(long, value_enum, default_value_t = Root::Aws)]
    pub(crate) root: Root,
    /// Verify under this root certificate (DER) instead of AWS's. Whoever holds its key can forge any document.
    #[cfg(feature = "simulator")]
    #[arg(long, value_name = "FILE.der", conflicts_with = "root")]
    pub(crate) danger_root: Option<PathBuf>,
    /// Accept only the PCRs in this file, as nitro-cli build-enclave prints them. Give it again for other measurements.
    #[arg(long, value_name = "measurement.json")]
    pub(crate) expect: Vec<PathBuf>,
    /// Accept only a document with this nonce.
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    pub(crate) nonce: Option<Bytes>,
    /// Accept only a document about this public key (SubjectPublicKeyInfo in DER).
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    pub(crate) public_key: Option<Bytes>,
    /// Accept only a document with this user data.
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    pub(crate) user_data: Option<Bytes>,
    /// Accept an enclave in debug mode, although its host can read its memory.
    #[arg(long)]
    pub(crate) allow_debug: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct EifArguments {
    /// The image, or - for standard input.
    pub(crate) file: PathBuf,
    /// How to print; json is what nitro-cli describe-eif prints, and what --expect reads.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs: one object.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Root {
    /// The commercial regions.
    Aws,
    /// GovCloud.
    AwsUsGov,
}

impl Root {
    pub(crate) const fn anchor(self) -> TrustAnchor {
        match self {
            Self::Aws => TrustAnchor::aws(),
            Self::AwsUsGov => TrustAnchor::aws_us_gov(),
        }
    }
}

/// The bytes of an option. A type of its own, since clap takes a `Vec` for an option given many times.
#[derive(Clone, Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

fn hexadecimal(text: &str) -> Result<Bytes, String> {
    hex::decode(text)
        .map(Bytes)
        .map_err(|error| format!("{error}; give the bytes in hexadecimal, such as 00ff17"))
}

fn moment(text: &str) -> Result<UnixMillis, String> {
    if let Ok(millis) = text.parse() {
        return Ok(UnixMillis::from_millis(millis));
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|error| {
        format!("{error}; give RFC 3339 such as 2026-08-03T19:19:53Z, or milliseconds since 1970 such as 1785784793000")
    })?;
    u64::try_from(moment.unix_timestamp_nanos() / 1_000_000)
        .map(UnixMillis::from_millis)
        .map_err(|_| "before 1970; no attestation document is that old".to_owned())
}

const EXAMPLES: &str = "\
Examples:
  countersign-verify inspect document.cbor
  nitro-tool attest | countersign-verify inspect - --output json
  countersign-verify verify document.b64 --expect measurement.json --nonce 4f1c…
  countersign-verify verify kept.cbor --at 2026-08-03T19:20:00Z
  countersign-verify eif app.eif --output json > measurement.json

Exit codes: 0 accepted, 1 refused, 2 wrong usage or unreadable file.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_moment_is_rfc_3339_or_milliseconds() {
        let moment_of = |text| moment(text).map(UnixMillis::as_millis);
        assert_eq!(moment_of("1785784793123"), Ok(1_785_784_793_123));
        assert_eq!(moment_of("2026-08-03T19:19:53.123Z"), Ok(1_785_784_793_123));
        assert_eq!(moment_of("2026-08-03T21:19:53.123+02:00"), Ok(1_785_784_793_123));
        for wrong in ["", "yesterday", "-1", "2026-08-03", "1969-12-31T23:59:59Z", "18446744073709551616"] {
            assert!(moment(wrong).is_err(), "{wrong:?}");
        }
    }
}
