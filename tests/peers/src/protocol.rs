//! The lines exchanged with the bench driver. `tests/bench` holds the other end.

use std::hint::black_box;
use std::io::{self, BufRead, Read, Write};
use std::time::Instant;

use serde_json::{Value, json};

/// Writes the first line: which verifier this is and whether it accepts the document.
pub(crate) fn announce(
    output: &mut impl Write,
    peer: &str,
    version: &str,
    verdict: &Result<(), String>,
) -> io::Result<()> {
    let error = verdict.as_ref().err();
    send(output, &json!({"peer": peer, "version": version, "ok": error.is_none(), "error": error}))
}

/// Answers `run N` with the time N verifications took, until `quit` or the end of the input.
///
/// # Errors
/// Fails on a line that is neither, and when a verification fails: a round that counted a refusal
/// would be no measurement.
pub(crate) fn serve(
    input: impl BufRead,
    output: &mut impl Write,
    mut verify: impl FnMut() -> Result<(), String>,
) -> io::Result<()> {
    let mut input = input;
    while let Some(command) = next_command(&mut input)? {
        match command {
            Command::Quit => break,
            Command::Run(runs) => {
                let started = Instant::now();
                for _ in 0..runs {
                    black_box(verify()).map_err(io::Error::other)?;
                }
                // 10^6 runs of a minute each still fit into u64 nanoseconds.
                let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                send(output, &json!({"runs": runs, "nanos": nanos}))?;
            }
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Run(u32),
    Quit,
}

fn next_command(input: &mut impl BufRead) -> io::Result<Option<Command>> {
    let mut line = String::new();
    if input.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    parse(line.trim_end()).map(Some).ok_or_else(|| {
        let expected = format!("expected `run 1..={MAX_RUNS}` or `quit`, got {line:?}");
        io::Error::new(io::ErrorKind::InvalidData, expected)
    })
}

fn parse(line: &str) -> Option<Command> {
    match line.split_once(' ') {
        None if line == "quit" => Some(Command::Quit),
        Some(("run", runs)) => {
            let runs = runs.parse().ok()?;
            (1..=MAX_RUNS).contains(&runs).then_some(Command::Run(runs))
        }
        _ => None,
    }
}

fn send(output: &mut impl Write, message: &Value) -> io::Result<()> {
    writeln!(output, "{message}")?;
    output.flush()
}

/// Longest line read; `run 1000000` needs 12 bytes.
const MAX_LINE: u64 = 64;
/// Most verifications in one round: about an hour of the slowest peer.
const MAX_RUNS: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_runs_the_verifier_as_often_as_asked() {
        let (mut output, mut calls) = (Vec::new(), 0);
        let verify = || {
            calls += 1;
            Ok(())
        };
        serve(&b"run 3\nrun 2\nquit\nrun 9\n"[..], &mut output, verify).unwrap();

        assert_eq!(calls, 5);
        let text = String::from_utf8(output).unwrap();
        let runs: Vec<Value> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["runs"].clone()).collect();
        assert_eq!(runs, [json!(3), json!(2)]);
    }

    #[test]
    fn a_failed_verification_ends_the_round_without_a_figure() {
        let mut output = Vec::new();
        let error = serve(&b"run 3\n"[..], &mut output, || Err("refused".into())).unwrap_err();
        assert_eq!(error.to_string(), "refused");
        assert!(output.is_empty());
    }

    #[test]
    fn other_lines_are_refused() {
        for line in ["", "run", "run 0", "run 1000001", "run -1", "run 1 2", "RUN 1", "quit now"] {
            assert_eq!(parse(line), None, "{line:?}");
        }
        assert_eq!(parse("run 1000000"), Some(Command::Run(1_000_000)));
    }

    #[test]
    fn a_refusal_is_announced_with_its_reason() {
        let mut output = Vec::new();
        announce(&mut output, "qos", "1.2.3", &Err("expired".into())).unwrap();
        let line: Value = serde_json::from_slice(&output).unwrap();
        assert_eq!(line, json!({"peer": "qos", "version": "1.2.3", "ok": false, "error": "expired"}));
    }
}
