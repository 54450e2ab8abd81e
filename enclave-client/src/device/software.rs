use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm};

use super::{Attestor, DeviceError, DocumentRequest};

/// A software module with a root of its own. Proves nothing about any machine.
pub struct Software {
    module: SoftwareNsm,
}

impl Software {
    /// The module of an enclave that runs `image`, under the root in `directory`.
    ///
    /// # Errors
    /// [`DeviceError::Software`] when the directory holds no root.
    pub fn danger_load(directory: &Path, image: &str) -> Result<Self, DeviceError> {
        let failed = |why: countersign_simulator::SimulatorError| DeviceError::Software(why.to_string());
        let root = SimulatedRoot::load(directory).map_err(failed)?;
        let module = SoftwareNsm::new(&root, Module::from_image(image));
        Ok(Self { module })
    }
}

impl Attestor for Software {
    fn attest(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
        let DocumentRequest { public_key, user_data, nonce } = request;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let request = AttestationRequest {
            public_key: Some(public_key),
            user_data: Some(user_data),
            nonce: Some(nonce),
        };
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.module.attest(now_ms, &request).map_err(|why| DeviceError::Software(why.to_string()))
    }
}
