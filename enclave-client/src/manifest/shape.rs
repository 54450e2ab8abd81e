//! What the tables of `words.rs` are made of, and the check of a tree against them.

use super::{
    Mistake,
    nearest::nearest,
    node::{At, Node, Place},
};

/// The fields of one kind of mapping.
pub(super) struct Table {
    /// For a person: `an entry of outboundConnections`.
    pub(super) doc: &'static str,
    pub(super) fields: &'static [Field],
    /// Exactly one of these sets of fields stands, and all of that set. Empty: no such rule.
    pub(super) one_of: &'static [&'static [&'static str]],
}

/// One word, and everything that is said about it anywhere.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) need: Need,
    pub(super) world: World,
    pub(super) effect: Effect,
    pub(super) default: Default,
    /// One sentence, which editors show.
    pub(super) doc: &'static str,
}

/// What a value must be.
pub(super) enum Kind {
    Text,
    Word(&'static [&'static str]),
    Truth,
    Number {
        min: u64,
        max: u64,
    },
    List(&'static Kind),
    Map(&'static Table),
    /// The first for whatever is no mapping.
    Either(&'static Kind, &'static Table),
    /// A mapping of texts, by names that the user chooses.
    Texts,
    /// Whatever OBLV's cluster has there: only the lists in it are ours to read.
    Foreign,
}

/// When a field must stand, and when it may not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Optional,
    Required,
    /// Only in an entry of one of these `type`s.
    Of(&'static [&'static str]),
    /// The same, and in one of the first it must.
    RequiredOf(&'static [&'static str]),
}

/// Whose word it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum World {
    Enclaver,
    Oblv,
    Ours,
}

/// Whether anything comes of it when the enclave runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Here,
    /// It is for whoever builds or starts the image, and read by nobody in the enclave.
    Elsewhere,
    /// It asks for something that this version does not do: the warning says what.
    Nothing(&'static str),
}

/// What counts when the field is absent.
#[derive(Clone, Copy)]
pub(super) enum Default {
    None,
    Number(u64),
    Word(&'static str),
}

impl Field {
    pub(super) const fn new(name: &'static str, kind: Kind, world: World, doc: &'static str) -> Self {
        let (need, effect, default) = (Need::Optional, Effect::Here, Default::None);
        Self { name, kind, need, world, effect, default, doc }
    }

    pub(super) const fn need(self, need: Need) -> Self {
        Self { need, ..self }
    }

    pub(super) const fn effect(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }

    pub(super) const fn default(self, default: Default) -> Self {
        Self { default, ..self }
    }

    /// `egress:` and `allow:` with nothing behind them are absent to Enclaver and to Kubernetes. Any other word
    /// with nothing behind it is a mistake: an empty `proxyAnchor` must not mean the public roots.
    pub(super) fn may_be_empty(&self) -> bool {
        self.need == Need::Optional && matches!(self.kind, Kind::List(_) | Kind::Map(_) | Kind::Foreign)
    }
}

impl Table {
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    fn check(&self, entries: &[(At<String>, At<Node>)], place: Place, path: &str, found: &mut Vec<Mistake>) {
        let kind = self.entry_type(entries);
        for (name, node) in entries {
            let path = path_of(path, &name.value);
            let Some(field) = self.field(&name.value) else {
                found.push(name.place.mistake(path, self.unknown(&name.value)));
                continue;
            };
            if let (Need::Of(right) | Need::RequiredOf(right), Some(is)) = (field.need, kind)
                && !right.contains(&is)
            {
                let found_type = match entries.iter().any(|(name, _)| name.value == TYPE) {
                    true => format!("this entry is of type {is}"),
                    false => "this entry has no type".to_owned(),
                };
                found.push(
                    name.place.mistake(path, format!("belongs to type {}, and {found_type}", either(right))),
                );
                continue;
            }
            if !(matches!(node.value, Node::Null) && field.may_be_empty()) {
                field.kind.check(node, &path, found);
            }
        }
        let stands = |name: &str| entries.iter().any(|(key, _)| key.value == name);
        for field in self.fields.iter().filter(|field| !stands(field.name)) {
            let message = match field.need {
                Need::Required => "is missing".to_owned(),
                Need::RequiredOf([right, ..]) if kind == Some(right) => {
                    format!("is missing, type {right} needs it")
                }
                _ => continue,
            };
            found.push(place.mistake(path_of(path, field.name), message));
        }
        self.check_choice(&stands, place, path, found);
    }

