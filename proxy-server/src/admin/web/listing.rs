use std::collections::BTreeMap;

use http::StatusCode;
use maud::{Markup, html};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    ask::{Trouble, query},
    guard::{Page, Visitor},
    layout,
};

/// What a list is asked for: its filter, and where it goes on.
pub(super) struct Listing {
    /// Where the page itself stands.
    path: &'static str,
    filter: BTreeMap<&'static str, String>,
    cursor: String,
}

/// One part of a list, as the API gives it.
#[derive(Deserialize)]
pub(super) struct Part<T> {
    pub(super) items: Vec<T>,
    /// Where the next part begins.
    pub(super) next: Option<String>,
}

impl Listing {
    /// What a page's query says of these filters; nothing else is passed on.
    pub(super) fn of(
        path: &'static str,
        told: &BTreeMap<String, String>,
        names: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let text = |name: &str| told.get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
        let filter = names.into_iter().map(|name| (name, text(name))).collect();
        Self { path, filter, cursor: text("cursor") }
    }

    /// Asks the API for the part.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        page: &Page,
        who: &Visitor,
        path: &str,
    ) -> Result<Part<T>, Trouble> {
        let mut question = self.at(&self.cursor);
        question.insert("limit", "50".to_owned());
        page.asker.get(who, &query(path, &question)).await
    }

    /// The form around the filters.
    pub(super) fn form(&self, label: &str, fields: Markup) -> Markup {
        html! {
            form.filters method="get" action=(self.path) role="search" aria-label=(label) {
                (fields)
                button type="submit" { "Filter" }
            }
        }
    }

    /// A filter that is written.
    pub(super) fn field(&self, name: &str, label: &str, placeholder: Option<&str>) -> Markup {
        html! {
            div {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(self.told(name)) placeholder=[placeholder] autocapitalize="none"
                    spellcheck="false";
            }
        }
    }

    /// A filter that is chosen; `every` is none.
    pub(super) fn choice(&self, name: &str, label: &str, every: &str, words: &[&str]) -> Markup {
        html! {
            div {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    option value="" { (every) }
                    @for word in words { option value=(word) selected[*word == self.told(name)] { (word) } }
                }
            }
        }
    }

    /// The part itself and the way to the next, what to say of none, or why there is no list.
    pub(super) fn show<T>(
        &self,
        answer: &Result<Part<T>, Trouble>,
        rows: impl FnOnce(&[T]) -> Markup,
        none: impl FnOnce(&Part<T>) -> Markup,
    ) -> Markup {
        let part = match answer {
            Ok(part) => part,
            Err(trouble) => return layout::trouble(trouble),
        };
        html! {
            @if part.items.is_empty() { (none(part)) } @else { (rows(&part.items)) }
            @if let Some(cursor) = &part.next {
                p.next { a rel="next" href=(query(self.path, &self.at(cursor))) { "Next page" } }
            }
        }
    }

    fn told(&self, name: &str) -> &str {
        self.filter.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The same filter, from there on.
    fn at(&self, cursor: &str) -> BTreeMap<&'static str, String> {
        let mut question = self.filter.clone();
        question.insert("cursor", cursor.to_owned());
        question
    }
}

/// Of a page that shows this.
pub(super) fn status<T>(answer: &Result<Part<T>, Trouble>) -> StatusCode {
    answer.as_ref().map_or_else(Trouble::status, |_| StatusCode::OK)
}
