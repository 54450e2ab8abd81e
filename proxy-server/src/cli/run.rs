use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use time::OffsetDateTime;

use super::{
    acts,
    client::Client,
    failure::Failure,
    machine::{self, Needs},
    show::print,
    words::{
        Asked, AuditCommand, Cli, Command, ConfigCommand, ConfigFile, Place, PolicyCommand, Reach,
        SessionCaCommand,
    },
};
use crate::{
    ca::{make_session_root, make_trial_certificate},
    config::Config,
    log,
    serve::{Stopped, serve},
    telemetry::Outlet,
};

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    act(cli.command).unwrap_or_else(|failure| {
        failure.complain();
        failure.exit_code()
    })
}

fn act(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve { config, ready_file } => run_serve(config, ready_file),
        Command::Config(ConfigCommand::Check(config)) => check(&config),
        Command::SessionCa(SessionCaCommand::Make { out }) => session_root(&out),
        Command::DevCertificate { dir, names } => trial_certificate(&dir, &names),
        Command::Workload(Asked { command, reach }) => {
            asking(reach, command.needs(), async |client| acts::workload(&client, &command).await)
        }
        Command::Measurement(Asked { command, reach }) => {
            asking(reach, command.needs(), async |client| acts::measurement(&client, &command).await)
        }
        Command::Session(Asked { command, reach }) => {
            asking(reach, Needs::Store, async |client| acts::session(&client, &command).await)
        }
        Command::Token(Asked { command, reach }) => {
            asking(reach, Needs::Store, async |client| acts::token(&client, &command).await)
        }
        Command::Tombstone(Asked { command, reach }) => {
            asking(reach, command.needs(), async |client| acts::tombstone(&client, &command).await)
        }
        Command::Replica(Asked { command, reach }) => {
            asking(reach, Needs::Store, async |client| acts::replica(&client, &command).await)
        }
        Command::Status { read, reach } => in_runtime(async {
            match reach.place(&environment)? {
                Place::Server(place) => acts::status(&Client::of_server(place, &environment)?, &read).await,
                Place::Machine(_) => Err(Failure::Usage(acts::STATUS_NEEDS_A_SERVER.to_owned())),
            }
        }),
        Command::Policy(Asked { command: PolicyCommand::AcceptRestored(accept), reach }) => {
            in_runtime(acts::accept_restored(accept, reach))
        }
        Command::Backup { config, out } => in_runtime(acts::backup(&config.path, &out)),
        Command::Policy(Asked { command, reach }) => {
            asking(reach, Needs::Rules, async |client| acts::policy(&client, &command).await)
        }
        Command::Kms(Asked { command, reach }) => in_runtime(async {
            let place = reach.place(&environment)?;
            let config = match &place {
                Place::Server(_) => None,
                Place::Machine(config) => Some(config.clone()),
            };
            let client = client(place, Needs::Store).await?;
            acts::kms(&client, &command, config.as_deref()).await
        }),
        Command::Audit(Asked { command: AuditCommand::Verify(verify), reach }) => {
            in_runtime(acts::verify(verify, reach))
        }
        Command::Audit(Asked { command, reach }) => {
            asking(reach, Needs::Store, async |client| acts::audit(&client, &command).await)
        }
    }
}

/// Finds the admin API and does something with it.
fn asking(
    reach: Reach,
    needs: Needs,
    act: impl AsyncFnOnce(Client) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    in_runtime(async {
        let client = client(reach.place(&environment)?, needs).await?;
        act(client).await
    })
}

async fn client(place: Place, needs: Needs) -> Result<Client, Failure> {
    match place {
        Place::Server(place) => Client::of_server(place, &environment),
        Place::Machine(config) => machine::client(&config, needs).await,
    }
}

/// What the environment says.
pub(super) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn in_runtime(act: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(act);
    // A name that is still being looked up, or a file being read, is not waited for.
    runtime.shutdown_background();
    done
}

fn run_serve(config: ConfigFile, ready_file: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let path = config.path;
    let config = load(&path)?;
    let (outlet, trouble) = Outlet::new(&config.telemetry, |name| std::env::var(name).ok());
    log::start(config.log, outlet.log_layer());
    if let Some(trouble) = trouble {
        tracing::error!(code = "telemetry-off", why = trouble, "no telemetry is sent");
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        builder.worker_threads(workers);
    }
    let runtime = builder.enable_all().build()?;
    let stopped = runtime.block_on(serve(config, path, ready_file, outlet))?;
    // What still runs after a second signal is not waited for.
    runtime.shutdown_background();
    Ok(match stopped {
        Stopped::Drained => ExitCode::SUCCESS,
        Stopped::AtOnce => ExitCode::from(130),
    })
}

fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(Failure::Configuration)
}

fn check(config: &ConfigFile) -> Result<ExitCode, Failure> {
    let path = &config.path;
    let config = load(path)?;
    let measurements: usize = config.workloads.iter().map(|spec| spec.measurements.len()).sum();
    print(&format!(
        "{}: no mistakes ({} workloads, {measurements} measurements)\n",
        path.display(),
        config.workloads.len()
    ))
}

fn session_root(out: &Path) -> Result<ExitCode, Failure> {
    make_session_root(out, OffsetDateTime::now_utc())?;
    print(&format!("give every replica this file:\n\n[session_ca]\nfile = \"{}\"\n", out.display()))
}

fn trial_certificate(directory: &Path, names: &[String]) -> Result<ExitCode, Failure> {
    let [ca, certificate, key] = make_trial_certificate(directory, names, OffsetDateTime::now_utc())?;
    print(&format!(
        "anchor for the enclave's manifest: {}\n\n[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        ca.display(),
        certificate.display(),
        key.display()
    ))
}
