use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use super::EXIT_OS;

/// Prints what was asked for, and gives the exit code of a command that comes to `code`. A reader that has gone
/// (`… | head -1`) has read enough; any other failure is one of the command, since nobody has what it says.
pub(super) fn print(text: impl Display, code: ExitCode) -> ExitCode {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: the output cannot be written: {why}");
            ExitCode::from(EXIT_OS)
        }
        _ => code,
    }
}

/// Texts, each as a line.
pub(super) fn lines<T: Display>(texts: impl IntoIterator<Item = T>) -> String {
    texts.into_iter().map(|text| format!("{text}\n")).collect()
}
