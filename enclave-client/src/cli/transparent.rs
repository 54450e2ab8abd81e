use std::{num::NonZeroU16, path::Path, sync::Arc};

use clap::{Args, ValueEnum};
use countersign_protocol::egress::Rule;
use rustix::process::getpid;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    attest::chain,
    egress::Egress,
    transparent::{
        Networks, PortList, Transparent, TransparentConfig, TransparentError, Way, write_resolv_conf,
    },
};

/// What `run` does for programs that know no proxy (docs/transparent.md).
#[derive(Args, Clone, Debug, Default)]
pub struct TransparentOptions {
    /// Answer names with addresses of this machine, for programs that know no proxy
    #[arg(long, value_enum, default_value_t)]
    transparent: TransparentMode,
    /// Listen for names at this port too; once for each port
    #[arg(long, value_name = "PORT")]
    transparent_port: Vec<NonZeroU16>,
    /// Whether /etc/resolv.conf is made to name the resolver of the transparent mode
    #[arg(long, value_enum, default_value_t)]
    resolv_conf: ResolvConf,
}

/// How programs that know no proxy are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum TransparentMode {
    /// By names, if this is process 1 and the host half is the way out; else not at all
    #[default]
    Auto,
    /// Not at all
    Off,
    /// By names, and fail if that is not possible
    Names,
    /// By names at every port, through a TUN device, and fail if that is not possible
    Tun,
}

/// Who writes /etc/resolv.conf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ResolvConf {
    /// We do, if this is process 1
    #[default]
    Auto,
    /// We do
    Write,
    /// Somebody else did
    Leave,
}

/// The ports at which the application listens, and at which names are listened for too.
pub(super) fn ports_wanted_twice(
    rules: &[Rule],
    more: &[NonZeroU16],
    listens: &[NonZeroU16],
) -> Vec<NonZeroU16> {
    let ports = PortList::new(rules, more);
    ports.ports().iter().copied().filter(|port| listens.contains(port)).collect()
}

/// What is to be done about one of them.
pub(super) fn wanted_twice(port: NonZeroU16) -> String {
    format!(
        "port {port} stands in ingress and in an allow rule: the application must listen on 127.0.0.1, not on every address"
    )
}

/// What leads out of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WayOut {
    /// Its own network: names are resolved here too.
    Direct,
    /// The host half only.
    Host,
}

impl TransparentOptions {
    /// Starts what was asked for. `listens`: the application's own ports.
    ///
    /// # Errors
    /// [`TransparentError`], if it was asked for by name.
    pub(super) async fn start(
        &self,
        rules: Vec<Rule>,
        listens: &[NonZeroU16],
        way_out: WayOut,
        egress: Arc<Egress>,
        stop: &CancellationToken,
    ) -> Result<(), TransparentError> {
        let first = getpid().is_init();
        let way = match self.transparent {
            TransparentMode::Auto if first && way_out == WayOut::Host => Way::Listeners,
            TransparentMode::Off | TransparentMode::Auto => return Ok(()),
            TransparentMode::Names => Way::Listeners,
            TransparentMode::Tun => Way::Tun,
        };
        let write = match self.resolv_conf {
            ResolvConf::Auto => first,
            ResolvConf::Write => true,
            ResolvConf::Leave => false,
        };
        if way == Way::Listeners {
            for port in ports_wanted_twice(&rules, &self.transparent_port, listens) {
                warn!(code = "port-wanted-twice", "{}", wanted_twice(port));
            }
        }
        match self
            .start_names(rules, way, way_out, write.then_some(Path::new(RESOLV_CONF)), egress, stop)
            .await
        {
            Err(why) if self.transparent == TransparentMode::Auto => {
                warn!(code = "not-transparent", "programs need the HTTP proxy: {}", chain(&why));
                Ok(())
            }
            started => started,
        }
    }

    async fn start_names(
        &self,
        rules: Vec<Rule>,
        way: Way,
        way_out: WayOut,
        resolv_conf: Option<&Path>,
        egress: Arc<Egress>,
        stop: &CancellationToken,
    ) -> Result<(), TransparentError> {
        let networks = match way_out {
            WayOut::Direct if resolv_conf.is_some() => return Err(TransparentError::AsksItself),
            WayOut::Direct => Networks::Untouched,
            WayOut::Host => Networks::Routed,
        };
        let config =
            TransparentConfig { way, ..TransparentConfig::new(rules, &self.transparent_port, networks) };
        let transparent = Transparent::start(config, egress, stop.child_token()).await?;
        if let Some(path) = resolv_conf {
            write_resolv_conf(path).map_err(TransparentError::ResolvConf)?;
        }
        info!(resolver = %transparent.resolver(), "programs that know no proxy are served");
        Ok(())
    }
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
