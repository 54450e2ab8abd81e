//! Every attack on the models, and what stops it.
//!
//! ```text
//! claims        what the suites say of a model
//! proxy         an enclave attests to the proxy
//! deployments   an enclave attests to the proxies of two deployments
//! peers         two enclaves attest to each other
//! afterwards    what an attestation is worth afterwards
//! ```

mod afterwards;
mod claims;
mod deployments;
mod peers;
mod proxy;
