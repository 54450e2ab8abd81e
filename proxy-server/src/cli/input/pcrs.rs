use std::path::Path;

use countersign_verifier::{EifError, EnclaveImage, Measurement, PcrSet};
use serde_json::{Map, Value};

use super::{open, read};
use crate::cli::{failure::Failure, words::PcrSource};

/// The set that was named: of one file at most, and register by register. Each
/// register comes from one place. That PCR0, 1 and 2 are among them is for the
/// API to say.
///
/// # Errors
/// A file that cannot be read or is not what it must be; a register that was
/// named twice; none at all.
pub(in crate::cli) fn pcrs(source: &PcrSource) -> Result<PcrSet, Failure> {
    let PcrSource { from, eif, flags } = source;
    let mut set = match (from, eif) {
        (Some(path), _) => described(path)?,
        (None, Some(path)) => measured(path)?,
        (None, None) => PcrSet::EMPTY,
    };
    for (index, value) in flags.registers() {
        let file = from.as_ref().or(eif.as_ref()).filter(|_| set.get(index).is_some());
        set.insert(index, value).map_err(|_| {
            let other =
                file.map_or_else(|| "twice".to_owned(), |path| format!("and is in {} too", path.display()));
            Failure::Usage(format!("{index} was said {other}: which one counts?"))
        })?;
    }
    if set.is_empty() {
        return Err(Failure::Usage(NONE.to_owned()));
    }
    Ok(set)
}

/// As the API takes them.
pub(in crate::cli) fn pcrs_json(pcrs: &PcrSet) -> Value {
    let entries = pcrs.iter().map(|(index, value)| (index.get().to_string(), Value::from(value.to_string())));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// What `nitro-cli build-enclave` or `describe-eif` printed.
fn described(path: &Path) -> Result<PcrSet, Failure> {
    let json = read(path, MOST_BYTES)?;
    let measurement = Measurement::from_json("", &json).map_err(|error| {
        Failure::wrong(
            path,
            format_args!("{error}; expected what nitro-cli build-enclave or describe-eif prints"),
        )
    })?;
    let mut set = PcrSet::EMPTY;
    for (index, value) in measurement.pcrs() {
        set.insert(index, *value).map_err(|_| Failure::wrong(path, format_args!("{index} stands twice")))?;
    }
    Ok(set)
}

/// What an image measures to.
fn measured(path: &Path) -> Result<PcrSet, Failure> {
    match EnclaveImage::read(open(path)?) {
        Ok(image) => Ok(image.pcrs().clone()),
        Err(EifError::Unreadable { at: _, kind }) => Err(Failure::unreadable(path, &kind)),
        Err(error) => {
            let reason = crate::log::Chain(&error).to_string();
            Err(Failure::wrong(path, format_args!("not an enclave image: {reason} ({})", error.code())))
        }
    }
}

/// describe-eif prints a few KiB.
const MOST_BYTES: usize = 256 * 1024;

const NONE: &str =
    "say the PCRs: --from describe-eif.json, --eif app.eif, or --pcr0 HEX --pcr1 HEX --pcr2 HEX";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        source: PcrSource,
    }

    fn set(line: &[&str]) -> Result<PcrSet, String> {
        let line = Line::try_parse_from([&["x"], line].concat()).unwrap();
        pcrs(&line.source).map_err(|failure| failure.to_string())
    }

    fn file(name: &str, text: &str) -> String {
        let path = std::env::temp_dir().join(format!("countersign-cli-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_file_and_registers_make_one_set() {
        let (a, b) = ("1a".repeat(48), "2b".repeat(48));
        let path = file(
            "whole.json",
            &format!(
                r#"{{"Measurements":{{"HashAlgorithm":"Sha384 {{ ... }}","PCR0":"{a}","PCR1":"{a}","PCR2":"{a}"}}}}"#
            ),
        );
        let found = set(&["--from", &path, "--pcr3", &b]).unwrap();
        assert_eq!(pcrs_json(&found), serde_json::json!({"0": a, "1": a, "2": a, "3": b}));
        let twice = set(&["--from", &path, "--pcr0", &b]).unwrap_err();
        assert!(
            twice.starts_with("PCR0 was said and is in") && twice.ends_with("which one counts?"),
            "{twice}"
        );
        assert_eq!(
            set(&["--pcr3", &b, "--pcr", &format!("3={a}")]).unwrap_err(),
            "PCR3 was said twice: which one counts?"
        );
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_no_source_says_what_is() {
        assert!(set(&[]).unwrap_err().starts_with("say the PCRs: --from"));
        let path = file("empty.json", "{}");
        let error = set(&["--from", &path]).unwrap_err();
        assert!(error.contains("expected what nitro-cli build-enclave"), "{error}");
        let error = set(&["--eif", &path]).unwrap_err();
        assert!(error.contains("not an enclave image: "), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = set(&["--eif", &path]).unwrap_err();
        assert!(error.starts_with("cannot read ") && error.ends_with("or - for standard input"), "{error}");
    }
}
