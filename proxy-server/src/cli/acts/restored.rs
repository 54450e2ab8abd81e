use std::{fmt::Write as _, process::ExitCode, sync::Arc};

use countersign_protocol::Epoch;

use crate::{
    audit::AuditKey,
    cli::{
        failure::Failure,
        machine::{open_store, user},
        run::environment,
        show,
        words::{AcceptRestored, Place, Reach},
    },
    config::MachineConfig,
    refusal,
    serve::{Accepted, Restored},
    store::{Actor, AuditWriter},
};

/// `policy accept-restored`
pub(in crate::cli) async fn accept_restored(
    accept: AcceptRestored,
    reach: Reach,
) -> Result<ExitCode, Failure> {
    let Place::Machine(config) = reach.place(&environment)? else {
        return Err(Failure::Usage(NEEDS_THE_MACHINE.to_owned()));
    };
    let AcceptRestored { yes, above } = accept;
    let above = above.map(Epoch);
    let MachineConfig { state_directory: directory, store, .. } =
        MachineConfig::load(&config).map_err(Failure::Configuration)?;
    let mut writer = AuditWriter::unnamed();
    if yes {
        // So that its row is signed when it is there.
        writer.key = Some(Arc::new(AuditKey::open(&directory)?));
    }
    let store = open_store(&config, directory.clone(), store, writer).await?;
    let found = Restored::look(&store, &directory, above).await?;
    if !found.is_older() {
        return show::print(&format!(
            "nothing was put back: the store has all that was seen of it here, at epoch {}\n",
            found.stored.epoch
        ));
    }
    if !yes {
        show::print(&(told(&found) + &would(&found)))?;
        show::note("nothing was changed; --yes accepts it");
        return Ok(ExitCode::from(1));
    }
    let actor = Actor { subject: format!("local:{}", user()), request_id: refusal::request_id() };
    let accepted = Restored::accept(&store, &directory, above, &actor).await?;
    show::print(&(told(&found) + &did(&accepted) + &again(&found, accepted.committed.epoch)))
}

/// What was known, and what the store has.
fn told(found: &Restored) -> String {
    let Restored { stored, known, lost, .. } = found;
    let mut text = format!(
        "an older copy of the store was put back, or rows were taken from it\n  \
         known here   epoch {known} was in force\n  \
         the store    has epoch {}, committed {}\n",
        stored.epoch, stored.at
    );
    for lost in lost {
        let _ = writeln!(text, "  lost         {lost}");
    }
    text
}

fn would(found: &Restored) -> String {
    let next = found.next();
    format!(
        "accepting it would raise the epoch to {next}, drop every session (their enclaves attest again), write that \
         into the audit as store-restored, and move audit-heads to audit-heads.before-{next}\n{}",
        again(found, next)
    )
}

fn did(accepted: &Accepted) -> String {
    let Accepted { committed, aside } = accepted;
    format!(
        "accepted: the epoch is {}, every session was dropped (their enclaves attest again), the audit says \
         store-restored, and what was known lies in {}\n",
        committed.epoch,
        aside.display()
    )
}

/// Nobody knows what was revoked: the rows that said so are those that are lost.
fn again(found: &Restored, next: Epoch) -> String {
    let Restored { stored, known, .. } = found;
    let first = stored.epoch.0.saturating_add(1);
    let which = if first <= known.0 { format!("in the epochs {first} to {known}, ") } else { String::new() };
    format!(
        "MAKE AGAIN what was revoked {which}after {}: measurements, workloads, sets of PCRs and API tokens stand in \
         epoch {next} as they stood in {}; an export of the audit, or the log, has what this store has lost\n",
        stored.at, stored.epoch
    )
}

/// Also for whoever has a server in his environment.
pub(super) const NEEDS_THE_MACHINE: &str = "accept-restored compares the store with the state directory: say it on \
     the replica's machine, with --config FILE";
