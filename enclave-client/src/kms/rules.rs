use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Attested, KeyArn, Object, ObjectError, Operation, Region};

/// What the application may ask of KMS, beside what its credentials and the key policies allow.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which operations: `kms_proxy.operations`.
    pub operations: Allow<Operation>,
    /// Which keys: `kms_proxy.keys`. With [`Allow::Only`], a key that a call names must be one of these, and
    /// so must each key that KMS says it used.
    pub keys: Allow<KeyArn>,
    /// Entries that every `EncryptionContext` must hold: `kms_proxy.encryption_context`.
    pub encryption_context: BTreeMap<String, String>,
}

/// A list that allows, said aloud: there is no default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow<T: Ord> {
    /// Whatever KMS itself allows.
    Any,
    /// These, and nothing when it is empty.
    Only(BTreeSet<T>),
}

impl Rules {
    /// Judges a call.
    ///
    /// # Errors
    /// [`RuleError`] names the rule that refuses.
    pub fn judge(&self, operation: &Operation, region: &Region, request: &Object) -> Result<(), RuleError> {
        if let Allow::Only(operations) = &self.operations
            && !operations.contains(operation)
        {
            return Err(RuleError::Operation { operation: operation.clone() });
        }
        if let Allow::Only(keys) = &self.keys {
            for member in KEY_MEMBERS {
                let Some(key) = request.text(member).map_err(RuleError::Request)? else { continue };
                if !keys.iter().any(|allowed| allowed.is_named(&key, region)) {
                    return Err(RuleError::Key { member, key });
                }
            }
            // Without it, KMS takes the key that the ciphertext names, and its plaintext comes back under
            // a key that is listed.
            if operation.as_str() == RE_ENCRYPT && !request.has(SOURCE_KEY) {
                return Err(RuleError::Unnamed { member: SOURCE_KEY });
            }
        }
        if operation_takes_context(operation) {
            let members: &[_] =
                if operation.as_str() == RE_ENCRYPT { &RE_ENCRYPT_CONTEXTS } else { &[CONTEXT] };
            for member in members {
                self.judge_context(member, request)?;
            }
        }
        Ok(())
    }

    fn judge_context(&self, member: &str, request: &Object) -> Result<(), RuleError> {
        if self.encryption_context.is_empty() {
            return Ok(());
        }
        let context = request.object(member).map_err(RuleError::Request)?.unwrap_or_default();
        for (name, value) in &self.encryption_context {
            if context.text(name).map_err(RuleError::Request)?.as_ref() != Some(value) {
                return Err(RuleError::Context { entry: name.clone() });
            }
        }
        Ok(())
    }

    /// Judges the keys that KMS says it used for a call that is not attested.
    ///
    /// # Errors
    /// [`RuleError::AnsweredKey`], or that the answer is not understood.
    pub fn judge_plain_answer(&self, region: &Region, answer: &Object) -> Result<(), RuleError> {
        let Allow::Only(keys) = &self.keys else { return Ok(()) };
        for member in [KEY, SOURCE_KEY] {
            let Some(key) = answer.text(member).map_err(RuleError::Answer)? else { continue };
            if !keys.iter().any(|listed| listed.is_key() && listed.is_named(&key, region)) {
                return Err(RuleError::AnsweredKey { key });
            }
        }
        Ok(())
    }

    /// Judges the key that KMS says it used for an attested call: a host that swaps one wrapped key for another, under a key of
    /// its own, is found out here.
    ///
    /// # Errors
    /// [`RuleError::AnsweredKey`], or that the answer is not understood. `GenerateRandom` uses no key.
    pub fn judge_answer(
        &self,
        operation: Attested,
        asked: Option<&str>,
        answer: &Object,
    ) -> Result<(), RuleError> {
        if operation == Attested::GenerateRandom {
            return Ok(());
        }
        let used = answer.text(KEY).map_err(RuleError::Answer)?.unwrap_or_default();
        // Only a key's full ARN says which key it is: an alias or a bare id may be another's tomorrow.
        let pinned = asked.filter(|asked| asked.parse::<KeyArn>().is_ok_and(|arn| arn.is_key()));
        let listed = match &self.keys {
            Allow::Any => !used.is_empty(),
            Allow::Only(keys) => keys.iter().any(|key| key.is(&used)),
        };
        if listed && pinned.is_none_or(|asked| asked == used) {
            Ok(())
        } else {
            Err(RuleError::AnsweredKey { key: used })
        }
    }
}

