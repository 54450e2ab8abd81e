//! Measurements as `nitro-cli` prints them.

use super::measurement::MeasurementError;
use crate::pcr::{Pcr, PcrIndex};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// An object's entries as they stand, so that a key that stands twice is not lost.
struct Entries(Vec<(String, Value)>);

/// The PCRs of a measurement file.
pub(super) fn pcrs(json: &[u8]) -> Result<Vec<(PcrIndex, Pcr)>, MeasurementError> {
    let not_json = |error: serde_json::Error| MeasurementError::NotJson { reason: error.to_string() };
    let raw: Nested = serde_json::from_slice(json).map_err(not_json)?;
    let entries = match raw.measurements {
        Some(Entries(measurements)) => measurements,
        None => raw.flat,
    };
    entries.into_iter().filter_map(|(key, value)| entry(key, value).transpose()).collect()
}

/// Either shape: entries of the outer object, and those of `Measurements` when it is there.
struct Nested {
    measurements: Option<Entries>,
    flat: Vec<(String, Value)>,
}

fn entry(key: String, value: Value) -> Result<Option<(PcrIndex, Pcr)>, MeasurementError> {
    let Value::String(text) = value else { return Err(MeasurementError::NotText { key }) };
    if key == "HashAlgorithm" {
        return match SHA384_NAMES.iter().any(|name| text.starts_with(name)) {
            true => Ok(None),
            false => Err(MeasurementError::HashAlgorithm { actual: text }),
        };
    }
    let Some(index) = index(&key) else { return Err(MeasurementError::UnknownKey { key }) };
    match text.parse() {
        Ok(pcr) => Ok(Some((index, pcr))),
        Err(error) => Err(MeasurementError::NotAPcr { key, error }),
    }
}

/// nitro-cli prints how its hasher looks to a debugger: `Sha384 { ... }`, and where it was built with sha2 0.10 (as
/// aws-nitro-enclaves-image-format 0.8 is) `Sha512_48 { .. }`, SHA-512 cut to 48 bytes with SHA-384's start values.
const SHA384_NAMES: [&str; 2] = ["Sha384 {", "Sha512_48 {"];

/// `PCR0` to `PCR31`, without leading zeros.
fn index(key: &str) -> Option<PcrIndex> {
    let digits = key.strip_prefix("PCR")?;
    let index = digits.parse().ok().and_then(PcrIndex::new)?;
    (index.get().to_string() == digits).then_some(index)
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of PCRs")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'de> Deserialize<'de> for Nested {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Nested;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of PCRs, or one with Measurements")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Nested, A::Error> {
                let mut nested = Nested { measurements: None, flat: Vec::new() };
                while let Some(key) = map.next_key::<String>()? {
                    if key != "Measurements" {
                        nested.flat.push((key, map.next_value()?));
                    } else if nested.measurements.replace(map.next_value()?).is_some() {
                        return Err(serde::de::Error::duplicate_field("Measurements"));
                    }
                }
                Ok(nested)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
