//! Printing, for people and for programs.

use countersign_verifier::{Refusal, UnixMillis};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};

/// Writes to standard output. A reader that went away (`| head`) is no error worth a word.
pub(crate) fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("cannot write: {error}")),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(crate) fn print_json(value: &Value) -> Result<(), String> {
    print(&format!("{value:#}\n"))
}

/// A moment for programs: both the number and the text.
pub(crate) fn moment(moment: UnixMillis) -> Value {
    json!({ "unix_ms": moment.as_millis(), "rfc3339": moment.to_string() })
}

/// Text from a document with its control characters made visible: a terminal obeys them otherwise.
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// The word `accepted` or `refused`, in colour on a terminal.
pub(crate) fn verdict(word: &str, colour: Colour) -> String {
    if io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        let code = match colour {
            Colour::Green => 32,
            Colour::Red => 31,
        };
        format!("\x1b[1;{code}m{word}\x1b[0m")
    } else {
        word.to_owned()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    Green,
    Red,
}

/// Where a refusal happened, for people: one line for each thing to know.
pub(crate) fn refusal_text(refusal: &Refusal) -> String {
    format!(
        "{}\n  stage     {}\n  code      {}\n  expected  {}\n  found     {}\n",
        verdict("refused", Colour::Red),
        refusal.stage(),
        refusal.code(),
        visible(&refusal.expected()),
        visible(&refusal.actual()),
    )
}

/// The same for programs.
pub(crate) fn refusal_json(refusal: &Refusal) -> Value {
    json!({
        "verdict": "refused",
        "stage": refusal.stage().as_str(),
        "code": refusal.code(),
        "expected": refusal.expected(),
        "actual": refusal.actual(),
        "message": refusal.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_commanded_by_a_document() {
        assert_eq!(visible("i-0\x1b[2J\u{9b}x\n"), "i-0\\u{1b}[2J\\u{9b}x\\n");
        assert_eq!(visible("é ok"), "é ok");
    }
}
