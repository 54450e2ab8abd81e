//! The application: started with the proxy in its environment, signals passed on,
//! children reaped, its exit code kept.
//!
//! In an enclave this program is PID 1, so whatever loses its parent becomes its
//! child. Outside it makes itself a subreaper (`prctl(2)`), so that the same is
//! true everywhere and tests see what an enclave sees.

mod output;
mod recipient;
mod signals;

use std::{
    ffi::OsString,
    fmt, io,
    net::SocketAddr,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, set_child_subreaper, wait};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::Instant,
};
use tracing::{debug, warn};

pub use output::ApplicationOutput;
use output::Output;
use recipient::Recipient;
use signals::Signals;

/// The application's command line.
#[derive(Clone, Debug)]
pub struct Application {
    /// Found in `PATH` if it has no slash.
    pub program: OsString,
    /// Everything after it.
    pub arguments: Vec<OsString>,
    /// Where its lines go.
    pub output: ApplicationOutput,
}

/// Where the application's process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationState {
    /// Not started yet.
    Starting,
    /// It runs.
    Running {
        /// Since then.
        since: Instant,
    },
    /// It has ended, or did not start.
    Ended,
}

/// How the application ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
}

impl Ended {
    /// As a shell says it: the code, or 128 and the signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        Self::from(ended.code())
    }
}

/// Passes signals on and reaps from the moment it is made, so that a signal that
/// comes before the application starts is not lost.
pub struct Supervisor {
    signals: Signals,
    children: tokio::signal::unix::Signal,
    state: watch::Sender<ApplicationState>,
}

impl Supervisor {
    /// Takes over the signals of this process.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn new() -> io::Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        let (state, _) = watch::channel(ApplicationState::Starting);
        Ok(Self { signals: Signals::new()?, children: signal(SignalKind::child())?, state })
    }

    /// The application's state, from now to its end.
    pub fn state(&self) -> watch::Receiver<ApplicationState> {
        self.state.subscribe()
    }

    /// The next signal that would end the application; for the time before it runs.
    pub async fn stop_signal(&mut self) -> Signal {
        loop {
            let signal = self.signals.next().await;
            if matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT | Signal::HUP) {
                return signal;
            }
        }
    }

    /// Starts the application and returns when it has ended. Signals are passed on: to its whole process group, or
    /// to it alone where it shares a terminal with this process.
    ///
    /// Its environment is this one's, with the proxy and `variables` in it.
    ///
    /// # Errors
    /// [`StartError`] when it does not start.
    pub async fn run(
        mut self,
        application: &Application,
        proxy: SocketAddr,
        variables: Vec<(&'static str, String)>,
    ) -> Result<Ended, StartError> {
        let mut command = Command::new(&application.program);
        command.args(&application.arguments).envs(environment(proxy)).envs(variables);
        let recipient = Recipient::here();
        if recipient == Recipient::Group {
            command.process_group(0);
        }
        if std::env::var_os("PATH").is_none() {
            // The kernel gives its first process none.
            command.env("PATH", DEFAULT_PATH);
        }
        application.output.prepare(&mut command);
        let failed = |why| StartError { program: application.program.clone(), why };
        let mut child = command.spawn().map_err(failed)?;
        // Before its first line is read: whoever reads that it is ready must find it running.
        self.state.send_replace(ApplicationState::Running { since: Instant::now() });
        let output = Output::of(&mut child).map_err(failed)?;
        let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let child = child.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        loop {
            if let Some(ended) = reap(child) {
                self.state.send_replace(ApplicationState::Ended);
                output.finish().await;
                return Ok(ended);
            }
            tokio::select! {
                _ = self.children.recv() => {}
                signal = self.signals.next() => {
                    debug!(?signal, "signal passed on");
                    if let Err(why) = recipient.tell(child, signal) {
                        warn!("signal {signal:?} was not passed on: {why}");
                    }
                }
            }
        }
    }
}

/// Reaps everything that has ended; the application's end, if it is among it.
/// SIGCHLD is not counted by the system, so one is as good as many.
fn reap(child: Pid) -> Option<Ended> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == child {
            ended = how(status);
        } else {
            debug!(?pid, "orphan reaped");
        }
    }
    ended
}

fn how(status: WaitStatus) -> Option<Ended> {
    let small = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    let code = status.exit_status().map(|code| Ended::Code(small(code)));
    code.or_else(|| status.terminating_signal().map(|signal| Ended::Signal(small(signal))))
}

/// What programs look for: both cases of letters, since curl reads `http_proxy`
/// in lower case only and others upper case only.
fn environment(proxy: SocketAddr) -> impl Iterator<Item = (String, String)> {
    let url = format!("http://{proxy}");
    [
        ("http_proxy", url.clone()),
        ("https_proxy", url.clone()),
        ("all_proxy", url),
        ("no_proxy", NO_PROXY.to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [(name.to_owned(), value.clone()), (name.to_uppercase(), value)])
}

/// As login(1) and AWS's init have it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const NO_PROXY: &str = "localhost,127.0.0.1,::1";

/// The application did not start.
#[derive(Debug)]
pub struct StartError {
    program: OsString,
    why: io::Error,
}

impl StartError {
    /// As a shell says it: 127 for a program that is not there, 126 for one that does not run.
    pub fn code(&self) -> u8 {
        if self.why.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not start", self.program.display())
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_has_every_name_in_both_cases() {
        let proxy = "127.0.0.1:3128".parse().unwrap();
        let set: Vec<_> = environment(proxy).map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            set,
            [
                "http_proxy=http://127.0.0.1:3128",
                "HTTP_PROXY=http://127.0.0.1:3128",
                "https_proxy=http://127.0.0.1:3128",
                "HTTPS_PROXY=http://127.0.0.1:3128",
                "all_proxy=http://127.0.0.1:3128",
                "ALL_PROXY=http://127.0.0.1:3128",
                "no_proxy=localhost,127.0.0.1,::1",
                "NO_PROXY=localhost,127.0.0.1,::1",
            ]
        );
    }

    #[test]
    fn an_end_is_one_byte_as_in_a_shell() {
        assert_eq!(Ended::Code(7).code(), 7);
        assert_eq!(Ended::Signal(15).code(), 143);
    }
}
