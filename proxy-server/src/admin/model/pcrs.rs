use std::{collections::BTreeMap, fmt};

use countersign_verifier::{Measurement, MeasurementError, Pcr, PcrIndex, PcrSet};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, SchemaType, Type},
    },
};

/// PCRs as this API writes them: `{"0": "<96 hexadecimal digits>", …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin) struct Pcrs(pub(in crate::admin) PcrSet);

/// PCRs as this API takes them: the same, or what `nitro-cli build-enclave` and
/// `describe-eif` print. PCR0, 1 and 2 are there, none of them zero: that is
/// what any enclave in debug mode has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin) struct PcrsIn(pub(in crate::admin) PcrSet);

impl Serialize for Pcrs {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(index, value)| (index.get().to_string(), value.to_string())))
    }
}

impl<'de> Deserialize<'de> for PcrsIn {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Node::Object(entries) = Node::deserialize(from)? else {
            return Err(D::Error::custom("expected an object of PCRs"));
        };
        let measured = entries.iter().find(|(key, _)| key == MEASUREMENTS).map(|(_, node)| node);
        let pcrs = match measured {
            // Of describe-eif, everything beside the measurements is passed over.
            Some(Node::Object(inner)) => described(inner),
            Some(_) => return Err(D::Error::custom("Measurements is no object")),
            None => numbered(&entries),
        };
        pcrs.and_then(whole).map(Self).map_err(D::Error::custom)
    }
}

/// `{"0": "<hex>"}`.
fn numbered(entries: &[(String, Node)]) -> Result<Vec<(PcrIndex, Pcr)>, String> {
    let one = |(key, node): &(String, Node)| {
        let index = index(key).ok_or_else(|| format!("expected 0 to 31; found {key:?}"))?;
        let Node::Text(text) = node else { return Err(format!("{key:?} is not text")) };
        Ok((index, text.parse::<Pcr>().map_err(|error| format!("{key:?}: {error}"))?))
    };
    entries.iter().map(one).collect()
}

/// `{"HashAlgorithm": …, "PCR0": "<hex>"}`.
fn described(entries: &[(String, Node)]) -> Result<Vec<(PcrIndex, Pcr)>, String> {
    let mut texts = BTreeMap::new();
    for (key, node) in entries {
        let Node::Text(text) = node else { return Err(format!("{key:?} is not text")) };
        if texts.insert(key.as_str(), text.as_str()).is_some() {
            return Err(format!("{key:?} stands twice"));
        }
    }
    let json = serde_json::to_vec(&texts).map_err(|error| error.to_string())?;
    let measurement = Measurement::from_json("", &json).map_err(|error| error.to_string())?;
    Ok(measurement.pcrs().map(|(index, value)| (index, *value)).collect())
}

fn whole(pcrs: Vec<(PcrIndex, Pcr)>) -> Result<PcrSet, String> {
    let mut set = PcrSet::EMPTY;
    for (index, value) in pcrs {
        set.insert(index, value).map_err(|_| format!("{index} stands twice"))?;
    }
    for index in [PcrIndex::PCR0, PcrIndex::PCR1, PcrIndex::PCR2] {
        match set.get(index) {
            None => return Err(MeasurementError::Missing { index }.to_string()),
            Some(&Pcr::ZERO) => {
                return Err(format!(
                    "{index} is zero, which only debug mode gives: anyone can read such an enclave"
                ));
            }
            Some(_) => {}
        }
    }
    Ok(set)
}

/// One spelling: `0` to `31`, without a zero in front.
fn index(key: &str) -> Option<PcrIndex> {
    let number: u64 = key.parse().ok()?;
    PcrIndex::new(number).filter(|index| index.get().to_string() == key)
}

/// JSON as it was written: a key that stands twice is seen twice.
enum Node {
    Text(String),
    Object(Vec<(String, Node)>),
    Other,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PCRs, as {\"0\": \"<96 hexadecimal digits>\", …} or as describe-eif prints them")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom(format_args!("{key:?} stands twice")));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(Node::Object(entries))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        while seq.next_element::<Node>()?.is_some() {}
        Ok(Node::Other)
    }
}

impl ToSchema for Pcrs {}

impl PartialSchema for Pcrs {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some("PCRs by their index"))
            .property_names(Some(text(INDEX)))
            .additional_properties(Some(AdditionalProperties::RefOr(text(HEX).into())))
            .into()
    }
}

impl ToSchema for PcrsIn {}

