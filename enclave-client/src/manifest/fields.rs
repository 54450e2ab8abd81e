use super::{
    node::{At, Node, Place},
    shape::{Field, Kind, Table, path_of},
};

/// The fields of a mapping, by name. What is not as its table says was noted
/// before and is not there for whoever asks.
pub(super) struct Fields<'a> {
    pub(super) path: String,
    pub(super) place: Place,
    table: &'static Table,
    entries: &'a [(At<String>, At<Node>)],
}

impl<'a> Fields<'a> {
    /// `None` for what is no mapping.
    pub(super) fn of(node: &'a At<Node>, path: impl Into<String>, table: &'static Table) -> Option<Self> {
        match &node.value {
            Node::Map(entries) => Some(Self { path: path.into(), place: node.place, table, entries }),
            _ => None,
        }
    }

    /// Every field that stands, with where its name stands.
    pub(super) fn standing(&self) -> impl Iterator<Item = (&'static Field, Place)> {
        self.entries.iter().filter_map(|(name, _)| Some((self.table.field(&name.value)?, name.place)))
    }

    pub(super) fn node(&self, name: &str) -> Option<&'a At<Node>> {
        debug_assert!(self.table.field(name).is_some(), "no table has {name}");
        self.entries.iter().find(|(key, _)| key.value == name).map(|(_, node)| node)
    }

    pub(super) fn text(&self, name: &str) -> Option<At<String>> {
        let node = self.node(name)?;
        let Node::Text(value) = &node.value else { return None };
        if matches!(self.table.field(name)?.kind, Kind::Word(words) if !words.contains(&value.as_str())) {
            return None;
        }
        Some(At { value: value.clone(), place: node.place })
    }

    /// A number within the bounds of its field.
    pub(super) fn number(&self, name: &str) -> Option<At<u64>> {
        let node = self.node(name)?;
        match (&self.table.field(name)?.kind, &node.value) {
            (Kind::Number { min, max }, Node::Number(value)) if (min..=max).contains(&value) => {
                Some(At { value: *value, place: node.place })
            }
            _ => None,
        }
    }

    pub(super) fn truth(&self, name: &str) -> Option<At<bool>> {
        let node = self.node(name)?;
        match node.value {
            Node::Bool(value) => Some(At { value, place: node.place }),
            _ => None,
        }
    }

    /// The items of a list; none when it is absent.
    pub(super) fn list(&self, name: &str) -> &'a [At<Node>] {
        match self.node(name).map(|node| &node.value) {
            Some(Node::List(items)) => items,
            _ => &[],
        }
    }

    /// The texts of a list, each with its path.
    pub(super) fn texts(&self, name: &str) -> Vec<(String, At<String>)> {
        let list = path_of(&self.path, name);
        let items = self.list(name).iter().enumerate();
        items
            .filter_map(|(index, item)| match &item.value {
                Node::Text(text) => {
                    Some((format!("{list}[{index}]"), At { value: text.clone(), place: item.place }))
                }
                _ => None,
            })
            .collect()
    }

    /// The entries of a mapping of texts, by names that the user chose.
    pub(super) fn pairs(&self, name: &str) -> Vec<(At<String>, At<String>)> {
        let Some(At { value: Node::Map(entries), .. }) = self.node(name) else { return Vec::new() };
        let pair = |(key, node): &(At<String>, At<Node>)| match &node.value {
            Node::Text(text) => Some((key.clone(), At { value: text.clone(), place: node.place })),
            _ => None,
        };
        entries.iter().filter_map(pair).collect()
    }

    pub(super) fn map(&self, name: &str) -> Option<Self> {
        let table = match self.table.field(name)?.kind {
            Kind::Map(table) | Kind::Either(_, table) => table,
            _ => return None,
        };
        Self::of(self.node(name)?, path_of(&self.path, name), table)
    }
}
