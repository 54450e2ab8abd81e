//! The device's answers: the simulator's documents in the messages of AWS's driver (`aws-nitro-enclaves-nsm-api`,
//! `api/mod.rs`), which are CBOR. A request is its name, or a map from its name to its fields; so is an answer.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm};
use minicbor::{Decoder, Encoder, data::Type, decode};

/// The software module of an enclave, behind a device.
pub(crate) struct Device(SoftwareNsm);

impl Device {
    /// That of an enclave that runs `image`, under the root in a directory.
    pub(crate) fn load(root: &Path, image: &str) -> Self {
        let root = SimulatedRoot::load(root).unwrap();
        Self(SoftwareNsm::new(&root, Module::from_image(image)))
    }

    /// CBOR for CBOR.
    pub(crate) fn answer(&self, request: &[u8]) -> Vec<u8> {
        match read(request) {
            Ok(Request::Attestation(request)) => self.attest(&request),
            Ok(Request::GetRandom) => random(),
            Ok(Request::Other) => error("InvalidOperation"),
            Err(_) => error("InvalidArgument"),
        }
    }

    fn attest(&self, request: &AttestationRequest) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        match self.0.attest(now.as_millis().try_into().unwrap(), request) {
            Ok(document) => answer("Attestation", "document", &document),
            Err(_) => error("InputTooLarge"),
        }
    }
}

/// What the client of this project asks for.
enum Request {
    Attestation(AttestationRequest),
    GetRandom,
    Other,
}

fn read(request: &[u8]) -> Result<Request, decode::Error> {
    let mut input = Decoder::new(request);
    if input.datatype()? == Type::String {
        return Ok(if input.str()? == "GetRandom" { Request::GetRandom } else { Request::Other });
    }
    input.map()?;
    if input.str()? != "Attestation" {
        return Ok(Request::Other);
    }
    let mut asked = AttestationRequest::default();
    for _ in 0..input.map()?.unwrap_or_default() {
        let field = match input.str()? {
            "public_key" => &mut asked.public_key,
            "user_data" => &mut asked.user_data,
            "nonce" => &mut asked.nonce,
            _ => return Err(decode::Error::message("another field")),
        };
        *field = match input.datatype()? {
            Type::Null => input.null().map(|()| None)?,
            _ => Some(input.bytes()?.to_vec()),
        };
    }
    Ok(Request::Attestation(asked))
}

/// As many bytes as the real one gives.
fn random() -> Vec<u8> {
    let mut random = [0; 256];
    rand::fill(&mut random).unwrap();
    answer("GetRandom", "random", &random)
}

fn answer(name: &str, field: &str, bytes: &[u8]) -> Vec<u8> {
    let mut output = Encoder::new(Vec::new());
    output.map(1).and_then(|to| to.str(name)?.map(1)?.str(field)?.bytes(bytes)).unwrap();
    output.into_writer()
}

fn error(code: &str) -> Vec<u8> {
    let mut output = Encoder::new(Vec::new());
    output.map(1).and_then(|to| to.str("Error")?.str(code)).unwrap();
    output.into_writer()
}