impl PartialSchema for PcrsIn {
    fn schema() -> RefOr<Schema> {
        let ours = ["0", "1", "2"]
            .into_iter()
            .fold(ObjectBuilder::new(), |object, key| object.property(key, text(HEX_NOT_ZERO)).required(key))
            .property_names(Some(text(INDEX)))
            .additional_properties(Some(AdditionalProperties::RefOr(text(HEX).into())))
            .examples([
                serde_json::json!({ "0": "1a".repeat(48), "1": "2b".repeat(48), "2": "3c".repeat(48) }),
            ]);
        let algorithm = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["Sha384 { ... }"]));
        let measurements = ["PCR0", "PCR1", "PCR2"]
            .into_iter()
            .fold(ObjectBuilder::new(), |object, key| object.property(key, text(HEX_NOT_ZERO)).required(key))
            .property("HashAlgorithm", algorithm)
            .property_names(Some(text("^(HashAlgorithm|PCR([0-9]|[12][0-9]|3[01]))$")))
            .additional_properties(Some(AdditionalProperties::RefOr(text(HEX).into())));
        let described = ObjectBuilder::new()
            .description(Some("What nitro-cli build-enclave and describe-eif print"))
            .property(MEASUREMENTS, measurements)
            .required(MEASUREMENTS);
        OneOfBuilder::new()
            .item(ours)
            .item(described)
            .description(Some("PCR0, 1 and 2 and any others, by index or as describe-eif prints them"))
            .into()
    }
}

fn text(pattern: &str) -> Schema {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).pattern(Some(pattern)).into()
}

const MEASUREMENTS: &str = "Measurements";
const INDEX: &str = "^([0-9]|[12][0-9]|3[01])$";
const HEX: &str = "^[0-9a-fA-F]{96}$";
const HEX_NOT_ZERO: &str = "^(?!0{96}$)[0-9a-fA-F]{96}$";

/// For tests and examples.
#[allow(dead_code)]
pub(in crate::admin) fn as_value(set: &PcrSet) -> Value {
    serde_json::to_value(Pcrs(set.clone())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<PcrSet, String> {
        serde_json::from_str::<PcrsIn>(json).map(|PcrsIn(set)| set).map_err(|error| error.to_string())
    }

    fn hex(byte: &str) -> String {
        byte.repeat(48)
    }

    #[test]
    fn both_shapes_are_one_set() {
        let (a, b, c, d) = (hex("1a"), hex("2b"), hex("3c"), hex("00"));
        let ours = read(&format!(r#"{{"0":"{a}","2":"{c}","1":"{b}","8":"{d}"}}"#)).unwrap();
        let theirs = read(&format!(
            r#"{{"EifVersion":4,"Other":[1,{{"x":null}}],"Measurements":{{"HashAlgorithm":"Sha384 {{ ... }}","PCR0":"{a}","PCR1":"{b}","PCR2":"{c}","PCR8":"{d}"}}}}"#
        ))
        .unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(
            serde_json::to_string(&Pcrs(ours)).unwrap(),
            format!(r#"{{"0":"{a}","1":"{b}","2":"{c}","8":"{d}"}}"#)
        );
    }

    #[test]
    fn what_is_no_set_says_why() {
        let (a, zero) = (hex("1a"), hex("00"));
        for (json, reason) in [
            (format!(r#"{{"0":"{a}","1":"{a}"}}"#), "PCR2 is missing"),
            (format!(r#"{{"0":"{a}","0":"{a}","1":"{a}","2":"{a}"}}"#), "stands twice"),
            (format!(r#"{{"00":"{a}","1":"{a}","2":"{a}"}}"#), "expected 0 to 31"),
            (format!(r#"{{"0":"{a}","1":"{a}","2":"{a}","32":"{a}"}}"#), "expected 0 to 31"),
            (format!(r#"{{"0":"{a}","1":"{a}","2":"{a}","+3":"{a}"}}"#), "expected 0 to 31"),
            (format!(r#"{{"0":"{a}","1":"{a}","2":"{zero}"}}"#), "debug mode"),
            (format!(r#"{{"0":"{a}","1":"{a}","2":"ab"}}"#), "96 hexadecimal digits"),
            (format!(r#"{{"0":"{a}","1":"{a}","2":7}}"#), "not text"),
            (r#"{"Measurements":7}"#.to_owned(), "no object"),
            (format!(r#"{{"Measurements":{{"PCR0":"{a}","PCR0":"{a}"}}}}"#), "stands twice"),
            ("[]".to_owned(), "expected an object"),
        ] {
            let error = read(&json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }
}
