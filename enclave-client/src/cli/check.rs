use std::{num::NonZeroU16, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use super::{
    EXIT_USAGE, ManifestArg, Output,
    print::{lines, print},
    transparent::{ports_wanted_twice, wanted_twice},
};
use crate::manifest::{Manifest, ManifestError, Mistake};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    manifest: ManifestArg,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl CheckArgs {
    pub(super) fn execute(&self) -> ExitCode {
        let checked = self.manifest.load();
        let code = if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) };
        match self.output {
            Output::Text => print(lines(self.text(&checked)), code),
            Output::Json => print(format_args!("{}\n", json(&checked)), code),
        }
    }

    fn text(&self, checked: &Result<Manifest, ManifestError>) -> Vec<String> {
        let manifest = match checked {
            Ok(manifest) => manifest,
            Err(error) => return self.manifest.lines(error),
        };
        let file = self.manifest.manifest.display();
        let twice = ports_of(manifest);
        let counts = [
            count(manifest.rules.len(), "rule", "rules"),
            count(manifest.proxies.len(), "proxy", "proxies"),
            count(manifest.warnings.len() + twice.len(), "warning", "warnings"),
        ];
        let summary = format!("ok: {}", counts.join(", "));
        let warning = |Mistake { line, column, path, message }: &Mistake| {
            format!("{file}:{line}:{column}: {path}: warning: {message}")
        };
        let twice = twice.into_iter().map(|port| format!("{file}: warning: {}", wanted_twice(port)));
        std::iter::once(summary).chain(manifest.warnings.iter().map(warning)).chain(twice).collect()
    }
}

/// Those that the transparent mode of an enclave would listen at beside the application.
fn ports_of(manifest: &Manifest) -> Vec<NonZeroU16> {
    let listens: Vec<_> = manifest.ingress.iter().map(|entry| entry.listen_port).collect();
    ports_wanted_twice(&manifest.rules, &[], &listens)
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn json(checked: &Result<Manifest, ManifestError>) -> Value {
    let twice = |manifest: &Manifest| {
        ports_of(manifest).into_iter().map(|port| json!({"message": wanted_twice(port)}))
    };
    match checked {
        Ok(manifest) => json!({
            "ok": true,
            "rules": manifest.rules.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "proxies": manifest.proxies.iter().map(|proxy| proxy.name.to_string()).collect::<Vec<_>>(),
            "warnings": manifest.warnings.iter().map(place).chain(twice(manifest)).collect::<Vec<_>>(),
        }),
        Err(error) => mistakes(error),
    }
}

/// What a program is told of a manifest that is none, by `check` and by `explain`.
pub(super) fn mistakes(error: &ManifestError) -> Value {
    match error {
        ManifestError::Mistakes(mistakes) => {
            json!({"ok": false, "mistakes": mistakes.iter().map(place).collect::<Vec<_>>()})
        }
        error => json!({"ok": false, "mistakes": [{"message": crate::attest::chain(error)}]}),
    }
}

fn place(Mistake { line, column, path, message }: &Mistake) -> Value {
    json!({"line": line, "column": column, "path": path, "message": message})
}
