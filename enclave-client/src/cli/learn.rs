//! `run --learn FILE`: the flag, and who writes the file.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use countersign_protocol::egress::PolicyError;
use tokio::runtime::Runtime;
use tracing::error;

use crate::{
    egress::{Enforcement, Recorder},
    manifest::Manifest,
};

#[derive(Debug, Args)]
pub(super) struct LearnArgs {
    /// DEVELOPMENT ONLY: let everything out that no deny rule names, and write to FILE the manifest that would allow it
    #[arg(long = FLAG, value_name = "FILE")]
    learn: Option<PathBuf>,
}

impl LearnArgs {
    /// # Errors
    /// [`PolicyError`] when the manifest's rules make no policy.
    pub(super) fn enforcement(&self, manifest: &Manifest) -> Result<Enforcement, PolicyError> {
        if self.learn.is_none() {
            return Ok(Enforcement::Enforce);
        }
        let gated = manifest.proxies.iter().flat_map(|proxy| proxy.destinations.iter().cloned());
        Ok(Enforcement::Learn(Arc::new(Recorder::new(&manifest.rules, gated.collect())?)))
    }

    /// Writes the file for the first time, so that nobody learns for nothing; then warns, and writes it now and then,
    /// so that a killed enclave leaves something behind.
    ///
    /// # Errors
    /// The file system's, with the file's name.
    pub(super) fn start(&self, enforcement: &Enforcement, runtime: &Runtime) -> Result<(), String> {
        if let (Some(file), Enforcement::Learn(recorder)) = (&self.learn, enforcement) {
            recorder.write(file).map_err(|why| format!("{} cannot be written: {why}", file.display()))?;
            runtime.spawn(recorder.clone().keep(file.clone()));
        }
        Ok(())
    }

    /// Writes the file for the last time.
    pub(super) fn finish(&self, enforcement: &Enforcement) {
        if let (Some(file), Enforcement::Learn(recorder)) = (&self.learn, enforcement)
            && let Err(why) = recorder.write(file)
        {
            error!(code = "learn-failed", "{} cannot be written: {why}", file.display());
        }
    }
}

/// A release build has only the loud word for it.
const FLAG: &str = if cfg!(any(debug_assertions, feature = "simulator")) { "learn" } else { "danger-learn" };
