use std::{fmt, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

/// Ours and the competitors, side by side. `tests/bench/run.sh` builds what this needs and starts it.
#[derive(Debug, Parser)]
#[command(name = "countersign-bench", version)]
pub(crate) struct Settings {
    /// What to measure; everything when none is named.
    #[arg(value_enum)]
    only: Option<Part>,
    /// The `countersign-proxy` to measure, built with the feature `simulator`.
    #[arg(long, value_name = "FILE")]
    pub(crate) proxy: PathBuf,
    /// The `countersign-enclave` to measure.
    #[arg(long, value_name = "FILE")]
    pub(crate) enclave: PathBuf,
    /// The checkout: templates of the competitors' configurations, the built `peer-verify`.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) checkout: PathBuf,
    /// The project's shared directory with genuine documents; without it a simulated document serves.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) shared: Option<PathBuf>,
    /// Where configurations, certificates and logs go; emptied first.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) scratch: PathBuf,
    /// Where the figures go.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: PathBuf,
    /// How much to measure.
    #[arg(long, value_enum, default_value_t = Effort::Full)]
    effort: Effort,
}

/// A group of figures that is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// One document, verified by us and by others.
    Verify,
    /// Attestations over kept connections.
    Attest,
    /// Documents that answer no challenge.
    Junk,
    /// Opening tunnels and moving bytes.
    Tunnel,
    /// From the end of a session to the end of its tunnels.
    Revocation,
    /// The same on three replicas with one database.
    Replicas,
    /// Every enclave attests again after an outage.
    Herd,
    /// What idle sessions and tunnels hold.
    Memory,
    /// What the KMS endpoint adds to a call.
    Kms,
    /// Connections between enclaves.
    Peers,
    /// Rows, changes and lists, on each database.
    Store,
    /// What sending telemetry costs.
    Telemetry,
    /// The enclave's way out.
    Egress,
    /// Decisions of the egress policy.
    EgressPolicy,
}

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Effort {
    /// The counts and times that the goals name.
    Full,
    /// Just enough to see that everything works; its figures mean nothing.
    Smoke,
}

impl Settings {
    /// What to measure, in order.
    pub(crate) fn parts(&self) -> Vec<Part> {
        match self.only {
            Some(part) => vec![part],
            None => Part::value_variants().to_vec(),
        }
    }

    /// How often each contestant has its turn.
    pub(crate) fn rounds(&self) -> usize {
        self.pick(5, 2)
    }

    /// How long one turn lasts.
    pub(crate) fn turn(&self) -> Duration {
        self.pick(Duration::from_millis(2_500), Duration::from_millis(300))
    }

    /// The full value, or the one of a smoke run.
    pub(crate) fn pick<T>(&self, full: T, smoke: T) -> T {
        match self.effort {
            Effort::Full => full,
            Effort::Smoke => smoke,
        }
    }
}

impl Part {
    /// One line for people.
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Verify => "one document, verified by us and by others in turns",
            Self::Attest => "attestations over kept connections, certificates known",
            Self::Junk => "documents that answer no challenge, refused",
            Self::Tunnel => "tunnels opened and bytes moved, beside HAProxy, nginx and no proxy",
            Self::Revocation => "from revocation or lapse to the last tunnel cut",
            Self::Replicas => "from one revocation to the last tunnel cut on three replicas",
            Self::Herd => "10,000 enclaves attest again after an outage",
            Self::Memory => "what idle sessions, tunnels and streams hold",
            Self::Telemetry => "what sending every trace, log line and figure to a collector costs",
            Self::Egress => {
                "connections out of an enclave, through client and host half, beside what is used today"
            }
            Self::EgressPolicy => "decisions of the egress policy by the number of its rules",
            Self::Kms => "Decrypt through the enclave's KMS endpoint, and without it",
            Self::Peers => "first and later connections between enclaves, beside ordinary mutual TLS",
            Self::Store => "admissions written, policies changed, long lists paged, on each database",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verify => "verify",
            Self::Attest => "attest",
            Self::Junk => "junk",
            Self::Tunnel => "tunnel",
            Self::Revocation => "revocation",
            Self::Replicas => "replicas",
            Self::Herd => "herd",
            Self::Memory => "memory",
            Self::Peers => "peers",
            Self::Kms => "kms",
            Self::Store => "store",
            Self::Telemetry => "telemetry",
            Self::Egress => "egress",
            Self::EgressPolicy => "egress-policy",
        })
    }
}
