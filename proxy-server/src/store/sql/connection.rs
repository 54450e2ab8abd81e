//! One way to speak SQL to both databases: the same text with `$1`, the same
//! values, the same rows. What must differ is in `sqlite.rs` and `postgres.rs`.

use sqlx::{
    PgPool, Postgres, Sqlite, SqlitePool,
    postgres::{PgArguments, PgRow},
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::postgres_held::Held;
pub(super) use super::{
    failure::Failure,
    value::{Row, Value},
};

/// Connections for one purpose.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Rolled back when it is dropped without [`Transaction::commit`].
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(Held),
}

impl Pool {
    /// A transaction that will write: SQLite takes its write lock at once, so
    /// that it never finds out half-way that another one was faster.
    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Transaction::Postgres(Held::begin(pool, "BEGIN").await?),
        })
    }

    /// A transaction that sees the database as it is at its first statement.
    pub(super) async fn begin_reading(&self) -> Result<Transaction, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin().await?),
            Self::Postgres(pool) => Transaction::Postgres(Held::begin(pool, SNAPSHOT).await?),
        })
    }

    /// One statement in a transaction of its own; tells how many rows it touched.
    pub(super) async fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => on_sqlite(sql, values).execute(pool).await?.rows_affected(),
            Self::Postgres(pool) => {
                on_postgres(sql, values).execute(Held::of(pool).await?.get()?).await?.rows_affected()
            }
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
            Self::Postgres(pool) => {
                postgres_rows(on_postgres(sql, values).fetch_all(Held::of(pool).await?.get()?).await?)
            }
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
            Self::Postgres(pool) => {
                let mut held = Held::of(pool).await?;
                on_postgres(sql, values).fetch_optional(held.get()?).await?.map(Row::Postgres)
            }
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
            Self::Postgres(own) => on_postgres(sql, values).execute(own.get()?).await?.rows_affected(),
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
            Self::Postgres(own) => postgres_rows(on_postgres(sql, values).fetch_all(own.get()?).await?),
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
                on_postgres(sql, values).fetch_optional(own.get()?).await?.map(Row::Postgres)
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

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
