use std::process::ExitCode;

use serde::Deserialize;

use super::{print, visible};
use crate::cli::{client::Answer, failure::Failure, words::Output};

/// What a document says and what it would be admitted as.
#[derive(Deserialize)]
struct Explained {
    document: Option<Document>,
    verification: Verification,
    matches: Vec<Named>,
    nearest: Option<Nearest>,
    admitted: bool,
    words: String,
}

#[derive(Deserialize)]
struct Document {
    module_id: String,
    timestamp: String,
}

#[derive(Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
enum Verification {
    Holds { root: String },
    Refused { code: String, detail: String },
}

#[derive(Deserialize)]
struct Named {
    workload: String,
    measurement: String,
}

#[derive(Deserialize)]
struct Nearest {
    workload: String,
    measurement: String,
    differences: Vec<Difference>,
}

#[derive(Deserialize)]
struct Difference {
    pcr: u8,
    of: String,
    expected: String,
    actual: Option<String>,
}

/// Prints an explanation; exit code 1 when the document would not be admitted.
///
/// # Errors
/// An answer that is none.
pub(in crate::cli) fn explained(answer: &Answer, output: Output) -> Result<ExitCode, Failure> {
    let explained: Explained = answer.json()?;
    match output {
        Output::Json => print(&format!("{}\n", answer.text().trim_end()))?,
        Output::Table => print(&explained.lines())?,
    };
    Ok(if explained.admitted { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

impl Explained {
    fn lines(&self) -> String {
        let mut text = format!("{}\n", visible(&self.words));
        let mut line = |name: &str, value: &str| text += &format!("  {name:<12}{}\n", visible(value));
        if let Some(Document { module_id, timestamp }) = &self.document {
            line("module", module_id);
            line("made", timestamp);
        }
        match &self.verification {
            Verification::Holds { root } => {
                line("evidence", &format!("chain and signature hold, under the root {root}"))
            }
            Verification::Refused { code, detail } => {
                line("evidence", &format!("refused: {detail} ({code})"))
            }
        }
        for Named { workload, measurement } in &self.matches {
            line("matches", &format!("{workload}/{measurement}"));
        }
        if let Some(Nearest { workload, measurement, differences }) = &self.nearest {
            line("nearest", &format!("{workload}/{measurement}"));
            for Difference { pcr, of, expected, actual } in differences {
                line("", &format!("PCR{pcr}, {of}"));
                line("", &format!("  expected {expected}"));
                line("", &format!("  found    {}", actual.as_deref().unwrap_or("nothing")));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_told_register_by_register() {
        let explained: Explained = serde_json::from_value(json!({
            "evidence": "00", "document": {"module_id": "i-1", "timestamp": "T", "pcrs": {}, "debug_mode": false},
            "verification": {"verdict": "holds", "root": "aws", "not_after": "T"},
            "matches": [], "revoked": null, "admitted": false, "words": "matches nothing",
            "nearest": {"workload": "payments", "measurement": "v1", "differences": [
                {"pcr": 2, "of": "the application", "expected": "aa", "actual": "bb"},
                {"pcr": 8, "of": "the signing certificate of the image", "expected": "cc", "actual": null},
            ]},
        }))
        .unwrap();
        assert_eq!(
            explained.lines(),
            "matches nothing\n  module      i-1\n  made        T\n  \
             evidence    chain and signature hold, under the root aws\n  nearest     payments/v1\n              \
             PCR2, the application\n                expected aa\n                found    bb\n              \
             PCR8, the signing certificate of the image\n                expected cc\n                found    nothing\n"
        );
    }
}
