//! Faults in what the document says: values of the right kind that must not be there.

use crate::Fault;
use crate::document::Claims;

impl Fault {
    pub(crate) fn alter_claims(self, claims: &mut Claims) {
        match self {
            Self::CertificateTrailingByte => claims.certificate.push(0),
            Self::CabundleTrailingByte => in_bundle(claims, 1, |certificate| certificate.push(0)),

            Self::OversizedPayload => claims.user_data = Some(vec![0; PAYLOAD_LIMIT]),
            Self::EmptyModuleId => claims.module_id.clear(),
            Self::WrongDigest => claims.digest = "SHA512",
            Self::ZeroTimestamp => claims.timestamp_ms = 0,

            Self::MissingPcr2 => {
                claims.pcrs.remove(&2);
            }
            Self::EmptyPcrs => claims.pcrs.clear(),
            Self::PcrIndex32 => {
                claims.pcrs.insert(32, vec![0; 48]);
            }
            Self::PcrLen47 => {
                claims.pcrs.entry(0).and_modify(|value| value.truncate(47));
            }

            Self::EmptyCertificate => claims.certificate.clear(),
            Self::EmptyCabundle => claims.cabundle.clear(),
            Self::EmptyCabundleEntry => in_bundle(claims, 2, Vec::clear),
            Self::LongCabundle => {
                let instance = claims.cabundle.last().cloned().unwrap_or_default();
                claims.cabundle.resize(11, instance);
            }

            Self::OversizedPublicKey => claims.public_key = Some(vec![0; 1025]),
            Self::OversizedUserData => claims.user_data = Some(vec![0; 1025]),
            Self::OversizedNonce => claims.nonce = Some(vec![0; 1025]),

            Self::ReversedCabundle => claims.cabundle.reverse(),
            Self::MissingRoot => {
                claims.cabundle.remove(0);
            }
            Self::ShuffledCabundle => claims.cabundle.swap(1, 2),
            Self::MissingIntermediate => {
                claims.cabundle.remove(2);
            }
            Self::UnrelatedCertificate => {
                let root = claims.cabundle.first().cloned().unwrap_or_default();
                claims.cabundle.push(root);
            }
            // The last byte is the least significant one of s.
            Self::CertificateSignatureFlipped => flip(&mut claims.certificate),

            Self::TimestampStale => claims.timestamp_ms = claims.timestamp_ms.saturating_sub(HOUR_MS),
            Self::TimestampFuture => claims.timestamp_ms = claims.timestamp_ms.saturating_add(HOUR_MS),
            Self::NonceReplaced => replace(&mut claims.nonce),
            Self::NonceMissing => claims.nonce = None,
            Self::PublicKeyReplaced => replace(&mut claims.public_key),
            Self::UserDataReplaced => replace(&mut claims.user_data),
            Self::DebugPcrs => claims.pcrs.extend((0..=2).map(|index| (index, vec![0; 48]))),
            _ => {}
        }
    }
}

fn in_bundle(claims: &mut Claims, index: usize, alter: impl FnOnce(&mut Vec<u8>)) {
    if let Some(certificate) = claims.cabundle.get_mut(index) {
        alter(certificate);
    }
}

/// Another value of the same length, or one where none was.
fn replace(value: &mut Option<Vec<u8>>) {
    match value {
        Some(bytes) if !bytes.is_empty() => flip(bytes),
        _ => *value = Some(vec![0xa5; 32]),
    }
}

fn flip(bytes: &mut [u8]) {
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
}

/// Rule 4's limit: with anything besides, the payload is past it.
const PAYLOAD_LIMIT: usize = 16384;
const HOUR_MS: u64 = 3_600_000;
