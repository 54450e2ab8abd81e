//! KMS inside the enclave: an endpoint on loopback that looks like plain KMS and attests each call.
//!
//! ```text
//!   application (any AWS SDK, AWS_ENDPOINT_URL_KMS)
//!        │ HTTP/1.1 on loopback
//!        ▼
//!   endpoint.rs ─► exchange.rs   one call: read, judge, attest, sign, send, open
//!                    │ signature.rs    whose call (SigV4), and the new signature over credentials.rs
//!                    │ rules.rs        operations, keys (key_arn.rs), encryption context; a refusal names its rule
//!                    │ recipient/      an RSA key and a document that shows it, ready ahead of need
//!                    │ operation.rs    the five attested operations and where their plaintext stands
//!                    │ cms/            CiphertextForRecipient, read strictly, opened without an oracle
//!                    ▼
//!                  upstream.rs   TLS that ends here, kept connections, cut with the session ──► Egress::open (the only way out)
//!                    region.rs   which host: by partition, or as configured
//!
//!   imds.rs, proxy.rs ─► renewal.rs ─► credentials.rs ─► offer.rs   the same credentials for the application's SDKs, on loopback
//!   loopback.rs (the HTTP/1.1 server of both)   object.rs (JSON objects, other members byte for byte)
//!   refusal.rs (answers of our own)   config.rs
//! ```
//!
//! What it never does: let an answer pass whose plaintext crossed the network outside
//! an envelope, send what it did not judge, or keep anything of a call after its answer.

pub mod cms;
mod config;
mod credentials;
mod endpoint;
mod exchange;
mod imds;
mod key_arn;
mod loopback;
mod object;
mod offer;
mod operation;
mod proxy;
pub mod recipient;
mod refusal;
mod region;
mod renewal;
mod rules;
mod signature;
mod upstream;

pub use config::{Callers, KmsConfig, KmsLimits};
pub use credentials::{CredentialError, CredentialSource, Credentials, Publisher};
pub use endpoint::{KmsEndpoint, KmsError};
pub use imds::{Imds, ImdsError};
pub use key_arn::{KeyArn, KeyArnError};
pub use object::{Object, ObjectError};
pub use offer::CredentialsEndpoint;
pub use operation::{Attested, Operation, OperationError};
pub use proxy::{ProxyIssueError, ProxyIssuer};
pub use region::{Endpoints, Region, RegionError, Site, SiteError, Standard};
pub use renewal::{Issuer, keep_issued};
pub use rules::{Allow, RuleError, Rules};
pub use signature::{Authorization, AuthorizationError};
