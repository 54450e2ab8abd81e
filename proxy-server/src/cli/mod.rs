//! The command line: what there is to say, and what each word does.

mod list;
mod run;
mod words;

pub use run::run;
pub use words::Cli;
