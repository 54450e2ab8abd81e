//! The story itself, in the order it is told.

mod admission;
mod closing;
mod opening;
mod revocation;
mod web_page;

use std::{path::PathBuf, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    Ending, enclave::Enclave, failure::Failure, narrator::Narrator, programs::Programs, proxy::Proxy,
    upstream::Upstream, world::World,
};

/// Tells it, and stops everything afterwards, however it went.
///
/// # Errors
/// The step that did not go as told.
pub(crate) async fn tell(ending: Ending, directory: Option<PathBuf>) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let mut narrator = Narrator::new();
    let stage = tokio::select! {
        stage = Stage::open(&mut narrator, directory) => stage,
        signal = signals.first() => return Err(signal),
    };
    let mut stage = stage?;
    let told = tokio::select! {
        told = stage.play(&mut narrator, ending) => told,
        signal = signals.first() => match ending {
            Ending::Stop => Err(signal),
            Ending::Stay => Ok(()),
        },
    };
    if told.is_err() {
        narrator.failed("this did not go as told; the last lines say why");
    }
    let stopped = stage.close(&mut narrator).await;
    told.and(stopped)?;
    narrator.ends("Every step went as told.");
    Ok(())
}

/// Everybody and everything in the story.
struct Stage {
    programs: Programs,
    world: World,
    upstream: Upstream,
    /// The upstream as an application names it.
    target: String,
    proxy: Proxy,
    page: Option<web_page::WebPage>,
    /// In the order they came.
    enclaves: Vec<Enclave>,
}

impl Stage {
    async fn play(&mut self, narrator: &mut Narrator, ending: Ending) -> Result<(), Failure> {
        self.open_the_page(narrator).await?;
        self.enclave_a_reaches_the_upstream(narrator).await?;
        self.enclave_a_attests_again(narrator).await?;
        self.enclave_b_is_refused(narrator).await?;
        self.a_revocation_cuts_the_tunnel(narrator).await?;
        self.enclave_c_stays(narrator).await?;
        match ending {
            Ending::Stop => Ok(()),
            Ending::Stay => self.stays_up(narrator).await,
        }
    }

    /// The enclave of this name.
    fn enclave(&mut self, name: &str) -> Result<&mut Enclave, Failure> {
        let found = self.enclaves.iter_mut().find(|enclave| enclave.child.name() == name);
        found.ok_or_else(|| Failure::new(format!("{name} on stage"), "nobody"))
    }
}

/// Ctrl-C, and the signals of service managers and closed terminals.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::system("to listen for signals"));
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    /// Returns when one comes.
    async fn first(&mut self) -> Failure {
        let Self([interrupt, terminate, hangup]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        Failure::new("the story to go to its end", "a signal to stop")
    }
}

/// For whatever needs no more than processes on this machine.
const SOON: Duration = Duration::from_secs(20);
