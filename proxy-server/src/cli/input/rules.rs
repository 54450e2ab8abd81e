use std::path::Path;

use serde_json::{Map, Value};

use super::read;
use crate::{cli::failure::Failure, policy::WorkloadName};

/// The rules of a workload in a file, TOML or JSON. Their meaning is for the
/// API to check; here the file only becomes what the API takes.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct RulesFile {
    pub(in crate::cli) rules: Map<String, Value>,
    /// The revision that the file was written from, when it is what `workload show --output json` printed.
    pub(in crate::cli) revision: Option<u64>,
}

impl RulesFile {
    /// Reads a file with the rules of this workload.
    ///
    /// # Errors
    /// It cannot be read, is neither TOML nor JSON, or is for another workload.
    pub(in crate::cli) fn read(path: &Path, workload: &WorkloadName) -> Result<Self, Failure> {
        let text = String::from_utf8(read(path, MOST_BYTES)?).map_err(|error| Failure::wrong(path, error))?;
        Self::parse(&text, workload).map_err(|reason| Failure::wrong(path, reason))
    }

    fn parse(text: &str, workload: &WorkloadName) -> Result<Self, String> {
        let json = text.trim_start().starts_with('{');
        let mut rules: Map<String, Value> = match json {
            true => serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?,
            false => toml::from_str(text).map_err(|error| format!("not TOML: {error}"))?,
        };
        if let Some(name) = rules.remove("name").filter(|name| name.as_str() != Some(workload.as_str())) {
            return Err(format!("is for the workload {name}, not {workload}"));
        }
        let revision = rules.remove("revision").map(|revision| {
            revision.as_u64().ok_or_else(|| format!("revision: expected a number; found {revision}"))
        });
        for field in READ_ONLY {
            rules.remove(field);
        }
        rules.retain(|_, value| !value.is_null());
        Ok(Self { rules, revision: revision.transpose()? })
    }
}

/// What `workload show` prints and nobody sets.
const READ_ONLY: [&str; 4] = ["state", "pending", "origin", "epoch"];

/// A thousand destinations have less than a tenth of it.
const MOST_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<RulesFile, String> {
        RulesFile::parse(text, &"payments".parse().unwrap())
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let toml =
            "name = \"payments\"\ndestinations = [\"a:1\"]\nlease = { min_seconds = 30, max_seconds = 60 }\n";
        let json = r#" {"name":"payments","destinations":["a:1"],"lease":{"min_seconds":30,"max_seconds":60},"description":null}"#;
        let expected = json!({"destinations": ["a:1"], "lease": {"min_seconds": 30, "max_seconds": 60}});
        for text in [toml, json] {
            let file = parse(text).unwrap();
            assert_eq!((Value::Object(file.rules), file.revision), (expected.clone(), None), "{text}");
        }
    }

    #[test]
    fn what_show_prints_can_be_edited_and_set() {
        let shown = r#"{"name":"payments","state":"active","destinations":[],"pending":null,"origin":"api","revision":3,"epoch":9}"#;
        let file = parse(shown).unwrap();
        assert_eq!((Value::Object(file.rules), file.revision), (json!({"destinations": []}), Some(3)));
    }

    #[test]
    fn a_file_of_another_workload_is_refused() {
        assert_eq!(parse(r#"{"name":"other"}"#).unwrap_err(), "is for the workload \"other\", not payments");
        assert!(parse("{").unwrap_err().starts_with("not JSON"));
        assert!(parse("a = ").unwrap_err().starts_with("not TOML"));
        assert!(parse(r#"{"revision":"3"}"#).unwrap_err().contains("expected a number"));
    }
}
