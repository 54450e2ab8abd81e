use std::fmt;

use serde_json::{Map, Value};

use super::operators::Operator;

/// A key policy, read: its statements in order.
#[derive(Clone, Debug)]
pub struct KeyPolicy {
    pub(super) statements: Vec<Statement>,
}

/// One statement.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    /// Its Sid, or its number.
    pub(super) name: String,
    pub(super) effect: Effect,
    pub(super) principals: Principals,
    pub(super) actions: Actions,
    pub(super) resources: Resources,
    pub(super) conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Principals {
    /// `"*"`, or `*` among those of `AWS`.
    Anybody,
    /// `*` of another kind: every service, or everybody of some federation.
    AnyOfAKind,
    Named,
    /// `NotPrincipal`.
    AllBut,
}

#[derive(Clone, Debug)]
pub(super) enum Actions {
    These(Vec<String>),
    /// `NotAction`.
    AllBut(Vec<String>),
}

/// Whether a statement is about the key whose policy it stands in (KMS developer guide, "Creating a key policy").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resources {
    /// `*`, which in a key's policy is this key.
    ThisKey,
    /// ARNs and patterns, or `NotResource`: it may be about this key, or about none.
    Unsure,
    /// No such element. KMS takes the statement, and it has no effect.
    Nothing,
}

/// One key of one operator: all conditions of a statement must hold, one value of each is enough.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) operator: Operator,
    /// In lower case: AWS does not tell cases of keys apart.
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

impl KeyPolicy {
    /// Reads JSON as `GetKeyPolicy` answers it. An element that is not known is a mistake: it could mean anything.
    ///
    /// # Errors
    /// [`BadKeyPolicy`].
    pub fn read(json: &[u8]) -> Result<Self, BadKeyPolicy> {
        let policy: Value = serde_json::from_slice(json).map_err(|error| BadKeyPolicy(error.to_string()))?;
        let policy = policy.as_object().ok_or_else(|| bad("", "expected an object"))?;
        known(policy, &["Version", "Id", "Statement"], "")?;
        let statements = match policy.get("Statement") {
            Some(Value::Array(list)) => list.iter().collect(),
            Some(statement @ Value::Object(_)) => vec![statement],
            _ => return Err(bad("Statement", "expected a statement, or a list of them")),
        };
        let statements = statements.into_iter().enumerate();
        let statements = statements.map(|(index, statement)| Statement::read(statement, index));
        Ok(Self { statements: statements.collect::<Result<_, _>>()? })
    }
}

impl Statement {
    fn read(statement: &Value, index: usize) -> Result<Self, BadKeyPolicy> {
        let number = format!("Statement[{index}]");
        let fields = statement.as_object().ok_or_else(|| bad(&number, "expected an object"))?;
        let name = match fields.get("Sid").and_then(Value::as_str) {
            Some(sid) if !sid.is_empty() => sid.to_owned(),
            _ => number.clone(),
        };
        known(fields, &ELEMENTS, &number)?;
        let effect = match fields.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(bad(&number, "expected the Effect Allow or Deny")),
        };
        let principals = match (fields.get("Principal"), fields.get("NotPrincipal")) {
            (Some(principal), None) if is_anybody(principal) => Principals::Anybody,
            (Some(principal), None) if has_star(principal) => Principals::AnyOfAKind,
            (Some(_), None) => Principals::Named,
            (None, Some(_)) => Principals::AllBut,
            _ => return Err(bad(&number, "expected either a Principal or a NotPrincipal")),
        };
        let actions = match (fields.get("Action"), fields.get("NotAction")) {
            (Some(actions), None) => Actions::These(texts(actions, &number, "Action")?),
            (None, Some(actions)) => Actions::AllBut(texts(actions, &number, "NotAction")?),
            _ => return Err(bad(&number, "expected either an Action or a NotAction")),
        };
        let resources = match (fields.get("Resource"), fields.get("NotResource")) {
            (None, None) => Resources::Nothing,
            (Some(resource), None)
                if texts(resource, &number, "Resource")?.iter().any(|text| text == "*") =>
            {
                Resources::ThisKey
            }
            _ => Resources::Unsure,
        };
        let conditions = match fields.get("Condition") {
            None => Vec::new(),
            Some(condition) => conditions(condition, &number)?,
        };
        Ok(Self { name, effect, principals, actions, resources, conditions })
    }

    /// Whether it certainly denies everybody this key, as far as its conditions hold.
    pub(super) fn denies_everybody(&self) -> bool {
        self.effect == Effect::Deny
            && self.principals == Principals::Anybody
            && self.resources == Resources::ThisKey
    }

    /// Whether it may allow somebody this key.
    pub(super) fn may_allow(&self) -> bool {
        self.effect == Effect::Allow && self.resources != Resources::Nothing
    }

    /// Whether it speaks of this operation.
    pub(super) fn covers(&self, operation: &str) -> bool {
        match &self.actions {
            Actions::These(patterns) => patterns.iter().any(|pattern| matches(pattern, operation)),
            Actions::AllBut(patterns) => !patterns.iter().any(|pattern| matches(pattern, operation)),
        }
    }
}