/// The names under which requests name keys.
const KEY_MEMBERS: [&str; 4] = [KEY, SOURCE_KEY, "DestinationKeyId", "TargetKeyId"];
const KEY: &str = "KeyId";
const SOURCE_KEY: &str = "SourceKeyId";
const RE_ENCRYPT: &str = "ReEncrypt";
const CONTEXT: &str = "EncryptionContext";
const RE_ENCRYPT_CONTEXTS: [&str; 2] = ["SourceEncryptionContext", "DestinationEncryptionContext"];

/// KMS Developer Guide, "Encryption context": the cryptographic operations with symmetric keys.
fn operation_takes_context(operation: &Operation) -> bool {
    matches!(
        operation.as_str(),
        "Encrypt"
            | "Decrypt"
            | RE_ENCRYPT
            | "GenerateDataKey"
            | "GenerateDataKeyPair"
            | "GenerateDataKeyWithoutPlaintext"
            | "GenerateDataKeyPairWithoutPlaintext"
    )
}

/// Which rule refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// The operation is not listed.
    Operation {
        /// The one asked for.
        operation: Operation,
    },
    /// The key is not listed.
    Key {
        /// Where the request names it.
        member: &'static str,
        /// As the request names it.
        key: String,
    },
    /// The key must be named.
    Unnamed {
        /// Where.
        member: &'static str,
    },
    /// A required entry of the encryption context is absent or has another value.
    Context {
        /// Its name. Its value is nobody's to be told.
        entry: String,
    },
    /// KMS used a key that is not listed, or not the one that was asked for.
    AnsweredKey {
        /// The one it used.
        key: String,
    },
    /// A member of the request that must be judged is not what it should be.
    Request(ObjectError),
    /// A member of the answer is not what it should be.
    Answer(ObjectError),
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation { operation } => write!(f, "kms_proxy.operations does not list {operation}"),
            Self::Key { member, key } => {
                write!(f, "kms_proxy.keys does not list {:?} ({member})", beginning(key))
            }
            Self::Unnamed { member } => {
                write!(f, "kms_proxy.keys needs the key to be named: the request has no {member}")
            }
            Self::Context { entry } => {
                write!(f, "kms_proxy.encryption_context requires the entry {entry:?} with its value")
            }
            Self::AnsweredKey { key } => {
                let key = beginning(key);
                write!(
                    f,
                    "KMS says that it used the key {key:?}, which is not the one asked for or not in kms_proxy.keys"
                )
            }
            Self::Request(why) => write!(f, "the request cannot be judged: {why}"),
            Self::Answer(why) => write!(f, "the answer cannot be judged: {why}"),
        }
    }
}

impl std::error::Error for RuleError {}

/// As much of a name as goes into a message and a log.
pub(super) fn beginning(name: &str) -> &str {
    let end = name.char_indices().nth(MAX_TOLD).map_or(name.len(), |(end, _)| end);
    name.get(..end).unwrap_or_default()
}

