use std::{path::Path, process::ExitCode};

use tokio::{
    fs::OpenOptions,
    io::{AsyncWrite, stdout},
};

use crate::{
    cli::{
        client::{Call, Client},
        failure::Failure,
        show::{self, AuditRow},
        words::{AuditCommand, AuditFilter},
    },
    store::UnixMs,
};

/// `audit list` and `audit export`; [`super::verify`] is the third.
pub(in crate::cli) async fn audit(client: &Client, command: &AuditCommand) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::List { filter, list } => show::list::<AuditRow>(client, asked(filter), list).await,
        AuditCommand::Export { file } => match file.as_deref().filter(|path| *path != Path::new("-")) {
            None => {
                export(client, &mut stdout()).await?;
                Ok(ExitCode::SUCCESS)
            }
            Some(path) => to_file(client, path).await,
        },
        AuditCommand::Verify(_) => Err(Failure::Usage("audit verify asks for itself".to_owned())),
    }
}

fn asked(filter: &AuditFilter) -> Call {
    let AuditFilter { workload, session, kind, code, actor, from, until } = filter;
    let now = UnixMs::now();
    Call::get("/v1/audit")
        .query("workload", workload.as_ref())
        .query("session", session.as_ref())
        .query("kind", kind.map(|kind| kind.as_str()))
        .query("code", code.as_ref())
        .query("actor", actor.as_ref())
        .query("from", from.map(|at| at.ago(now)))
        .query("until", until.map(|at| at.ago(now)))
}

/// Writes the whole audit there.
pub(super) async fn export(
    client: &Client,
    out: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<u64, Failure> {
    client.stream(&Call::get("/v1/audit/export"), out).await
}

/// An export that was cut off stays: it says so itself, and `audit verify` finds it.
async fn to_file(client: &Client, path: &Path) -> Result<ExitCode, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path).await;
    let mut file =
        file.map_err(|error| Failure::wrong(path, format_args!("cannot be made: {error}; name a new file")))?;
    let bytes = export(client, &mut file).await?;
    file.sync_all().await.map_err(|error| Failure::wrong(path, error))?;
    show::print(&format!(
        "{}: {bytes} bytes; check it with: countersign-proxy audit verify {0}\n",
        path.display()
    ))
}

/// The audit names people and machines.
const OWNER_ONLY: u32 = 0o600;
