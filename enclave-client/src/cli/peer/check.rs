use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use super::{
    EXIT_REFUSED,
    file::{Failed, PinArgs, RootArgs, trusted},
};
use crate::{
    cli::{EXIT_USAGE, Output},
    peers::config::{Trusted, timestamp},
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArgs {
    /// The ConfigMap, or the peer.yaml in it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    pin: PinArgs,
    #[command(flatten)]
    roots: RootArgs,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl CheckArgs {
    pub(super) fn execute(&self) -> ExitCode {
        match trusted(&self.file, &self.pin, &self.roots) {
            Ok(trusted) => {
                match self.output {
                    Output::Text => lines(&trusted).iter().for_each(|line| println!("{line}")),
                    Output::Json => println!("{}", describe(&trusted)),
                }
                ExitCode::SUCCESS
            }
            Err(failed) => failed.report(self.output),
        }
    }
}

impl Failed {
    /// Prints why, and the exit code that comes of it.
    pub(super) fn report(&self, output: Output) -> ExitCode {
        let (code, text, exit) = match self {
            Self::Usage(text) => ("usage", text, EXIT_USAGE),
            Self::Refused(code, text) => (*code, text, EXIT_REFUSED),
        };
        match output {
            Output::Text => eprintln!("error: {text} ({code})"),
            Output::Json => println!("{}", json!({"ok": false, "code": code, "message": text})),
        }
        ExitCode::from(exit)
    }
}

fn lines(trusted: &Trusted) -> Vec<String> {
    let fields = trusted.config().fields();
    let ports: Vec<_> = fields.ports.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        format!("ok: {}, serial {}", fields.name, fields.serial),
        format!("sha256: {}", hex::encode(trusted.sha256())),
        format!("root: {}", fields.root.as_str()),
        format!("valid: {} to {}", timestamp(fields.validity.from()), timestamp(fields.validity.until())),
        format!("ports: {}", if ports.is_empty() { "none".to_owned() } else { ports.join(", ") }),
    ];
    lines.extend(fields.image.iter().map(|image| format!("image: {image}")));
    for measurement in &fields.measurements {
        lines.push(format!("measurement: {}", measurement.name()));
        lines
            .extend(measurement.pcrs().map(|(index, value)| format!("  PCR{index}: {}", hex::encode(value))));
    }
    lines
}

fn describe(trusted: &Trusted) -> Value {
    let fields = trusted.config().fields();
    let measurements: Vec<_> = fields
        .measurements
        .iter()
        .map(|measurement| {
            let pcrs = measurement.pcrs();
            let pcrs: serde_json::Map<_, _> =
                pcrs.map(|(index, value)| (format!("PCR{index}"), hex::encode(value).into())).collect();
            json!({"name": measurement.name(), "pcrs": pcrs})
        })
        .collect();
    json!({
        "ok": true,
        "name": fields.name,
        "serial": fields.serial.0,
        "sha256": hex::encode(trusted.sha256()),
        "root": fields.root.as_str(),
        "valid_from": timestamp(fields.validity.from()),
        "valid_until": timestamp(fields.validity.until()),
        "ports": fields.ports.iter().map(|port| port.get()).collect::<Vec<_>>(),
        "image": fields.image,
        "measurements": measurements,
    })
}

const EXAMPLES: &str = "\
Examples:
  countersign-enclave peer check configmap.yaml --signer signer.pub.pem
  countersign-enclave peer check /config/spark-worker-oblv-cli-config/peer.yaml --sha256 9f86d081…

Exit codes: 0 it holds now; 1 refused, with the reason; 2 wrong usage, or a file that cannot be read.";
