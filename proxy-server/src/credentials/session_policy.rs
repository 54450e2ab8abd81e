use std::{fmt, str::FromStr};

use serde_json::Value;

/// What of a role's rights its credentials have: an IAM policy, as the administrator wrote it.
///
/// AWS judges what it says. Here it is only held to what STS takes, so that a mistake is found when the proxy
/// starts and not when the first enclave asks (STS API reference, `AssumeRole`, parameter `Policy`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPolicy(String);

impl SessionPolicy {
    /// The most characters, those of STS.
    pub const MOST: usize = 2048;

    /// The JSON, as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionPolicy {
    type Err = BadSessionPolicy;

    fn from_str(text: &str) -> Result<Self, BadSessionPolicy> {
        let text = text.trim();
        let value: Value = serde_json::from_str(text).map_err(|error| BadSessionPolicy::NotJson {
            line: error.line(),
            column: error.column(),
            why: why(&error),
        })?;
        let statement = value.as_object().and_then(|policy| policy.get("Statement"));
        let stands = match statement {
            Some(Value::Array(list)) => !list.is_empty() && list.iter().all(Value::is_object),
            Some(statement) => statement.is_object(),
            None => false,
        };
        if !stands {
            return Err(BadSessionPolicy::NoStatement);
        }
        // The pattern of the parameter: [\u0009\u000A\u000D\u0020-\u00FF]+
        let taken = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}');
        if let Some(other) = text.chars().find(|c| !taken(*c)) {
            return Err(BadSessionPolicy::Character(other));
        }
        // Spaces between the parts count as well, and say nothing.
        let short = without_spaces(text);
        match short.chars().count() {
            0..=Self::MOST => Ok(Self(short)),
            found => Err(BadSessionPolicy::TooLong { found }),
        }
    }
}

/// JSON without the spaces outside of its strings (RFC 8259 section 2).
fn without_spaces(json: &str) -> String {
    let mut short = String::with_capacity(json.len());
    let (mut inside, mut escaped) = (false, false);
    for c in json.chars() {
        if inside {
            inside = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            inside = c == '"';
        }
        short.push(c);
    }
    short
}

/// serde_json's reason without its place, which is told apart.
fn why(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Why a text is no session policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadSessionPolicy {
    /// It is no JSON.
    NotJson {
        /// Of the policy, from 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        why: String,
    },
    /// It is no object with statements.
    NoStatement,
    /// STS does not take this character.
    Character(char),
    /// It is longer than STS takes.
    TooLong {
        /// Its characters, without spaces between the parts.
        found: usize,
    },
}

impl fmt::Display for BadSessionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson { line, column, why } => {
                write!(f, "expected an IAM policy as JSON; found at its line {line}, column {column}: {why}")
            }
            Self::NoStatement => {
                f.write_str("expected an IAM policy with at least one Statement; found none")
            }
            Self::Character(c) => write!(f, "expected characters that STS takes; found {c:?}"),
            Self::TooLong { found } => write!(
                f,
                "expected at most {} characters, spaces between the parts not counted; found {found}",
                SessionPolicy::MOST
            ),
        }
    }
}

impl std::error::Error for BadSessionPolicy {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sent_without_the_spaces_that_say_nothing() {
        let written =
            "{ \"Version\": \"2012-10-17\",\n\t\"Statement\": [ { \"Sid\": \"a \\\" b\\\\\" } ] }\n";
        let policy: SessionPolicy = written.parse().unwrap();
        assert_eq!(policy.as_str(), r#"{"Version":"2012-10-17","Statement":[{"Sid":"a \" b\\"}]}"#);
        let before: Value = serde_json::from_str(written).unwrap();
        assert_eq!(serde_json::from_str::<Value>(policy.as_str()).unwrap(), before);
    }

    #[test]
    fn what_sts_would_refuse_is_refused_first() {
        let read = |text: &str| text.parse::<SessionPolicy>().unwrap_err();
        for bad in ["{}", "[]", "null", r#"{"Statement":[]}"#, r#"{"Statement":[1]}"#, r#"{"Statement":""}"#]
        {
            assert_eq!(read(bad), BadSessionPolicy::NoStatement, "{bad}");
        }
        let error = read("{\"Statement\":\n nothing}");
        assert!(matches!(error, BadSessionPolicy::NotJson { line: 2, .. }), "{error}");
        assert_eq!(read(r#"{"Statement":{"Sid":"→"}}"#), BadSessionPolicy::Character('→'));
        let of = |length: usize| format!(r#"{{"Statement":{{"Sid":"{}"}}}}"#, "a".repeat(length));
        let room = SessionPolicy::MOST - of(0).len();
        assert!(of(room).parse::<SessionPolicy>().is_ok());
        assert_eq!(read(&of(room + 1)), BadSessionPolicy::TooLong { found: 2049 });
    }
}
