//! Reads a TOML tree by hand, so that a mistake is noted and reading goes on.
//! serde stops at the first one.

use std::{cell::RefCell, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::mistake::Collector;

/// One table: fields are taken by name, what was never asked for is unknown.
pub(super) struct Section<'t> {
    table: &'t DeTable<'t>,
    span: Range<usize>,
    path: String,
    asked: RefCell<Vec<&'static str>>,
    found: &'t Collector,
}

impl<'t> Section<'t> {
    pub(super) fn new(
        table: &'t DeTable<'t>,
        span: Range<usize>,
        path: String,
        found: &'t Collector,
    ) -> Self {
        Self { table, span, path, asked: RefCell::default(), found }
    }

    /// The table's name, as `workload[0]`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Where the table begins.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(super) fn text(&self, key: &'static str) -> Option<Spanned<String>> {
        let value = self.get(key)?;
        let text = value.get_ref().as_str().map(|text| Spanned::new(value.span(), text.to_owned()));
        text.or_else(|| self.wrong(key, "text in quotes", value))
    }

    /// A whole number, 0 or more.
    pub(super) fn number(&self, key: &'static str) -> Option<Spanned<u64>> {
        let value = self.get(key)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|n| u64::from_str_radix(&n.as_str().replace('_', ""), n.radix()).ok());
        let number = number.map(|number| Spanned::new(value.span(), number));
        number.or_else(|| self.wrong(key, "a whole number, 0 or more", value))
    }

    /// A number, whole or not.
    pub(super) fn decimal(&self, key: &'static str) -> Option<Spanned<f64>> {
        let value = self.get(key)?;
        let text = match value.get_ref() {
            DeValue::Float(number) => Some(number.as_str()),
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
            _ => None,
        };
        let number = text.and_then(|text| text.replace('_', "").parse().ok());
        number.map(|number| Spanned::new(value.span(), number)).or_else(|| self.wrong(key, "a number", value))
    }

    /// A list of texts; `None` when the field is absent.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<Spanned<String>>> {
        let value = self.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            return self.wrong(key, "a list of texts", value);
        };
        let mut texts = Vec::with_capacity(array.len());
        for (index, item) in array.iter().enumerate() {
            match item.get_ref().as_str() {
                Some(text) => texts.push(Spanned::new(item.span(), text.to_owned())),
                None => {
                    let message = format!("expected text in quotes; found {}", name_of(item.get_ref()));
                    self.found.note(item.span(), format!("{}[{index}]", self.field(key)), message);
                }
            }
        }
        Some(texts)
    }

    pub(super) fn section(&self, key: &'static str) -> Option<Section<'t>> {
        let value = self.get(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Section::new(table, value.span(), self.field(key), self.found)),
            None => self.wrong(key, "a table", value),
        }
    }

    /// `[[key]]`, any number of times.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'t>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            let message = format!("expected [[{key}]] tables; found {}", name_of(value.get_ref()));
            self.found.note(value.span(), self.field(key), message);
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(array.len());
        for (index, item) in array.iter().enumerate() {
            let path = format!("{}[{index}]", self.field(key));
            match item.get_ref().as_table() {
                Some(table) => sections.push(Section::new(table, item.span(), path, self.found)),
                None => {
                    let message = format!("expected a table; found {}", name_of(item.get_ref()));
                    self.found.note(item.span(), path, message);
                }
            }
        }
        sections
    }

    /// Every field with a text or list of texts under a name that the user chose.
    pub(super) fn free_texts(&self) -> Vec<(Spanned<String>, Vec<Spanned<String>>)> {
        let mut entries = Vec::with_capacity(self.table.len());
        for (key, value) in self.table.iter() {
            let key = Spanned::new(key.span(), key.get_ref().to_string());
            let items = match value.get_ref() {
                DeValue::Array(array) => array.iter().collect(),
                _ => vec![value],
            };
            let mut texts = Vec::with_capacity(items.len());
            for item in items {
                match item.get_ref().as_str() {
                    Some(text) => texts.push(Spanned::new(item.span(), text.to_owned())),
                    None => {
                        let message = format!("expected text in quotes; found {}", name_of(item.get_ref()));
                        self.found.note(item.span(), format!("{}.{}", self.path, key.get_ref()), message);
                    }
                }
            }
            entries.push((key, texts));
        }
        entries
    }

    /// Notes every field that nobody asked for, with the nearest known name.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !asked.contains(&name) {
                self.found.note(key.span(), join(&self.path, name), unknown(name, &asked));
            }
        }
    }

    fn get(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    fn field(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn wrong<T>(&self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>) -> Option<T> {
        let message = format!("expected {expected}; found {}", name_of(value.get_ref()));
        self.found.note(value.span(), self.field(key), message);
        None
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn name_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn unknown(name: &str, known: &[&'static str]) -> String {
    let near = |&known: &&'static str| {
        let distance = distance(name, known);
        (distance <= 1 + known.len() / 3 || known.starts_with(name)).then_some((distance, known))
    };
    match known.iter().filter_map(near).min() {
        Some((_, known)) => format!("unknown field; did you mean \"{known}\"?"),
        None => format!("unknown field; known here: {}", known.join(", ")),
    }
}

/// Levenshtein distance: insertions, removals and replacements.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("", "abc", 3), ("lisen", "listen", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_far_name_lists_what_is_known() {
        assert_eq!(unknown("lisen", &["listen", "tls"]), "unknown field; did you mean \"listen\"?");
        assert_eq!(unknown("colour", &["listen", "tls"]), "unknown field; known here: listen, tls");
    }
}