fn conditions(condition: &Value, number: &str) -> Result<Vec<Condition>, BadKeyPolicy> {
    let operators = condition.as_object().ok_or_else(|| bad(number, "expected a Condition of operators"))?;
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let keys =
            keys.as_object().ok_or_else(|| bad(number, "expected condition keys behind an operator"))?;
        for (key, values) in keys {
            conditions.push(Condition {
                operator: Operator::read(operator),
                key: key.to_ascii_lowercase(),
                values: texts(values, number, key)?,
            });
        }
    }
    Ok(conditions)
}

/// `"*"`, `{"AWS": "*"}`, `{"AWS": ["*", …]}`.
fn is_anybody(principal: &Value) -> bool {
    match principal {
        Value::Object(kinds) => kinds.get("AWS").is_some_and(has_star),
        other => has_star(other),
    }
}

/// `*`, wherever it is.
fn has_star(principal: &Value) -> bool {
    match principal {
        Value::String(text) => text == "*",
        Value::Array(list) => list.iter().any(has_star),
        Value::Object(kinds) => kinds.values().any(has_star),
        _ => false,
    }
}

/// One text or a list of them; truth and numbers are texts to IAM.
fn texts(value: &Value, number: &str, what: &str) -> Result<Vec<String>, BadKeyPolicy> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err(bad(number, &format!("expected texts in {what}"))),
    };
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

/// `*` and `?` as IAM reads them in an action, without regard to case. Quadratic at the worst, and a policy has 32 KiB.
fn matches(pattern: &str, operation: &str) -> bool {
    let (pattern, text): (Vec<u8>, Vec<u8>) =
        (pattern.to_ascii_lowercase().into(), operation.to_ascii_lowercase().into());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || Some(&byte) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

fn known(fields: &Map<String, Value>, names: &[&str], number: &str) -> Result<(), BadKeyPolicy> {
    match fields.keys().find(|key| !names.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(bad(number, &format!("unknown element {key}"))),
    }
}

/// IAM user guide, "IAM JSON policy elements reference".
const ELEMENTS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

fn bad(place: &str, what: &str) -> BadKeyPolicy {
    BadKeyPolicy(if place.is_empty() { what.to_owned() } else { format!("{place}: {what}") })
}

/// Why a text is no key policy that can be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKeyPolicy(String);

impl fmt::Display for BadKeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no key policy that can be judged: {}", self.0)
    }
}

impl std::error::Error for BadKeyPolicy {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_match_as_iam_matches_them() {
        for (pattern, operation, expected) in [
            ("kms:Decrypt", "kms:Decrypt", true),
            ("KMS:decrypt", "kms:Decrypt", true),
            ("kms:*", "kms:Decrypt", true),
            ("*", "kms:Decrypt", true),
            ("kms:De*t", "kms:Decrypt", true),
            ("kms:*crypt", "kms:Decrypt", true),
            ("kms:De?rypt", "kms:Decrypt", true),
            ("kms:**", "kms:Decrypt", true),
            ("kms:GenerateDataKey*", "kms:GenerateDataKeyPair", true),
            ("kms:GenerateDataKey", "kms:GenerateDataKeyPair", false),
            ("kms:Decrypt?", "kms:Decrypt", false),
            ("kms:Encrypt", "kms:Decrypt", false),
            ("", "kms:Decrypt", false),
            ("s3:*", "kms:Decrypt", false),
        ] {
            assert_eq!(matches(pattern, operation), expected, "{pattern} {operation}");
        }
    }
}
