use std::{fmt, path::Path};

use toml::Spanned;

use super::{files, mistake::Collector, raw::RawStore};

/// Which database keeps the policy, the sessions and the audit.
#[derive(Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// A SQLite file in the state directory: one proxy.
    File,
    /// A PostgreSQL database: any number of replicas.
    Postgres {
        /// `postgres://…`; it may hold a password.
        url: String,
        /// How the proxy learns that somebody committed something.
        hints: Hints,
    },
}

/// Whether the database may be asked to tell of changes. The epoch is polled in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hints {
    /// LISTEN, on a connection of its own.
    #[default]
    Listen,
    /// Nothing but polling: for poolers that do not let LISTEN through.
    Off,
}

/// Where a store stands may be printed; the password in its URL may not.
impl fmt::Debug for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("File"),
            Self::Postgres { url: _, hints } => write!(f, "Postgres {{ url: hidden, hints: {hints:?} }}"),
        }
    }
}

/// What a replica does with its tunnels when it cannot ask its store whether they still may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenStale {
    /// Cuts them all after 15 s.
    #[default]
    Strict,
    /// Keeps each to the end of its lease.
    BestEffort,
}

pub(super) fn place(raw: RawStore, directory: &Path, found: &Collector) -> (StorePlace, WhenStale) {
    let RawStore { url, url_file, stale, hints } = raw;
    let hints = hints_of(hints, found);
    let place = match (url, url_file) {
        (None, None) => StorePlace::File,
        (Some(url), None) => postgres(url.get_ref(), &url, "store.url", hints, found),
        (None, Some(file)) => match files::read(&file, "store.url_file", directory, found) {
            Some(bytes) => {
                postgres(String::from_utf8_lossy(&bytes).trim(), &file, "store.url_file", hints, found)
            }
            None => StorePlace::File,
        },
        (Some(_), Some(file)) => {
            found.note(file.span(), "store.url_file", "expected either url or url_file; found both");
            StorePlace::File
        }
    };
    (place, when_stale(stale, found))
}

fn postgres(url: &str, place: &Spanned<String>, field: &str, hints: Hints, found: &Collector) -> StorePlace {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        // The value is not repeated: it may hold a password.
        let message = "expected postgres://user@host/database; without it, SQLite in the state directory";
        found.note(place.span(), field, message);
    }
    StorePlace::Postgres { url: url.to_owned(), hints }
}

fn when_stale(value: Option<Spanned<String>>, found: &Collector) -> WhenStale {
    match value.as_ref().map(|value| (value, value.get_ref().as_str())) {
        None | Some((_, "strict")) => WhenStale::Strict,
        Some((_, "best-effort")) => WhenStale::BestEffort,
        Some((value, other)) => {
            let message = format!("expected \"strict\" or \"best-effort\"; found \"{other}\"");
            found.note(value.span(), "store.stale", message);
            WhenStale::Strict
        }
    }
}

fn hints_of(value: Option<Spanned<String>>, found: &Collector) -> Hints {
    match value.as_ref().map(|value| (value, value.get_ref().as_str())) {
        None | Some((_, "listen")) => Hints::Listen,
        Some((_, "off")) => Hints::Off,
        Some((value, other)) => {
            let message = format!("expected \"listen\" or \"off\"; found \"{other}\"");
            found.note(value.span(), "store.hints", message);
            Hints::Listen
        }
    }
}
