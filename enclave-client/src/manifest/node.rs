use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

use super::Mistake;

/// A value of any kind, with where it stands. Reading into a tree first, and
/// into fields afterwards, is what makes it possible to report all mistakes.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(u64),
    OtherNumber,
    Text(String),
    List(Vec<At<Node>>),
    Map(Vec<(At<String>, At<Node>)>),
}

impl Node {
    /// For "expected …, found …".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::OtherNumber => "a number that is negative or has a fraction",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// A value and its position.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// Line and column, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

impl Place {
    pub(super) fn mistake(self, path: impl Into<String>, message: impl Into<String>) -> Mistake {
        Mistake { line: self.line, column: self.column, path: path.into(), message: message.into() }
    }
}

impl Place {
    /// For what concerns the manifest as a whole.
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// Whether `*`, `**` or `*.` stands there: no alias, whose name begins with a letter.
    fn is_at_a_pattern(self, text: &str) -> bool {
        let index = |from_one: u64| usize::try_from(from_one).ok()?.checked_sub(1);
        let line = index(self.line).and_then(|line| text.lines().nth(line));
        let mut rest =
            line.zip(index(self.column)).into_iter().flat_map(|(line, column)| line.chars().skip(column));
        rest.next() == Some('*') && !rest.next().is_some_and(char::is_alphanumeric)
    }
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

/// Parses a whole YAML document.
pub(super) fn parse(text: &str) -> Result<At<Node>, Mistake> {
    // YAML 1.2: `y`, `no` and `off` are texts. A tag would change what a value is to some readers only; what
    // `!!binary` would turn into another text is that which stands there.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        reject_unsupported_tags: true,
        ignore_binary_tag_for_string: true,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map_or(Place { line: 0, column: 0 }, Place::from);
        place.mistake("", why(error.without_snippet(), place, text))
    })
}

/// Deeper than any deployment, and shallow enough for a thread's stack of 2 MiB in a build that optimises nothing:
/// the parser and the tree below recurse.
const MAX_DEPTH: usize = 24;

/// The parser's reason, in words for whoever writes the manifest.
fn why(error: &serde_saphyr::Error, place: Place, text: &str) -> String {
    if matches!(error, serde_saphyr::Error::MultipleDocuments { .. }) {
        return "a second YAML document begins here; a manifest is one".to_owned();
    }
    if place.is_at_a_pattern(text) {
        return "a pattern needs quotes, since * begins a YAML alias: write '*.example.com'".to_owned();
    }
    let words = error.render_with_formatter(&UserMessageFormatter);
    let words = words.lines().next().unwrap_or("not YAML");
    words.split(" at line ").next().unwrap_or(words).to_owned()
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, place: spanned.referenced.into() })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(u64::try_from(number).map_or(Node::OtherNumber, Node::Number))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::OtherNumber)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::OtherNumber)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::OtherNumber)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}
