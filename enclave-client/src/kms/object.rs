use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::{RawValue, to_raw_value};

use super::rules::beginning;

/// A JSON object whose members nobody here knows stay as they were written, byte for byte.
///
/// A name that comes twice is an error: two readers of such an object may see two different ones, and
/// what was judged here must be what KMS obeys.
#[derive(Debug, Default)]
pub struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    /// Reads one object and nothing after it.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn read(bytes: &[u8]) -> Result<Self, ObjectError> {
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(ObjectError("not a JSON object".to_owned()));
        }
        serde_json::from_slice(bytes).map_err(|why| ObjectError(why.to_string()))
    }

    /// Writes it: the members in their order.
    pub fn write(&self) -> Vec<u8> {
        // Strings and raw values always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A member that is a string; `None` when it is absent or null.
    ///
    /// # Errors
    /// [`ObjectError`] when it is something else.
    pub fn text(&self, name: &str) -> Result<Option<String>, ObjectError> {
        let Some(raw) = self.member(name) else { return Ok(None) };
        // serde's own words would repeat the value, which may be a secret's.
        serde_json::from_str(raw.get()).map_err(|_| ObjectError(format!("{name} is not a string")))
    }

    /// A member that is an object; `None` when it is absent or null.
    ///
    /// # Errors
    /// [`ObjectError`] when it is something else, or no object as above.
    pub fn object(&self, name: &str) -> Result<Option<Self>, ObjectError> {
        match self.member(name).map(RawValue::get) {
            None | Some("null") => Ok(None),
            Some(raw) => {
                Self::read(raw.as_bytes()).map(Some).map_err(|why| ObjectError(format!("{name}: {why}")))
            }
        }
    }

    /// Whether there is a member, null or not.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Puts a value in the place of a member, or at the end.
    pub fn set(&mut self, name: &str, value: &impl Serialize) {
        let Ok(raw) = to_raw_value(value) else { return };
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = raw,
            None => self.0.push((name.to_owned(), raw)),
        }
    }

    /// Takes a member away.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    fn member(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, raw)| &**raw)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut object = Object::default();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if object.has(&name) {
                return Err(de::Error::custom(format_args!("{:?} comes twice", beginning(&name))));
            }
            if object.0.len() == MAX_MEMBERS {
                return Err(de::Error::custom(format_args!("more than {MAX_MEMBERS} members")));
            }
            object.0.push((name, value));
        }
        Ok(object)
    }
}

/// Far over the dozen of any request; an encryption context may have more of its own.
const MAX_MEMBERS: usize = 256;

/// Why bytes are no such object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectError(String);

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ObjectError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_members_stay_as_they_were_written() {
        let text = r#"{"A": 1.0e2,"Plaintext":null,"CreationDate":1.7553e9 ,"\u0042":[ 1 ]}"#;
        let mut object = Object::read(text.as_bytes()).unwrap();
        assert_eq!(object.text("Plaintext"), Ok(None));
        assert!(object.has("Plaintext") && object.has("B") && !object.has("C"));
        object.set("Plaintext", &"eA==");
        object.set("New", &true);
        object.remove("A");
        let written = String::from_utf8(object.write()).unwrap();
        assert_eq!(written, r#"{"Plaintext":"eA==","CreationDate":1.7553e9,"B":[ 1 ],"New":true}"#);
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        for text in [r#"{"KeyId":"a","KeyId":"b"}"#, r#"{"KeyId":"a","\u004beyId":"b"}"#] {
            let error = Object::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("\"KeyId\" comes twice"), "{error}");
        }
        for text in ["", "[]", "{} {}", "{\"a\":1,}", "\"a\"", "\u{feff}{}"] {
            assert!(Object::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_member_of_another_kind_is_an_error_with_its_name() {
        let object = Object::read(br#"{"KeyId":7,"EncryptionContext":{"a":"1","a":"2"}}"#).unwrap();
        assert_eq!(object.text("KeyId").unwrap_err().to_string(), "KeyId is not a string");
        let error = object.object("EncryptionContext").unwrap_err().to_string();
        assert!(error.starts_with("EncryptionContext: \"a\" comes twice"), "{error}");
    }

    #[test]
    fn no_error_repeats_a_value() {
        let object = Object::read(br#"{"EncryptionContext":"secret","Plaintext":["secret"]}"#).unwrap();
        let errors = [
            object.object("EncryptionContext").unwrap_err(),
            object.text("Plaintext").unwrap_err(),
            Object::read(b"\"secret\"").unwrap_err(),
        ];
        let expected =
            ["EncryptionContext: not a JSON object", "Plaintext is not a string", "not a JSON object"];
        assert_eq!(errors.map(|error| error.to_string()), expected);
    }

    #[test]
    fn members_are_bounded() {
        let members = |count: usize| {
            let all: Vec<_> = (0..count).map(|n| format!("\"{n}\":{n}")).collect();
            Object::read(format!("{{{}}}", all.join(",")).as_bytes())
        };
        assert!(members(MAX_MEMBERS).is_ok());
        assert!(members(MAX_MEMBERS + 1).is_err());
    }
}
