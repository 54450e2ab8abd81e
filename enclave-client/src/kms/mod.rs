//! KMS inside the enclave.

pub mod cms;
pub mod recipient;
