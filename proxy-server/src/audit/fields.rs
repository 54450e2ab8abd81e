//! How fields stand in JSON, for `#[serde(with = …)]`.

/// Bytes of a fixed length: hex digits.
pub(super) mod digits {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::audit) fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(in crate::audit) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        read(&String::deserialize(deserializer)?)
    }

    pub(super) fn read<E: Error, const N: usize>(text: &str) -> Result<[u8; N], E> {
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| E::custom(format_args!("expected {} hex digits", 2 * N)))?;
        Ok(bytes)
    }
}

/// Bytes of a fixed length, or none.
pub(super) mod optional_digits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::audit) fn serialize<S: Serializer, const N: usize>(
        bytes: &Option<[u8; N]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::digits::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::audit) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<Option<[u8; N]>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| super::digits::read(&text)).transpose()
    }
}

/// The number of a row: the stores keep signed numbers, so no chain goes further than those.
pub(super) mod row_number {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::audit) fn serialize<S: Serializer>(seq: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(*seq)
    }

    pub(in crate::audit) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let seq = u64::deserialize(deserializer)?;
        if i64::try_from(seq).is_err() {
            return Err(D::Error::custom("expected a row number of at most 63 bits"));
        }
        Ok(seq)
    }
}

/// A time: milliseconds since 1970.
pub(super) mod unix_ms {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::store::UnixMs;

    pub(in crate::audit) fn serialize<S: Serializer>(at: &UnixMs, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.0)
    }

    pub(in crate::audit) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<UnixMs, D::Error> {
        i64::deserialize(deserializer).map(UnixMs)
    }
}

/// An epoch: its number.
pub(super) mod epoch {
    use countersign_protocol::Epoch;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::audit) fn serialize<S: Serializer>(
        epoch: &Epoch,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(epoch.0)
    }

    pub(in crate::audit) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Epoch, D::Error> {
        u64::deserialize(deserializer).map(Epoch)
    }
}

/// A signature of Ed25519: base64url.
pub(super) mod signature {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::audit) fn serialize<S: Serializer>(
        signature: &[u8; 64],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(signature))
    }

    pub(in crate::audit) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 64], D::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(String::deserialize(deserializer)?).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| D::Error::custom("expected a signature: 64 bytes in base64url without padding"))
    }
}
