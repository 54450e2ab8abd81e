use std::{
    io::{BufReader, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use tokio::{io::duplex, task::spawn_blocking};
use tokio_util::io::SyncIoBridge;

use super::audit::export;
use crate::{
    audit::{
        AuditKey, AuditPublicKey, Distrust, Finding, Known, KnownHeads, Report, TrustedKeys, verify_export,
    },
    cli::{
        client::Client,
        failure::Failure,
        input,
        machine::{self, Needs},
        run::environment,
        show,
        words::{AuditVerify, Output, Place, Reach},
    },
    config::MachineConfig,
};

/// `audit verify`: over a file, over a server's export, or over this machine's
/// store, which is exported into the same check. So there is one check, and it
/// reads what an auditor would be given.
pub(in crate::cli) async fn verify(verify: AuditVerify, reach: Reach) -> Result<ExitCode, Failure> {
    let AuditVerify { file, keys, known_heads, read } = verify;
    let mut witnesses = Witnesses::read(&keys, &known_heads)?;
    let place = reach.place(&environment)?;
    let no_keys = keys.is_empty() && (file.is_some() || matches!(place, Place::Server(_)));
    let report = match (file, place) {
        (Some(path), _) => {
            let reader = input::open(&path)?;
            witnesses.check(reader).map_err(|failure| of_file(failure, &path))?
        }
        (None, Place::Server(place)) => {
            check_export(Client::of_server(place, &environment)?, witnesses).await?
        }
        (None, Place::Machine(config)) => {
            witnesses.add_own(&config)?;
            check_export(machine::client(&config, Needs::Store).await?, witnesses).await?
        }
    };
    match read.output {
        Output::Json => show::print(&format!("{}\n", serde_json::to_string(&report)?))?,
        Output::Table => {
            let lines: Vec<_> =
                report.to_string().lines().map(|line| show::visible(line).into_owned()).collect();
            show::print(&format!("{}\n", lines.join("\n")))?
        }
    };
    if no_keys && report.checkpoints > 0 {
        show::note(NO_KEYS);
    } else if report.findings.iter().any(names_an_unknown_key) {
        show::note(OTHER_KEYS);
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Every replica signs with a key of its own, and a machine knows only its own.
fn names_an_unknown_key(finding: &Finding) -> bool {
    let (Finding::CheckpointDistrusted { reason, .. } | Finding::AnchorDistrusted { reason, .. }) = finding
    else {
        return false;
    };
    matches!(reason, Distrust::UnknownKey { .. })
}

/// Reads the export while it comes, in memory that does not grow with it.
async fn check_export(client: Client, witnesses: Witnesses) -> Result<Report, Failure> {
    let (mut near, far) = duplex(PIPE);
    let checking = spawn_blocking(move || {
        witnesses.check(SyncIoBridge::new(far)).map_err(|failure| failure.to_string())
    });
    let exported = export(&client, &mut near).await;
    // The reader sees the end, and says what it found up to there.
    drop(near);
    let checked = checking.await?;
    // Why the export broke off says more than that it did. A reader that gave up breaks it, too.
    match (exported, checked) {
        (_, Err(reason)) => Err(Failure::wrong("the export", reason)),
        (Err(failure), Ok(_)) => Err(failure),
        (Ok(_), Ok(report)) => Ok(report),
    }
}

/// What is believed although it does not lie in the database.
#[derive(Debug)]
struct Witnesses {
    keys: Vec<AuditPublicKey>,
    known: Vec<Known>,
}

impl Witnesses {
    fn read(keys: &[PathBuf], known_heads: &[PathBuf]) -> Result<Self, Failure> {
        let key = |path: &PathBuf| {
            let text =
                String::from_utf8(input::read(path, SMALL)?).map_err(|error| Failure::wrong(path, error))?;
            text.parse().map_err(|error| Failure::wrong(path, format_args!("{error}")))
        };
        let known = |path: &PathBuf| {
            let bytes = input::read(path, SMALL)?;
            Known::from_json(&bytes)
                .map_err(|error| Failure::wrong(path, format_args!("no known heads: {error}")))
        };
        Ok(Self {
            keys: keys.iter().map(key).collect::<Result<_, _>>()?,
            known: known_heads.iter().map(known).collect::<Result<_, _>>()?,
        })
    }

    /// What this machine's state directory holds.
    fn add_own(&mut self, config: &Path) -> Result<(), Failure> {
        let directory = MachineConfig::load(config).map_err(Failure::Configuration)?.state_directory;
        self.keys.extend(AuditKey::public_in(&directory)?);
        self.known.push(KnownHeads::open(&directory)?.known().clone());
        Ok(())
    }

    fn check(&self, reader: impl Read) -> Result<Report, Failure> {
        let trusted = TrustedKeys::new(self.keys.iter().copied());
        Ok(verify_export(BufReader::with_capacity(PIPE, reader), &trusted, &self.known)?)
    }
}

fn of_file(failure: Failure, path: &Path) -> Failure {
    Failure::wrong(path, format_args!("no export of an audit: {failure}"))
}

const NO_KEYS: &str = "no --key was named, so no checkpoint is believed: replica list --output json has each replica's \
                       key (audit_key); keep them where whoever writes to the store does not come";

const OTHER_KEYS: &str = "a checkpoint names a key that was not given. Other replicas sign with keys of their own: replica \
                          list --output json shows what each says its key is (audit_key); name those you trust, --key \
                          FILE for each";

/// A key is a line, known heads are some KiB.
const SMALL: usize = 64 * 1024;

const PIPE: usize = 64 * 1024;
