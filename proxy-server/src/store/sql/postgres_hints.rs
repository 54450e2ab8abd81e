//! NOTIFY: a hint that somebody committed something, and no more.

use std::time::Duration;

use sqlx::{
    Executor,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::change::lock::CHANNEL;

/// Counts up whenever something may have been committed: on every notification, and
/// on every new connection, since what was said while there was none is lost.
///
/// Ends when nobody holds the other end.
pub(super) async fn listen(pool: PgPoolOptions, server: PgConnectOptions, hints: watch::Sender<u64>) {
    tokio::select! {
        () = hints.closed() => {}
        () = for_ever(&pool, &server, &hints) => {}
    }
}

async fn for_ever(pool: &PgPoolOptions, server: &PgConnectOptions, hints: &watch::Sender<u64>) {
    let mut pause = SHORTEST;
    loop {
        match connection(pool, server, hints).await {
            // It worked for a while.
            Ok(()) => pause = SHORTEST,
            Err(error) => {
                tracing::debug!(%error, "no notifications from the database; the epoch is polled");
                pause = (pause * 2).min(LONGEST);
            }
        }
        sleep(jittered(pause)).await;
    }
}

/// Listens as long as one connection lasts. An error when there was none to begin with.
///
/// Each in a pool of its own: a listener that is dropped takes leave of the server first, and where
/// the path is silent it does so as long as TCP waits. That must not keep the next one waiting.
async fn connection(
    pool: &PgPoolOptions,
    server: &PgConnectOptions,
    hints: &watch::Sender<u64>,
) -> Result<(), sqlx::Error> {
    let pool = pool.clone().connect_lazy_with(server.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    bump(hints);
    loop {
        match timeout(QUIET, listener.try_recv()).await {
            Ok(Ok(Some(_))) => bump(hints),
            // The connection was lost: the next one begins with a bump.
            Ok(Ok(None) | Err(_)) => return Ok(()),
            // A server that is gone says nothing, and neither does one that has nothing to say.
            Err(_) => match timeout(ANSWER, listener.execute("SELECT 1")).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return Ok(()),
            },
        }
    }
}

fn bump(hints: &watch::Sender<u64>) {
    hints.send_modify(|count| *count = count.wrapping_add(1));
}

/// Half to all of it: replicas that lost the server together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random bytes all wait as long as they may.
    let share = aws_lc_rs::rand::fill(&mut byte).map_or(255, |()| byte[0]);
    pause / 2 + pause * u32::from(share) / 510
}

const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// After so long without a word the connection is tried.
const QUIET: Duration = Duration::from_secs(30);

/// How long an answer may take then.
const ANSWER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_between_half_and_all_of_it() {
        for _ in 0..1000 {
            let pause = jittered(Duration::from_secs(10));
            assert!((5_000..=10_000).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