    fn check_choice(
        &self,
        stands: &dyn Fn(&str) -> bool,
        place: Place,
        path: &str,
        found: &mut Vec<Mistake>,
    ) {
        let begun: Vec<_> = self.one_of.iter().filter(|set| set.iter().any(|name| stands(name))).collect();
        let words =
            |sets: &[&[&str]]| sets.iter().map(|set| set.join(" and ")).collect::<Vec<_>>().join(", or ");
        match begun[..] {
            _ if self.one_of.is_empty() => {}
            [] => found.push(place.mistake(path, format!("expected {}", words(self.one_of)))),
            [set] => {
                for name in set.iter().filter(|name| !stands(name)) {
                    found.push(place.mistake(path_of(path, name), "is missing"));
                }
            }
            _ => found.push(place.mistake(path, format!("expected only one of: {}", words(self.one_of)))),
        }
    }

    /// The entry's `type`, or what its absence means; `None` when the table has no types or the word is wrong.
    fn entry_type(&self, entries: &[(At<String>, At<Node>)]) -> Option<&'static str> {
        let field = self.field(TYPE)?;
        let (Kind::Word(words), Default::Word(default)) = (&field.kind, field.default) else { return None };
        match entries.iter().find(|(name, _)| name.value == TYPE).map(|(_, node)| &node.value) {
            None => Some(default),
            Some(Node::Text(text)) => words.iter().copied().find(|word| word == text),
            Some(_) => None,
        }
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<_> = self.fields.iter().map(|field| field.name).collect();
        match nearest(name, &known) {
            Some(near) => format!("unknown field, did you mean {near}?"),
            None => format!("unknown field; known are {}", known.join(", ")),
        }
    }
}

impl Kind {
    /// Notes everything about a value that is not as it must be.
    pub(super) fn check(&self, node: &At<Node>, path: &str, found: &mut Vec<Mistake>) {
        match (self, &node.value) {
            (Self::Text, Node::Text(_)) | (Self::Truth, Node::Bool(_)) | (Self::Foreign, _) => {}
            (Self::Word(words), Node::Text(text)) if words.contains(&text.as_str()) => {}
            (Self::Word(words), Node::Text(text)) => {
                found.push(node.place.mistake(path, format!("expected {}, found {text:?}", either(words))));
            }
            (Self::Number { min, max }, Node::Number(number)) if (min..=max).contains(&number) => {}
            (Self::Number { min, max }, Node::Number(number)) => {
                found.push(node.place.mistake(path, format!("expected {min} to {max}, found {number}")));
            }
            (Self::List(kind), Node::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    kind.check(item, &format!("{path}[{index}]"), found);
                }
            }
            (Self::Map(table) | Self::Either(_, table), Node::Map(entries)) => {
                table.check(entries, node.place, path, found);
            }
            (Self::Either(plain @ Self::Word(_), _), Node::Text(_)) => plain.check(node, path, found),
            (Self::Either(Self::Text, _), Node::Text(_)) => {}
            (Self::Texts, Node::Map(entries)) => {
                for (name, value) in entries {
                    Self::Text.check(value, &path_of(path, &name.value), found);
                }
            }
            (_, other) => {
                let message = format!("expected {}, found {}", self.what(), other.kind());
                found.push(node.place.mistake(path, message));
            }
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Word(words) => either(words),
            Self::Truth => "true or false".to_owned(),
            Self::Number { .. } => "a whole number".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) | Self::Texts => "a mapping".to_owned(),
            Self::Either(plain, table) => {
                let names: Vec<_> = table.fields.iter().map(|field| field.name).collect();
                format!("{} or a mapping of {}", plain.what(), names.join(", "))
            }
            Self::Foreign => "anything".to_owned(),
        }
    }
}

/// `a, b or c`
fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

pub(super) fn path_of(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The field that tells the entries of a list apart.
pub(super) const TYPE: &str = "type";