/// In characters. An alias's ARN has up to 300.
const MAX_TOLD: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const OTHER: &str = "arn:aws:kms:eu-west-1:999999999999:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn rules() -> Rules {
        Rules {
            operations: Allow::Only(["Decrypt", "ReEncrypt"].map(|name| name.parse().unwrap()).into()),
            keys: Allow::Only([KEY, ALIAS].map(|arn| arn.parse().unwrap()).into()),
            encryption_context: [("app".to_owned(), "payments".to_owned())].into(),
        }
    }

    const ALIAS: &str = "arn:aws:kms:eu-west-1:111122223333:alias/payments";

    fn judge(operation: &str, region: &str, request: &str) -> Result<(), String> {
        let request = Object::read(request.as_bytes()).unwrap();
        let (operation, region) = (operation.parse().unwrap(), region.parse().unwrap());
        rules().judge(&operation, &region, &request).map_err(|why| why.to_string())
    }

    #[test]
    fn a_listed_key_may_be_named_in_each_way() {
        for key in [KEY, "1234abcd-12ab-34cd-56ef-1234567890ab", ALIAS, "alias/payments"] {
            let request = format!(r#"{{"KeyId":"{key}","EncryptionContext":{{"app":"payments"}}}}"#);
            assert_eq!(judge("Decrypt", "eu-west-1", &request), Ok(()), "{key}");
        }
        assert_eq!(judge("Decrypt", "eu-west-1", r#"{"EncryptionContext":{"app":"payments"}}"#), Ok(()));
    }

    #[test]
    fn a_refusal_names_its_rule() {
        let cases = [
            ("Encrypt", "eu-west-1", "{}", "kms_proxy.operations does not list Encrypt".to_owned()),
            (
                "Decrypt",
                "eu-west-1",
                &format!(r#"{{"KeyId":"{OTHER}"}}"#),
                format!("kms_proxy.keys does not list {OTHER:?} (KeyId)"),
            ),
            // The same id in another region is another key.
            (
                "Decrypt",
                "us-east-1",
                r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
                "kms_proxy.keys does not list \"1234abcd-12ab-34cd-56ef-1234567890ab\" (KeyId)".to_owned(),
            ),
            (
                "ReEncrypt",
                "eu-west-1",
                &format!(r#"{{"SourceKeyId":"{KEY}","DestinationKeyId":"alias/evil"}}"#),
                "kms_proxy.keys does not list \"alias/evil\" (DestinationKeyId)".to_owned(),
            ),
            (
                "ReEncrypt",
                "eu-west-1",
                &format!(r#"{{"DestinationKeyId":"{KEY}"}}"#),
                "kms_proxy.keys needs the key to be named: the request has no SourceKeyId".to_owned(),
            ),
            (
                "Decrypt",
                "eu-west-1",
                r#"{"EncryptionContext":{"app":"other"}}"#,
                "kms_proxy.encryption_context requires the entry \"app\" with its value".to_owned(),
            ),
            (
                "ReEncrypt",
                "eu-west-1",
                &format!(r#"{{"SourceKeyId":"{KEY}","SourceEncryptionContext":{{"app":"payments"}}}}"#),
                "kms_proxy.encryption_context requires the entry \"app\" with its value".to_owned(),
            ),
        ];
        for (operation, region, request, message) in cases {
            assert_eq!(judge(operation, region, request), Err(message), "{operation} {request}");
        }
        let twice = r#"{"EncryptionContext":{"app":"payments","app":"other"}}"#;
        assert!(judge("Decrypt", "eu-west-1", twice).unwrap_err().contains("\"app\" comes twice"));
    }

    #[test]
    fn the_key_that_was_used_must_be_the_one_that_was_meant() {
        let answer = |key: &str| Object::read(format!(r#"{{"KeyId":"{key}"}}"#).as_bytes()).unwrap();
        let any = Rules { keys: Allow::Any, ..rules() };
        let (one, random) = (Attested::Decrypt, Attested::GenerateRandom);
        assert_eq!(rules().judge_answer(one, None, &answer(KEY)), Ok(()));
        assert_eq!(any.judge_answer(one, Some("alias/payments"), &answer(OTHER)), Ok(()));
        let swapped = Err(RuleError::AnsweredKey { key: OTHER.to_owned() });
        assert_eq!(rules().judge_answer(one, None, &answer(OTHER)), swapped);
        assert_eq!(any.judge_answer(one, Some(KEY), &answer(OTHER)), swapped, "pinned by its ARN");
        let unsaid = Err(RuleError::AnsweredKey { key: String::new() });
        assert_eq!(any.judge_answer(one, None, &Object::default()), unsaid);
        assert_eq!(rules().judge_answer(random, None, &Object::default()), Ok(()));
    }

    #[test]
    fn the_keys_of_any_answer_must_be_listed() {
        let judge = |rules: &Rules, answer: &str| {
            let answer = Object::read(answer.as_bytes()).unwrap();
            rules.judge_plain_answer(&"eu-west-1".parse().unwrap(), &answer)
        };
        let both = format!(r#"{{"KeyId":"{KEY}","SourceKeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}}"#);
        assert_eq!(judge(&rules(), &both), Ok(()));
        assert_eq!(judge(&rules(), r#"{"Keys":[]}"#), Ok(()), "no key was used");
        let unlisted = Err(RuleError::AnsweredKey { key: OTHER.to_owned() });
        for member in ["KeyId", "SourceKeyId"] {
            assert_eq!(judge(&rules(), &format!(r#"{{"{member}":"{OTHER}"}}"#)), unlisted);
        }
        let any = Rules { keys: Allow::Any, ..rules() };
        assert_eq!(judge(&any, &format!(r#"{{"KeyId":"{OTHER}"}}"#)), Ok(()));
    }

    #[test]
    fn what_is_told_of_a_key_is_bounded_and_escaped() {
        let key = format!("\n{}", "x".repeat(2_000));
        let told = RuleError::Key { member: KEY_MEMBERS[0], key }.to_string();
        assert!(told.len() < 400 && !told.contains('\n'), "{told}");
    }

    #[test]
    fn an_empty_list_denies() {
        let none = Rules { operations: Allow::Only(BTreeSet::new()), ..rules() };
        let operation: Operation = "Decrypt".parse().unwrap();
        let error = none.judge(&operation, &"eu-west-1".parse().unwrap(), &Object::default());
        assert_eq!(error, Err(RuleError::Operation { operation }));
    }
}
