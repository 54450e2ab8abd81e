//! PostgreSQL: one server for any number of replicas.

use std::{error::Error, net::IpAddr, str::FromStr, time::Duration};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use tokio::{sync::watch, time::timeout};

use super::{
    connection::Pool,
    open::{Missing, Pools},
    postgres_hints,
};
use crate::{config::Hints, store::StoreError};

/// Connects, and brings the tables up to date. Any number of replicas may do so at
/// once: the first to have the lock does it, the others find it done.
pub(super) async fn open(url: &str, hints: Hints, missing: Missing) -> Result<Pools, StoreError> {
    let server = options(url)?;
    let place = place(&server);
    let failed = |source: Box<dyn Error + Send + Sync>| StoreError::Open { place: place.clone(), source };
    let migrated = timeout(MIGRATING, migrate(server.clone(), missing)).await;
    let migrated = migrated.map_err(|_| failed("it did not answer in time".into()))?;
    if !migrated.map_err(failed)? {
        return Err(StoreError::Absent { place });
    }
    let bounded = bounded(server);
    let pool = |connections| {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE)
            .idle_timeout(None)
            .max_lifetime(LIFETIME)
    };
    // A connection that died is found by the next statement: these two ask so often, or do
    // so little else, that a question before each would be a good part of their time.
    let unasked = |connections| pool(connections).test_before_acquire(false);
    let hints = match hints {
        Hints::Off => None,
        Hints::Listen => {
            let (bump, hints) = watch::channel(0);
            tokio::spawn(postgres_hints::listen(pool(1), bounded.clone(), bump));
            Some(hints)
        }
    };
    Ok(Pools {
        policy: Pool::Postgres(pool(2).connect_lazy_with(bounded.clone())),
        journal: Pool::Postgres(unasked(2).connect_lazy_with(bounded.clone())),
        reader: Pool::Postgres(pool(4).connect_lazy_with(bounded.clone())),
        poll: Pool::Postgres(unasked(1).connect_lazy_with(bounded)),
        hints,
    })
}

/// Reads a URL, with what the environment says besides (PGPASSWORD, PGPASSFILE, PGSSLMODE …).
pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let bad = |reason: String| StoreError::Address { reason };
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return Err(bad("it does not begin with postgres://".to_owned()));
    }
    // What sqlx says may repeat a part of the URL; what is wrong with it is told without.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| bad("expected postgres://user@host:port/database?sslmode=verify-full".to_owned()))?;
    let weak = matches!(options.get_ssl_mode(), PgSslMode::Prefer | PgSslMode::Allow);
    if weak && !is_here(&options) {
        let reason = "the server is another machine, and the URL does not say how to reach it safely: \
                      add sslmode=verify-full (with sslrootcert=…), or sslmode=disable for a network that only you use";
        return Err(bad(reason.to_owned()));
    }
    Ok(options.application_name("countersign-proxy"))
}

/// On this machine: by a socket, or over loopback.
fn is_here(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host == "localhost"
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Where it is, for people: never who connects, nor how.
fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_default();
    match options.get_socket() {
        Some(socket) => format!("postgres {}/{database}", socket.display()),
        None => format!("postgres {}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// No statement, and no wait for a lock, outlives the patience of who asked.
fn bounded(options: PgConnectOptions) -> PgConnectOptions {
    options.options([
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ])
}

/// Whether there is a store now. On a connection of its own, since this may take longer than a statement may.
async fn migrate(options: PgConnectOptions, missing: Missing) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE).connect_with(options).await?;
    let found: Option<String> =
        sqlx::query_scalar("SELECT CAST(to_regclass('policy') AS TEXT)").fetch_one(&pool).await?;
    if found.is_none() && missing == Missing::Fail {
        return Ok(false);
    }
    MIGRATIONS.run(&pool).await?;
    pool.close().await;
    Ok(true)
}

/// How long a caller waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(3);

/// Connections are made anew twice an hour: a server that was replaced behind its name is left.
const LIFETIME: Duration = Duration::from_secs(1800);

/// How long the first connection and the migrations may take.
const MIGRATING: Duration = Duration::from_secs(60);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/postgres");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_is_reached_safely_or_explicitly() {
        let mode = |url: &str| options(url).map(|options| place(&options));
        assert_eq!(mode("postgres://u:secret@127.0.0.1/c").unwrap(), "postgres 127.0.0.1:5432/c");
        assert_eq!(
            mode("postgres://u@db.example/c?sslmode=verify-full").unwrap(),
            "postgres db.example:5432/c"
        );
        assert_eq!(mode("postgres://u@db.example/c?sslmode=disable").unwrap(), "postgres db.example:5432/c");
        for weak in ["postgres://u:secret@db.example/c", "postgres://u:secret@db.example/c?sslmode=prefer"] {
            let error = mode(weak).unwrap_err().to_string();
            assert!(error.contains("add sslmode=verify-full"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn an_address_that_makes_no_sense_is_not_repeated() {
        for bad in ["mysql://u:secret@host/c", "postgres://u:secret@host:notaport/c"] {
            let error = options(bad).unwrap_err();
            assert!(matches!(error, StoreError::Address { .. }), "{bad}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
}
