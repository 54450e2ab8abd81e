use std::{
    fs::{File, OpenOptions},
    os::fd::AsRawFd,
};

use aws_nitro_enclaves_nsm_api::{
    api::{Request, Response},
    driver::nsm_process_request,
};

use super::{Attestor, DeviceError, DocumentRequest, Entropy};

/// The Nitro Secure Module behind `/dev/nsm`.
///
/// The device is opened for each request: it costs microseconds, and a device
/// that comes late or goes away is noticed by the request that needs it.
#[derive(Clone, Copy, Debug)]
pub struct Nsm;

impl Attestor for Nsm {
    fn attest(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
        let device = open()?;
        let DocumentRequest { public_key, user_data, nonce } = request;
        let request = Request::Attestation {
            user_data: Some(user_data.into()),
            nonce: Some(nonce.into()),
            public_key: Some(public_key.into()),
        };
        match nsm_process_request(device.as_raw_fd(), request) {
            Response::Attestation { document } => Ok(document),
            Response::Error(code) => Err(DeviceError::Refused { code: format!("{code:?}") }),
            _ => Err(DeviceError::Unexpected),
        }
    }
}

impl Entropy for Nsm {
    fn random(&self) -> Result<Option<Vec<u8>>, DeviceError> {
        let device = match open() {
            Err(DeviceError::Open { why, .. }) if why.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            opened => opened?,
        };
        match nsm_process_request(device.as_raw_fd(), Request::GetRandom) {
            Response::GetRandom { random } => Ok(Some(random)),
            Response::Error(code) => Err(DeviceError::Refused { code: format!("{code:?}") }),
            _ => Err(DeviceError::Unexpected),
        }
    }
}

fn open() -> Result<File, DeviceError> {
    OpenOptions::new().read(true).write(true).open(PATH).map_err(|why| DeviceError::Open { path: PATH, why })
}

const PATH: &str = "/dev/nsm";
