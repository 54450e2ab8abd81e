//! `eif`: what an enclave image measures to.

use crate::Outcome;
use crate::args::{EifArguments, Output};
use crate::input;
use crate::inspect::pcrs_json;
use crate::output::{Colour, print, print_json, verdict};
use countersign_verifier::{EifError, EnclaveImage};
use serde_json::{Value, json};
use std::error::Error;
use std::fmt::Write;

/// Measures and prints one image.
pub(crate) fn run(arguments: &EifArguments) -> Result<Outcome, String> {
    let image = match EnclaveImage::read(input::open(&arguments.file)?) {
        Ok(image) => image,
        Err(EifError::Unreadable { at: _, kind }) => return Err(input::unreadable(&arguments.file, &kind)),
        Err(error) => {
            match arguments.output {
                Output::Json => print_json(&refusal_json(&error))?,
                Output::Text => print(&refusal_text(&error))?,
            }
            return Ok(Outcome::Refused);
        }
    };
    match arguments.output {
        Output::Json => print_json(&as_json(&image))?,
        Output::Text => print(&as_text(&image))?,
    }
    Ok(Outcome::Accepted)
}

/// The keys of `nitro-cli describe-eif`, as far as they are known here: what is not measured is not read.
fn as_json(image: &EnclaveImage) -> Value {
    let mut measurements = pcrs_json(image.pcrs());
    measurements.insert("HashAlgorithm".to_owned(), HASH_ALGORITHM.into());
    json!({
        "EifVersion": image.version(),
        "Measurements": measurements,
        "IsSigned": image.is_signed(),
        // An image with another checksum is refused.
        "CheckCRC": true,
    })
}

fn as_text(image: &EnclaveImage) -> String {
    let signed = if image.is_signed() { "signed" } else { "not signed" };
    let mut text =
        format!("{:<12}EIF {}, {}, {signed}\n", "image", image.version(), image.architecture().as_str());
    for (index, value) in image.pcrs().iter() {
        _ = writeln!(text, "{:<12}{value}", index.to_string());
    }
    text
}

fn refusal_text(error: &EifError) -> String {
    let code = error.code();
    format!("{}\n  code      {code}\n  found     {}\n", verdict("refused", Colour::Red), chain(error))
}

fn refusal_json(error: &EifError) -> Value {
    json!({ "verdict": "refused", "code": error.code(), "message": chain(error) })
}

/// The error and all that is behind it, in one line.
fn chain(error: &EifError) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        _ = write!(line, ": {error}");
        cause = error.source();
    }
    line
}

/// As nitro-cli prints it.
const HASH_ALGORITHM: &str = "Sha384 { ... }";
