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

    /// Warns, and writes the file now and then, so that a killed enclave leaves something behind.
    pub(super) fn start(&self, enforcement: &Enforcement, runtime: &Runtime) {
        if let (Some(file), Enforcement::Learn(recorder)) = (&self.learn, enforcement) {
            runtime.spawn(recorder.clone().keep(file.clone()));
        }
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
