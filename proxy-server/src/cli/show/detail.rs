use std::process::ExitCode;

use serde_json::Value;

use super::{Cell, Colours, Table, print};
use crate::cli::{client::Answer, failure::Failure, words::Output};

/// One thing, field by field, in the order that a person reads it.
pub(in crate::cli) struct Detail<'a> {
    answer: &'a Answer,
    value: Value,
    table: Table,
}

impl<'a> Detail<'a> {
    /// The fields of an answer.
    ///
    /// # Errors
    /// It is no JSON.
    pub(in crate::cli) fn new(answer: &'a Answer) -> Result<Self, Failure> {
        Ok(Self { answer, value: answer.json()?, table: Table::default() })
    }

    /// A field at this JSON pointer (RFC 6901), if there is one.
    #[must_use]
    pub(in crate::cli) fn field(mut self, name: &str, pointer: &str) -> Self {
        for (index, text) in
            self.value.pointer(pointer).map(texts).unwrap_or_default().into_iter().enumerate()
        {
            let cell = if pointer.ends_with("/state") { Cell::state(&text) } else { Cell::new(text) };
            self.table.push(vec![Cell::new(if index == 0 { name } else { "" }), cell]);
        }
        self
    }

    /// Prints it, or what the API wrote.
    ///
    /// # Errors
    /// Nothing can be printed.
    pub(in crate::cli) fn show(self, output: Output) -> Result<ExitCode, Failure> {
        match output {
            Output::Json => print(&format!("{}\n", self.answer.text().trim_end())),
            Output::Table => print(&self.table.render(Colours::of_stdout())),
        }
    }
}

/// A line for each text; nothing for null.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(list) if list.is_empty() => vec!["none".to_owned()],
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            // PCRs by their number, and not 0, 1, 16, 2.
            entries.sort_by_key(|(key, _)| (key.parse::<u8>().unwrap_or(u8::MAX), key.as_str()));
            let line =
                |(key, value): (&String, &Value)| texts(value).first().map(|text| format!("{key} {text}"));
            entries.into_iter().filter_map(line).collect()
        }
        other => vec![other.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_lines() {
        assert_eq!(texts(&json!({"0": "aa", "16": "cc", "2": "bb"})), ["0 aa", "2 bb", "16 cc"]);
        assert_eq!(texts(&json!(["a", "b"])), ["a", "b"]);
        assert_eq!(texts(&json!([])), ["none"]);
        assert_eq!(texts(&json!(null)), [""; 0]);
        assert_eq!(texts(&json!({"min_seconds": 30, "none": null})), ["min_seconds 30"]);
    }
}
