//! The device's answers: the simulator's documents in the messages of AWS's driver.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use aws_nitro_enclaves_nsm_api::api::{ErrorCode, Request, Response};
use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm};

/// The software module of an enclave, behind a device.
pub(crate) struct Device(SoftwareNsm);

impl Device {
    /// That of an enclave that runs `image`, under the root in a directory.
    pub(crate) fn load(root: &Path, image: &str) -> Self {
        let root = SimulatedRoot::load(root).unwrap();
        Self(SoftwareNsm::new(&root, Module::from_image(image)))
    }

    /// CBOR for CBOR.
    pub(crate) fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let response = match serde_cbor::from_slice(request) {
            Ok(Request::Attestation { user_data, nonce, public_key }) => self.attest(&AttestationRequest {
                public_key: public_key.map(|bytes| bytes.into_vec()),
                user_data: user_data.map(|bytes| bytes.into_vec()),
                nonce: nonce.map(|bytes| bytes.into_vec()),
            }),
            Ok(Request::GetRandom) => random(),
            Ok(_) => Response::Error(ErrorCode::InvalidOperation),
            Err(_) => Response::Error(ErrorCode::InvalidArgument),
        };
        serde_cbor::to_vec(&response).unwrap()
    }

    fn attest(&self, request: &AttestationRequest) -> Response {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        match self.0.attest(now.as_millis().try_into().unwrap(), request) {
            Ok(document) => Response::Attestation { document },
            Err(_) => Response::Error(ErrorCode::InputTooLarge),
        }
    }
}

/// As many bytes as the real one gives.
fn random() -> Response {
    let mut random = vec![0; 256];
    rand::fill(&mut random).unwrap();
    Response::GetRandom { random }
}
