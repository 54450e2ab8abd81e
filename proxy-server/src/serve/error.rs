use std::{fmt, io, net::SocketAddr, path::PathBuf};

use countersign_verifier::MeasurementError;

use crate::{
    admin::identity::{BadOidcConfig, NotABundle},
    audit::{AuditFileError, RolledBack},
    ca::CaError,
    credentials::StsError,
    gateway::GatewayError,
    replica::IdentityError,
    store::StoreError,
};

/// Why the proxy did not start.
#[derive(Debug)]
pub enum ServeError {
    /// A file or directory cannot be used.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process serves from this state directory.
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The store cannot be used.
    Store(StoreError),
    /// The store holds a measurement that is none.
    Policy(MeasurementError),
    /// This replica does not know who it is.
    Identity(IdentityError),
    /// There is no key to sign the audit with.
    AuditKey(AuditFileError),
    /// What was seen of the store before cannot be read.
    KnownHeads(AuditFileError),
    /// The store says less than it said before.
    RolledBack(RolledBack),
    /// There is no session CA.
    Ca(CaError),
    /// A port cannot be listened on.
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// rustls does not take the server's certificate.
    Tls(rustls::Error),
    /// The gateway cannot be made.
    Gateway(GatewayError),
    /// The OpenID provider cannot be asked.
    Oidc(BadOidcConfig),
    /// Client certificates cannot be verified.
    ClientCas(NotABundle),
    /// The proxy's own AWS credentials were not found in time.
    Sts(StsError),
    /// Signals cannot be received.
    Signals(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "cannot use {}", path.display()),
            Self::Locked { path } => write!(
                f,
                "another countersign-proxy serves from {}: give each one a state_directory of its own",
                path.display()
            ),
            Self::Store(_) => f.write_str("the store cannot be used"),
            Self::Policy(_) => f.write_str("the store holds a measurement that is none"),
            Self::Identity(_) => f.write_str("this replica does not know who it is"),
            Self::AuditKey(_) => f.write_str("there is no key to sign the audit with"),
            Self::KnownHeads(_) => f.write_str("what this replica saw of its store before cannot be read"),
            Self::RolledBack(_) => f.write_str(
                "the store is older than it was: was a backup put back? What was revoked since would pass again. \
                 `countersign-proxy policy accept-restored` says that it was meant",
            ),
            Self::Ca(_) => f.write_str("there is no session CA"),
            Self::Listen { address, .. } => write!(f, "cannot listen on {address}"),
            Self::Tls(_) => f.write_str("the server's certificate cannot be used"),
            Self::Gateway(_) => f.write_str("the gateway cannot be made"),
            Self::Oidc(_) => f.write_str("the OpenID provider of [admin.oidc] cannot be used"),
            Self::ClientCas(_) => f.write_str("admin.client_ca cannot be used"),
            Self::Sts(_) => f.write_str("AWS STS cannot be asked for what [[sts.role]] gives"),
            Self::Signals(_) => f.write_str("signals cannot be received"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Listen { source, .. } | Self::Signals(source) => Some(source),
            Self::Locked { .. } => None,
            Self::Store(source) => Some(source),
            Self::Policy(source) => Some(source),
            Self::Identity(source) => Some(source),
            Self::AuditKey(source) => Some(source),
            Self::KnownHeads(source) => Some(source),
            Self::RolledBack(source) => Some(source),
            Self::Ca(source) => Some(source),
            Self::Tls(source) => Some(source),
            Self::Gateway(source) => Some(source),
            Self::Oidc(source) => Some(source),
            Self::ClientCas(source) => Some(source),
            Self::Sts(source) => Some(source),
        }
    }
}

impl From<StoreError> for ServeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
