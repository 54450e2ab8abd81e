//! The command line: what there is to say, and what each word does.
//!
//! ```text
//!   words/ ──► run ──► acts/ ──Call──► client/ ─┬─ Remote: HTTPS to a proxy's admin port, with a token or certificate
//!                        │                      └─ Machine: the same routes in this process, over the store itself
//!                        ▼
//!                      show/ (a table for people, the API's own JSON for programs)
//! ```
//!
//! There is one way to change anything, the admin API's; a command only decides
//! how it gets there. On the machine itself nobody is asked for a token: whoever
//! can write to the store needs nobody's permission, and the audit says
//! `local:<user>`. So the first token is made, and so a revocation works while
//! no proxy runs.
//!
//! Not here: what a change means, who may make it, and what is audited.

mod acts;
mod client;
mod failure;
mod input;
mod machine;
mod run;
mod show;
mod words;

pub use run::run;
pub use words::Cli;
