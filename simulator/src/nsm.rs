//! The device itself: attest, and the PCR requests of the NSM's driver.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::chain::{Chain, Level, unaltered};
use crate::document::{Claims, Envelope, ToBeSigned};
use crate::pcrs::PcrBank;
use crate::{Fault, Module, PcrDescription, PcrValue, SimulatedRoot, SimulatorError};

/// A Nitro Secure Module in software, for one enclave. Shared by reference between threads: the lock is held
/// while certificates are looked up or renewed, not while a document is signed.
pub struct SoftwareNsm {
    root: SimulatedRoot,
    module: Module,
    state: Mutex<State>,
}

struct State {
    pcrs: PcrBank,
    /// None until the first document: only that call says what time it is.
    chain: Option<Chain>,
    /// What [`SoftwareNsm::rotate_leaf`] and its like asked for.
    rotation: Option<Level>,
}

/// What the application asks the NSM to sign. Absent and empty differ, as with the real NSM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttestationRequest {
    /// At most 1024 bytes.
    pub public_key: Option<Vec<u8>>,
    /// At most 512 bytes.
    pub user_data: Option<Vec<u8>>,
    /// At most 512 bytes.
    pub nonce: Option<Vec<u8>>,
}

impl SoftwareNsm {
    /// A module that has just booted. Certificates are issued with the first document.
    #[must_use]
    pub fn new(root: &SimulatedRoot, module: Module) -> Self {
        let state = State { pcrs: PcrBank::boot(&module), chain: None, rotation: None };
        Self { root: root.clone(), module, state: Mutex::new(state) }
    }

    /// The enclave this module belongs to.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// A signed document of this moment: `now_ms` is its timestamp, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`SimulatorError::FieldTooLong`] past the NSM's own limits; [`SimulatorError::Crypto`];
    /// [`SimulatorError::Time`].
    pub fn attest(&self, now_ms: u64, request: &AttestationRequest) -> Result<Vec<u8>, SimulatorError> {
        self.make(now_ms, request, None)
    }

    /// The same, with one rule of the checklist broken and everything else (signatures too) in order.
    ///
    /// # Errors
    /// As [`attest`](Self::attest).
    pub fn attest_with(
        &self,
        now_ms: u64,
        request: &AttestationRequest,
        fault: Fault,
    ) -> Result<Vec<u8>, SimulatorError> {
        self.make(now_ms, request, Some(fault))
    }

    /// The next document comes under a new leaf. AWS's NSM does this every three hours, and so does this one.
    pub fn rotate_leaf(&self) {
        self.rotate(Level::Leaf);
    }

    /// The next document comes under a new instance CA and leaf, as after a day.
    pub fn rotate_instance(&self) {
        self.rotate(Level::Instance);
    }

    /// The next document comes under a wholly new chain: only the root stays.
    pub fn rotate_chain(&self) {
        self.rotate(Level::Regional);
    }

    /// PCR = SHA-384(PCR || data); the new value.
    ///
    /// # Errors
    /// [`SimulatorError::PcrIndex`], [`SimulatorError::PcrLocked`], [`SimulatorError::FieldTooLong`].
    pub fn extend_pcr(&self, index: u8, data: &[u8]) -> Result<PcrValue, SimulatorError> {
        self.state().pcrs.extend(index, data)
    }

    /// Makes a PCR final: documents carry it from now on.
    ///
    /// # Errors
    /// [`SimulatorError::PcrIndex`], [`SimulatorError::PcrLocked`].
    pub fn lock_pcr(&self, index: u8) -> Result<(), SimulatorError> {
        self.state().pcrs.lock(index)
    }

    /// The PCR's value and whether it can still change.
    ///
    /// # Errors
    /// [`SimulatorError::PcrIndex`].
    pub fn describe_pcr(&self, index: u8) -> Result<PcrDescription, SimulatorError> {
        self.state().pcrs.describe(index)
    }

    /// One path for honest and faulty documents, so that they differ in the fault only.
    fn make(
        &self,
        now_ms: u64,
        request: &AttestationRequest,
        fault: Option<Fault>,
    ) -> Result<Vec<u8>, SimulatorError> {
        request.check()?;
        let (chain, mut claims) = self.claims(now_ms, request, fault)?;
        if let Some(fault) = fault {
            fault.alter_claims(&mut claims);
        }
        let mut fields = claims.fields();
        if let Some(fault) = fault {
            fault.alter_fields(&claims, &mut fields);
        }
        let mut signed = ToBeSigned::new(&fields);
        if let Some(fault) = fault {
            fault.alter_signed(&mut signed);
        }
        let signature = match fault {
            None => chain.leaf_key().sign(&signed.signature_structure())?,
            Some(fault) => fault.sign(chain.leaf_key(), &signed)?,
        };
        let mut envelope = Envelope::new(&signed, &signature);
        if let Some(fault) = fault {
            fault.alter_envelope(&claims, &signed, &signature, &mut envelope);
        }
        Ok(envelope.encode())
    }

    fn claims(
        &self,
        now_ms: u64,
        request: &AttestationRequest,
        fault: Option<Fault>,
    ) -> Result<(Chain, Claims), SimulatorError> {
        // A broken chain is made for one document and forgotten.
        let broken = match fault {
            Some(fault) => fault.broken_chain(&self.root, &self.module, now_ms)?,
            None => None,
        };
        let mut state = self.state();
        let chain = match broken {
            Some(chain) => chain,
            None => state.chain(&self.root, &self.module, now_ms)?,
        };
        let pcrs = state.pcrs.locked();
        drop(state);
        let claims = Claims {
            module_id: self.module.module_id.clone(),
            digest: "SHA384",
            timestamp_ms: now_ms,
            pcrs,
            certificate: chain.leaf_der().to_vec(),
            cabundle: chain.cabundle(),
            public_key: request.public_key.clone(),
            user_data: request.user_data.clone(),
            nonce: request.nonce.clone(),
        };
        Ok((chain, claims))
    }

    fn rotate(&self, level: Level) {
        let mut state = self.state();
        state.rotation = Some(state.rotation.map_or(level, |asked| asked.min(level)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change to the state is a single assignment, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn chain(&mut self, root: &SimulatedRoot, module: &Module, now_ms: u64) -> Result<Chain, SimulatorError> {
        let chain = match (&self.chain, self.rotation) {
            (None, _) => Chain::issue(root, module, now_ms, &unaltered)?,
            (Some(chain), None) => chain.renewed(module, now_ms)?,
            // What was asked for may lie below what is due.
            (Some(chain), Some(level)) => {
                chain.renewed(module, now_ms)?.replaced_from(level, module, now_ms)?
            }
        };
        self.chain = Some(chain.clone());
        self.rotation = None;
        Ok(chain)
    }
}

impl AttestationRequest {
    /// The NSM's limits: `attestation_process.md`, "NSM request".
    fn check(&self) -> Result<(), SimulatorError> {
        let Self { public_key, user_data, nonce } = self;
        for (field, value, limit) in [
            ("public_key", public_key, PUBLIC_KEY_LIMIT),
            ("user_data", user_data, USER_DATA_LIMIT),
            ("nonce", nonce, NONCE_LIMIT),
        ] {
            let actual = value.as_ref().map_or(0, Vec::len);
            if actual > limit {
                return Err(SimulatorError::FieldTooLong { field, limit, actual });
            }
        }
        Ok(())
    }
}

const PUBLIC_KEY_LIMIT: usize = 1024;
const USER_DATA_LIMIT: usize = 512;
const NONCE_LIMIT: usize = 512;
