//! The running proxy: start order, reload, graceful stop.
//!
//! ```text
//!   lock ► who this is ► store, seed ► policy ► sessions restored ► CA ► both ports bound
//!        ► gateway, attestation ► followers of the store, first heartbeat ► ready
//!   first signal:  attestation and gateway close, tunnels drain, policy and leases still cut;
//!                  then the admin port, which says `draining` until then
//!   second signal: the end
//! ```

mod admin;
mod background;
mod ends;
mod error;
mod housekeeping;
mod lock;
mod open_files;
mod parts;
mod restored;
mod signals;
mod witness;

use std::{path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use error::ServeError;
use parts::Parts;
pub use restored::{Accepted, Lost, Restored};
pub use signals::Stopped;
use signals::{Signal, Signals};

use crate::{
    config::{Config, Mistakes},
    log::Chain,
    store::{Store, UnixMs},
    telemetry::Outlet,
};

/// Serves until told to stop.
///
/// `ready_file` is written once all ports accept: tests and service managers wait for it.
/// `outlet` is who is told of it all.
///
/// # Errors
/// [`ServeError`] when something cannot be started; then nothing listens.
pub async fn serve(
    config: Config,
    path: PathBuf,
    ready_file: Option<PathBuf>,
    outlet: Outlet,
) -> Result<Stopped, ServeError> {
    let mut signals = Signals::new().map_err(ServeError::Signals)?;
    let (closing, stopped) = (CancellationToken::new(), CancellationToken::new());
    let Parts { background, attestation, gateway, admin, listeners, journal, lock } =
        boxed(Parts::start(&config, &closing, &outlet)).await?;

    let store = Arc::clone(&background.store);
    let told = CancellationToken::new();
    let replica = background.identity.id.to_string();
    let telling = tokio::spawn(outlet.run(background.telemetry.clone(), replica, told.clone()));
    let background = boxed(background.start(&config, &stopped)).await;
    let (ports, administration) = (TaskTracker::new(), TaskTracker::new());
    let drained = CancellationToken::new();
    let addresses = listeners.addresses;
    ports.spawn(attestation.serve(listeners.attestation, closing.clone()));
    ports.spawn(gateway.serve(listeners.gateway, closing.clone()));
    if let (Some(admin), Some(listener)) = (admin, listeners.admin) {
        administration.spawn(admin.serve(listener, drained.clone()));
    }
    ports.close();
    administration.close();

    if let Some(file) = ready_file {
        addresses.write(&file).map_err(|source| ServeError::File { path: file, source })?;
    }
    tracing::info!(
        code = "ready",
        attestation = %addresses.attestation,
        gateway = %addresses.gateway,
        admin = addresses.admin.map(tracing::field::display),
        deployment = %config.deployment,
        root = %config.trust,
        "all ports accept"
    );

    while let Signal::Reload = signals.next().await {
        reload(&path, store.as_ref()).await;
    }
    tracing::info!(code = "draining", seconds = config.drain.as_secs(), "stopping: open tunnels may finish");
    closing.cancel();
    // Whoever watches the drain, or hurries it by a revocation, does so to its end.
    let ends = async {
        ports.wait().await;
        drained.cancel();
        administration.wait().await;
    };
    let mut outcome = tokio::select! {
        () = ends => Stopped::Drained,
        () = signals.stop() => Stopped::AtOnce,
    };
    stopped.cancel();
    if outcome == Stopped::Drained {
        background.close();
        let last = async {
            // What each of them still says to the store, it may say too late.
            let _ = timeout(LAST_WORDS, background.wait()).await;
            // Rows of refusals may still be on their way; those of admissions are written.
            let _ = timeout(LAST_ROWS, journal).await;
        };
        tokio::select! {
            () = last => {}
            () = signals.stop() => outcome = Stopped::AtOnce,
        }
    }
    tracing::info!(code = "stopped", how = %outcome, "stopped");
    told.cancel();
    if outcome == Stopped::Drained {
        // It has a deadline of its own.
        let _ = telling.await;
    }
    drop(lock);
    Ok(outcome)
}

/// Large futures that borrow: as part of another one the compiler cannot see that they are `Send` for every lifetime.
fn boxed<'a, T>(future: impl Future<Output = T> + Send + 'a) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    Box::pin(future)
}

/// Reads the file again. What is wrong with it changes nothing; what is right
/// goes into the store, where the watcher finds it like any other change.
async fn reload(path: &std::path::Path, store: &dyn Store) {
    let loaded: Result<Config, Mistakes> = Config::load(path);
    let config = match loaded {
        Ok(config) => config,
        Err(mistakes) => {
            for mistake in &mistakes.list {
                let (line, column) = mistake.position.unwrap_or_default();
                tracing::error!(code = "reload-refused", line, column, mistake = %mistake, "the old policy stays in force");
            }
            return;
        }
    };
    match store.seed(&config.workloads, UnixMs::now()).await {
        Ok(seeded) => parts::report(&seeded),
        Err(error) => {
            tracing::error!(code = "reload-failed", error = %Chain(&error), "the old policy stays in force");
        }
    }
}

/// How long whatever runs beside the ports may take to end: the last heartbeat, the last checkpoint.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long the audit's last rows may take.
const LAST_ROWS: Duration = Duration::from_secs(2);
