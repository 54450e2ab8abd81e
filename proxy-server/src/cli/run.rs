use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use time::OffsetDateTime;

use super::{
    list,
    words::{Cli, Command, ConfigCommand, ConfigFile, MeasurementCommand, SessionCaCommand, SessionCommand},
};
use crate::{
    ca::{make_session_root, make_trial_certificate},
    config::{Config, Mistakes},
    log::{self, Chain},
    serve::{Stopped, serve},
    store::{
        self, Actor, AuditWriter, Change, ChangeRequest, MeasurementFilter, MeasurementRow, Missing, Page,
        Store, StoreConfig, StoreError, UnixMs, Visible,
    },
};

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Serve { config, ready_file } => run_serve(config, ready_file),
        Command::Config(ConfigCommand::Check(config)) => check(&config),
        Command::Measurement(MeasurementCommand::Revoke { measurement, config, reason }) => {
            with_store(&config, async |store| {
                let (workload, name) = (measurement.workload.parse()?, measurement.name);
                let done = format!("revoked {workload}/{name} in epoch");
                let request = local(Change::RevokeMeasurement { workload, name, reason });
                print(&format!("{done} {}\n", store.change(request).await?.committed.epoch))
            })
        }
        Command::Measurement(MeasurementCommand::List(args)) => with_store(&args.config, async |store| {
            print(&list::measurements(&every_measurement(store.as_ref()).await?, args.output))
        }),
        Command::Session(SessionCommand::List(args)) => with_store(&args.config, async |store| {
            let now = UnixMs::now();
            print(&list::sessions(&store.sessions(now).await?, now, args.output))
        }),
        Command::SessionCa(SessionCaCommand::Make { out }) => session_root(&out),
        Command::DevCertificate { dir, names } => trial_certificate(&dir, &names),
    };
    done.unwrap_or_else(|failure| {
        complain(&failure);
        failure.exit_code()
    })
}

/// Why a command did not do what it was told.
#[derive(Debug)]
enum Failure {
    Configuration(Mistakes),
    Other(Box<dyn Error>),
}

impl Failure {
    /// 2 for what could not be read, 1 for what was read and refused, or failed.
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(mistakes)
                if mistakes.list.iter().any(|mistake| mistake.position.is_none()) =>
            {
                ExitCode::from(2)
            }
            Self::Configuration(_) | Self::Other(_) => ExitCode::from(1),
        }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(Box::new(error))
    }
}

fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(Failure::Configuration)
}

fn run_serve(config: ConfigFile, ready_file: Option<std::path::PathBuf>) -> Result<ExitCode, Failure> {
    let path = config.path;
    let config = load(&path)?;
    log::start(config.log);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        builder.worker_threads(workers);
    }
    let runtime = builder.enable_all().build()?;
    let stopped = runtime.block_on(serve(config, path, ready_file))?;
    // What still runs after a second signal is not waited for.
    runtime.shutdown_background();
    Ok(match stopped {
        Stopped::Drained => ExitCode::SUCCESS,
        Stopped::AtOnce => ExitCode::from(130),
    })
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

fn with_store(
    config: &ConfigFile,
    act: impl AsyncFnOnce(Arc<dyn Store>) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let directory = Config::state_directory(&config.path).map_err(Failure::Configuration)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let identity = AuditWriter::unnamed();
        act(store::open(&StoreConfig::Sqlite { directory }, identity, Missing::Fail).await?).await
    })
}

fn session_root(out: &Path) -> Result<ExitCode, Failure> {
    make_session_root(out, OffsetDateTime::now_utc())?;
    print(&format!("give every replica this file:\n\n[session_ca]\nfile = \"{}\"\n", out.display()))
}

/// A change by whoever may write the store's file.
fn local(change: Change) -> ChangeRequest {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    let subject = format!("local:{}", user.as_deref().unwrap_or("unknown"));
    let request_id = format!("cli-{}", std::process::id());
    ChangeRequest::at_once(change, Actor { subject, request_id }, UnixMs::now())
}

async fn every_measurement(store: &dyn Store) -> Result<Vec<MeasurementRow>, StoreError> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = Page { after, limit: Page::MOST };
        let page = store.measurements(&Visible::Everything, &MeasurementFilter::default(), page).await?;
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return Ok(rows);
        }
    }
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

fn print(text: &str) -> Result<ExitCode, Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads the first lines and leaves has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

fn complain(failure: &Failure) {
    let stderr = io::stderr();
    let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (red, plain) = if colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let text = match failure {
        Failure::Configuration(mistakes) => {
            let count = mistakes.list.len();
            let noun = if count == 1 { "mistake" } else { "mistakes" };
            format!(
                "{mistakes}\n{red}error:{plain} {count} {noun} in the configuration; nothing was started\n"
            )
        }
        Failure::Other(error) => format!("{red}error:{plain} {}\n", Chain(error.as_ref())),
    };
    // There is nowhere left to say that stderr is closed.
    let _ = stderr.lock().write_all(text.as_bytes());
}
