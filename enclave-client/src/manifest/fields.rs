use super::{
    Mistake,
    nearest::nearest,
    node::{At, Node, Place},
};

/// The fields of one mapping. Each is asked for by name; what is wrong with it is
/// noted, and the reader goes on.
pub(super) struct Fields<'a> {
    path: String,
    place: Place,
    entries: &'a [(At<String>, At<Node>)],
}

impl<'a> Fields<'a> {
    /// The node as a mapping; what is not in `known` is noted with the nearest
    /// name that is, or, for the words in `later`, as not supported yet.
    pub(super) fn open(
        node: &'a At<Node>,
        path: impl Into<String>,
        known: &[&'static str],
        later: &[&str],
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Self> {
        let path = path.into();
        let Node::Map(entries) = &node.value else {
            let message = format!("expected a mapping, found {}", node.value.kind());
            mistakes.push(node.place.mistake(path, message));
            return None;
        };
        let fields = Self { path, place: node.place, entries };
        for (name, _) in entries.iter().filter(|(name, _)| !known.contains(&name.value.as_str())) {
            let message = if later.contains(&name.value.as_str()) {
                NOT_YET.to_owned()
            } else {
                match nearest(&name.value, known) {
                    Some(near) => format!("unknown field, did you mean {near}?"),
                    None => format!("unknown field; known are {}", known.join(", ")),
                }
            };
            mistakes.push(name.place.mistake(fields.path_of(&name.value), message));
        }
        Some(fields)
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn node(&self, name: &str) -> Option<&'a At<Node>> {
        self.entries.iter().find(|(key, _)| key.value == name).map(|(_, node)| node)
    }

    pub(super) fn text(&self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<At<String>> {
        let node = self.node(name)?;
        let Node::Text(value) = &node.value else {
            mistakes.push(self.expected("a text", name, node));
            return None;
        };
        Some(At { value: value.clone(), place: node.place })
    }

    pub(super) fn number(&self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<At<u64>> {
        let node = self.node(name)?;
        let Node::Number(value) = node.value else {
            mistakes.push(self.expected("a whole number", name, node));
            return None;
        };
        Some(At { value, place: node.place })
    }

    /// Notes that a field without which nothing works is not there.
    pub(super) fn require(&self, name: &str, mistakes: &mut Vec<Mistake>) {
        if self.node(name).is_none() {
            mistakes.push(self.place.mistake(self.path_of(name), "is missing"));
        }
    }

    pub(super) fn expected(&self, what: &str, name: &str, node: &At<Node>) -> Mistake {
        let message = format!("expected {what}, found {}", node.value.kind());
        node.place.mistake(self.path_of(name), message)
    }
}

/// For words of OBLV's and Enclaver's manifests that are known and do nothing yet.
pub(super) const NOT_YET: &str = "not supported in this version: see docs/manifest.md";
