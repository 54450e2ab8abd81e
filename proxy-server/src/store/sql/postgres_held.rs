//! Connections to PostgreSQL that come back in bounded time, whatever the network does.
//!
//! sqlx asks the server before a connection goes back to its pool, and waits for the answer as
//! long as TCP does. A path that went silent without closing would keep the connection's place
//! in the pool for a quarter of an hour; of some purposes there is only one.

use std::time::Duration;

use sqlx::{Executor, PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::{runtime::Handle, time::timeout};

/// A connection while somebody uses it, in a transaction or not.
///
/// Dropped, it goes back to its pool without an open transaction, or is closed where the server
/// does not say that there is none. sqlx 0.9 keeps no such promise for a BEGIN that was answered
/// to nobody: the connection's next user would be inside of that transaction.
pub(super) struct Held {
    /// Taken when this is dropped.
    connection: Option<PoolConnection<Postgres>>,
    /// From before BEGIN is sent until its end was answered.
    in_transaction: bool,
}

impl Held {
    /// The pool's next free connection, for statements that are each a transaction of their own.
    pub(super) async fn of(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: Some(pool.acquire().await?), in_transaction: false })
    }

    /// The same in a transaction, which `statement` begins.
    pub(super) async fn begin(pool: &PgPool, statement: &'static str) -> Result<Self, sqlx::Error> {
        let mut held = Self::of(pool).await?;
        held.in_transaction = true;
        held.get()?.execute(statement).await?;
        Ok(held)
    }

    pub(super) fn get(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Makes the transaction last.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    /// Takes the transaction back, and waits until it is.
    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        self.end(ROLLBACK).await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.get()?.execute(statement).await?;
        self.in_transaction = false;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Without a runtime there is nobody to wait for the server: the pool has gone as well.
        if let (Some(connection), Ok(runtime)) = (self.connection.take(), Handle::try_current()) {
            runtime.spawn(give_back(connection, self.in_transaction));
        }
    }
}

async fn give_back(mut connection: PoolConnection<Postgres>, in_transaction: bool) {
    if in_transaction {
        // Whatever was under way is answered first. An answer that is an error has the next
        // question find out what became of the connection.
        if timeout(ANSWER, connection.execute(ROLLBACK)).await.is_err() {
            drop(connection.detach());
            return;
        }
    }
    // What sqlx does with a connection that is dropped; ended before its time it closes the
    // connection and gives up the place in the pool.
    let _ = timeout(ANSWER, connection.return_to_pool()).await;
}

const ROLLBACK: &str = "ROLLBACK";

/// How long the server may say nothing. Longer than a statement may take: one that was given up
/// keeps its place until it ends, so that a pool never has more of them under way than connections.
const ANSWER: Duration = Duration::from_secs(6);
