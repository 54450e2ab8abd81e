use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Call, Client};
use crate::cli::failure::Failure;

/// A list, page by page. Each row stays the text that the API wrote.
pub(in crate::cli) struct Pages<'a> {
    client: &'a Client,
    call: Call,
    bound: Bound,
    /// Rows that may still come.
    left: u32,
    next: Next,
}

/// What ends a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// The user wants so many.
    Asked,
    /// More than [`MOST_ROWS`] are an error.
    Most,
    /// The list has one page, and takes no parameters.
    OnePage,
}

enum Next {
    First,
    After(String),
    Nothing,
}

/// `next` is null on the last page.
#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    #[serde(default)]
    next: Option<String>,
}

impl<'a> Pages<'a> {
    /// The list at `call`; `limit` rows of it, or all.
    pub(in crate::cli) fn new(client: &'a Client, call: Call, limit: Option<u32>) -> Self {
        let (left, bound) = limit.map_or((MOST_ROWS, Bound::Most), |limit| (limit, Bound::Asked));
        Self { client, call, bound, left, next: Next::First }
    }

    /// A list that takes no parameters.
    pub(in crate::cli) fn one(client: &'a Client, call: Call) -> Self {
        Self { client, call, bound: Bound::OnePage, left: MOST_ROWS, next: Next::First }
    }

    /// The next rows; `None` behind the last.
    ///
    /// # Errors
    /// Those of [`Client::ask`]; [`Failure::Usage`] when there are more than [`MOST_ROWS`].
    pub(in crate::cli) async fn next(&mut self) -> Result<Option<Vec<Box<RawValue>>>, Failure> {
        let cursor = match &self.next {
            Next::First => None,
            Next::After(cursor) => Some(cursor.clone()),
            Next::Nothing => return Ok(None),
        };
        if self.bound == Bound::OnePage {
            self.next = Next::Nothing;
            let Page { items, next: _ } = self.client.ask(&self.call).await?.json()?;
            return Ok(Some(items));
        }
        let limit = self.left.min(LARGEST_PAGE);
        let call = self.call.clone().query("limit", Some(limit)).query("cursor", cursor.as_deref());
        let Page { mut items, next } = self.client.ask(&call).await?.json()?;
        items.truncate(limit as usize);
        self.left -= u32::try_from(items.len()).unwrap_or(u32::MAX).min(self.left);
        self.next = match next {
            Some(_) if self.left == 0 && self.bound == Bound::Most => {
                return Err(Failure::Usage(format!(
                    "there are more than {MOST_ROWS} rows: narrow the list, or say --limit"
                )));
            }
            // A cursor that stands still would be asked for ever.
            Some(next) if self.left > 0 && cursor.as_ref() != Some(&next) => Next::After(next),
            _ => Next::Nothing,
        };
        Ok(Some(items))
    }
}

/// The most rows that are read without a limit being named.
pub(in crate::cli) const MOST_ROWS: u32 = 200_000;

/// The API's own bound.
const LARGEST_PAGE: u32 = 1_000;

#[cfg(test)]
mod tests {
    use axum::{Json, Router, extract::Query, routing::get};
    use serde_json::{Value, json};

    use super::*;

    /// A list of so many numbers; the cursor is the last one.
    fn client(rows: u32) -> Client {
        #[derive(Deserialize)]
        struct Asked {
            limit: u32,
            cursor: Option<u32>,
        }
        let list = move |Query(Asked { limit, cursor }): Query<Asked>| async move {
            let from = cursor.unwrap_or_default();
            let until = (from + limit).min(rows);
            let next = (until < rows).then(|| until.to_string());
            Json::<Value>(json!({ "items": (from..until).collect::<Vec<_>>(), "next": next }))
        };
        Client::machine(Router::new().route("/list", get(list)))
    }

    async fn count(rows: u32, limit: Option<u32>) -> Result<(usize, usize), String> {
        let client = client(rows);
        let mut pages = Pages::new(&client, Call::get("/list"), limit);
        let (mut asked, mut seen) = (0, 0);
        while let Some(page) = pages.next().await.map_err(|failure| failure.to_string())? {
            (asked, seen) = (asked + 1, seen + page.len());
        }
        Ok((asked, seen))
    }

    #[tokio::test]
    async fn pages_are_joined_up_to_a_limit() {
        assert_eq!(count(0, None).await, Ok((1, 0)));
        assert_eq!(count(2_500, None).await, Ok((3, 2_500)));
        assert_eq!(count(1_000, None).await, Ok((1, 1_000)));
        assert_eq!(count(2_500, Some(1_200)).await, Ok((2, 1_200)));
        assert_eq!(count(2_500, Some(1_000)).await, Ok((1, 1_000)));
    }

    #[tokio::test]
    async fn nobody_reads_for_ever() {
        assert_eq!(count(MOST_ROWS, None).await, Ok((200, 200_000)));
        let error = count(MOST_ROWS + 1, None).await.unwrap_err();
        assert!(error.contains("more than 200000 rows"), "{error}");
        let stuck = || async { Json(json!({ "items": [1], "next": "same" })) };
        let client = Client::machine(Router::new().route("/list", get(stuck)));
        let mut pages = Pages::new(&client, Call::get("/list"), None);
        let mut asked = 0;
        while pages.next().await.unwrap().is_some() {
            asked += 1;
        }
        assert_eq!(asked, 2);
    }
}
