use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use countersign_e2e::PATIENCE;
use countersign_protocol::SessionId;
use tokio::time::{Instant, sleep, timeout};

/// What the proxies acknowledged.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    /// Whether each measurement was acknowledged as revoked, and when; else only as added.
    measurements: BTreeMap<String, Option<Instant>>,
    unchecked: Vec<Row>,
    changes: usize,
    admissions: usize,
    /// The last answer that was no acknowledgement, for whoever wonders why nothing goes on.
    refused: String,
}

/// A row that the audit must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Row {
    /// A change: its code and its measurement.
    Policy(String, String),
    /// An admission.
    Session(SessionId),
}

impl Ledger {
    pub(crate) fn added(&self, name: &str) {
        let mut book = self.0.lock().unwrap();
        book.measurements.insert(name.to_owned(), None);
        book.changes += 1;
        book.unchecked.push(Row::Policy("measurement-added".to_owned(), name.to_owned()));
    }

    pub(crate) fn revoked(&self, name: &str) {
        let mut book = self.0.lock().unwrap();
        book.measurements.insert(name.to_owned(), Some(Instant::now()));
        book.changes += 1;
        book.unchecked.push(Row::Policy("measurement-revoked".to_owned(), name.to_owned()));
    }

    pub(crate) fn admitted(&self, session: SessionId) {
        let mut book = self.0.lock().unwrap();
        book.admissions += 1;
        book.unchecked.push(Row::Session(session));
    }

    pub(crate) fn refused(&self, words: String) {
        self.0.lock().unwrap().refused = words;
    }

    /// Every measurement, and when it was revoked if it was.
    pub(crate) fn measurements(&self) -> BTreeMap<String, Option<Instant>> {
        self.0.lock().unwrap().measurements.clone()
    }

    /// Rows that nobody looked for yet.
    pub(crate) fn take_unchecked(&self) -> Vec<Row> {
        std::mem::take(&mut self.0.lock().unwrap().unchecked)
    }

    /// Returns when another change and another admission were acknowledged.
    pub(crate) async fn grows(&self) {
        let counts = || {
            let book = self.0.lock().unwrap();
            (book.changes, book.admissions)
        };
        let (changes, admissions) = counts();
        let grown = async {
            while counts().0 == changes || counts().1 == admissions {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, grown).await.is_err() {
            panic!("nothing goes on any more: {}", self.0.lock().unwrap().refused);
        }
    }

    pub(crate) fn summary(&self) -> String {
        let book = self.0.lock().unwrap();
        format!("{} changes and {} admissions acknowledged", book.changes, book.admissions)
    }
}
