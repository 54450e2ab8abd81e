//! What goes into a statement and what comes out of it, the same for both databases.

use countersign_protocol::Epoch;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type, postgres::PgRow, sqlite::SqliteRow};

use crate::store::UnixMs;

/// A value for one of `$1`, `$2` … NULL has a type too: PostgreSQL wants to know it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'v> {
    Int(Option<i64>),
    Text(Option<&'v str>),
    Bytes(Option<&'v [u8]>),
}

/// One row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The value in a column, counted from 0.
    pub(super) fn get<'r, T>(&'r self, column: usize) -> Result<T, sqlx::Error>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// A number that is never negative (the tables have CHECKs, or it is a count).
    pub(super) fn count(&self, column: usize) -> Result<u64, sqlx::Error> {
        self.get(column).map(|value: i64| u64::try_from(value).unwrap_or(0))
    }

    /// An epoch.
    pub(super) fn epoch(&self, column: usize) -> Result<Epoch, sqlx::Error> {
        self.count(column).map(Epoch)
    }

    /// A time.
    pub(super) fn time(&self, column: usize) -> Result<UnixMs, sqlx::Error> {
        self.get(column).map(UnixMs)
    }

    /// A time, or none.
    pub(super) fn optional_time(&self, column: usize) -> Result<Option<UnixMs>, sqlx::Error> {
        self.get::<Option<i64>>(column).map(|time| time.map(UnixMs))
    }

    /// Bytes of a known length.
    pub(super) fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N], sqlx::Error> {
        fixed(self.get(column)?)
    }

    /// Bytes of a known length, or none.
    pub(super) fn optional_bytes<const N: usize>(
        &self,
        column: usize,
    ) -> Result<Option<[u8; N]>, sqlx::Error> {
        self.get::<Option<&[u8]>>(column)?.map(fixed).transpose()
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], sqlx::Error> {
    bytes
        .try_into()
        .map_err(|_| sqlx::Error::Decode(format!("expected {N} bytes, found {}", bytes.len()).into()))
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<u64> for Value<'_> {
    /// Counts, epochs and places in a chain: 2^63 of them take longer than there is time.
    fn from(value: u64) -> Self {
        Self::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<Epoch> for Value<'_> {
    fn from(epoch: Epoch) -> Self {
        epoch.0.into()
    }
}

impl From<UnixMs> for Value<'_> {
    fn from(time: UnixMs) -> Self {
        time.0.into()
    }
}

impl From<Option<UnixMs>> for Value<'_> {
    fn from(time: Option<UnixMs>) -> Self {
        Self::Int(time.map(|time| time.0))
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(value: &'v str) -> Self {
        Self::Text(Some(value))
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(value: &'v String) -> Self {
        Self::Text(Some(value))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(value: Option<&'v str>) -> Self {
        Self::Text(value)
    }
}

impl<'v> From<&'v Option<String>> for Value<'v> {
    fn from(value: &'v Option<String>) -> Self {
        Self::Text(value.as_deref())
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(value: &'v [u8]) -> Self {
        Self::Bytes(Some(value))
    }
}

impl<'v, const N: usize> From<&'v [u8; N]> for Value<'v> {
    fn from(value: &'v [u8; N]) -> Self {
        Self::Bytes(Some(value))
    }
}

impl<'v, const N: usize> From<&'v Option<[u8; N]>> for Value<'v> {
    fn from(value: &'v Option<[u8; N]>) -> Self {
        Self::Bytes(value.as_ref().map(|bytes| &bytes[..]))
    }
}
