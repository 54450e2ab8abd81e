//! One way to speak SQL to both databases: the same text with `$1`, the same
//! values, the same rows. What must differ is in `sqlite.rs` and `postgres.rs`.

use countersign_protocol::Epoch;
use sqlx::{
    Decode, PgPool, Postgres, Row as _, Sqlite, SqlitePool, Type,
    postgres::{PgArguments, PgRow},
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::store::{ChangeError, StoreError, UnixMs};

/// Connections for one purpose.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Rolled back when it is dropped without [`Transaction::commit`].
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

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

impl Pool {
    /// A transaction that will write: SQLite takes its write lock at once, so
    /// that it never finds out half-way that another one was faster.
    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Transaction::Postgres(pool.begin().await?),
        })
    }

    /// A transaction that sees the database as it is at its first statement.
    pub(super) async fn begin_reading(&self) -> Result<Transaction, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin().await?),
            Self::Postgres(pool) => Transaction::Postgres(pool.begin_with(SNAPSHOT).await?),
        })
    }

    /// One statement in a transaction of its own; tells how many rows it touched.
    pub(super) async fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => on_sqlite(sql, values).execute(pool).await?.rows_affected(),
            Self::Postgres(pool) => on_postgres(sql, values).execute(pool).await?.rows_affected(),
        })
    }

    /// Every row of one statement.
    pub(super) async fn fetch_all(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => sqlite_rows(on_sqlite(sql, values).fetch_all(pool).await?),
            Self::Postgres(pool) => postgres_rows(on_postgres(sql, values).fetch_all(pool).await?),
        })
    }

    /// The first row of one statement.
    pub(super) async fn fetch_optional(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => on_sqlite(sql, values).fetch_optional(pool).await?.map(Row::Sqlite),
            Self::Postgres(pool) => on_postgres(sql, values).fetch_optional(pool).await?.map(Row::Postgres),
        })
    }
}

impl Pool {
    /// Where the two databases need different words.
    pub(super) fn either(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::Postgres(_) => postgres,
        }
    }
}

impl Transaction {
    /// Makes it last.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }

    /// Takes it back, and waits until it is.
    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.rollback().await,
            Self::Postgres(transaction) => transaction.rollback().await,
        }
    }

    /// One statement; tells how many rows it touched.
    pub(super) async fn execute(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(own) => on_sqlite(sql, values).execute(&mut **own).await?.rows_affected(),
            Self::Postgres(own) => on_postgres(sql, values).execute(&mut **own).await?.rows_affected(),
        })
    }

    /// Every row of one statement.
    pub(super) async fn fetch_all(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(own) => sqlite_rows(on_sqlite(sql, values).fetch_all(&mut **own).await?),
            Self::Postgres(own) => postgres_rows(on_postgres(sql, values).fetch_all(&mut **own).await?),
        })
    }

    /// The first row of one statement.
    pub(super) async fn fetch_optional(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(own) => on_sqlite(sql, values).fetch_optional(&mut **own).await?.map(Row::Sqlite),
            Self::Postgres(own) => {
                on_postgres(sql, values).fetch_optional(&mut **own).await?.map(Row::Postgres)
            }
        })
    }

    /// The first row of a statement that has one.
    pub(super) async fn fetch_one(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Row, sqlx::Error> {
        self.fetch_optional(sql, values).await?.ok_or(sqlx::Error::RowNotFound)
    }
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

fn on_sqlite(sql: &'static str, values: &[Value<'_>]) -> Query<'static, Sqlite, SqliteArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value.map(str::to_owned)),
        Value::Bytes(value) => query.bind(value.map(<[u8]>::to_vec)),
    })
}

fn on_postgres(sql: &'static str, values: &[Value<'_>]) -> Query<'static, Postgres, PgArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value.map(str::to_owned)),
        Value::Bytes(value) => query.bind(value.map(<[u8]>::to_vec)),
    })
}

fn sqlite_rows(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

fn postgres_rows(rows: Vec<PgRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Postgres).collect()
}

/// Why an operation came to nothing, before it has a name.
#[derive(Debug)]
pub(super) enum Failure {
    Database(sqlx::Error),
    Other(StoreError),
}

impl Failure {
    /// Names what was being done.
    pub(super) fn doing(doing: &'static str) -> impl FnOnce(Self) -> StoreError {
        move |failure| match failure {
            Self::Database(source) => StoreError::Statement { doing, source },
            Self::Other(error) => error,
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Other(error)
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        Self::Other(StoreError::Refused(error))
    }
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

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
