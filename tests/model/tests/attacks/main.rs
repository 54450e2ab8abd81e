//! Every attack on the models, and what stops it.
//!
//! ```text
//! claims        what the suites say of a model
//! proxy         an enclave attests to the proxy
//! deployments   an enclave attests to the proxies of two deployments
//! one_key       an enclave's evidence for others, shown to the proxy
//! peers         two enclaves attest to each other
//! …_runs        the same, attack by attack, step by step
//! afterwards    what an attestation is worth afterwards
//! ```

mod afterwards;
mod claims;
mod deployments;
mod one_key;
mod peer_runs;
mod peers;
mod proxy;
mod proxy_runs;
