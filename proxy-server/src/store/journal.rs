use std::{fmt, sync::Arc, time::Duration};

use countersign_protocol::SessionId;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, yield_now},
    time::{Instant, timeout},
};

use super::{Appended, AuditEvent, Batch, SessionRow, Store};
use crate::telemetry::JournalMetrics;

/// Group commit: whoever waits for its row waits together with all that came
/// while the last batch was being written.
///
/// One transaction for each attestation would cost more than the attestation;
/// under load a batch holds hundreds.
#[derive(Clone, Debug)]
pub struct Journal {
    entries: mpsc::Sender<Entry>,
    metrics: Option<JournalMetrics>,
}

#[derive(Debug)]
struct Entry {
    event: AuditEvent,
    session: Option<SessionRow>,
    /// Told when the row is committed; nobody waits for the rows of refusals.
    done: Option<oneshot::Sender<Result<(), JournalError>>>,
}

impl Journal {
    /// Starts the writer. It ends when every handle is dropped, after the last row.
    pub fn start(store: Arc<dyn Store>) -> (Self, JoinHandle<()>) {
        Self::begin(store, None)
    }

    /// [`Self::start`], counted.
    pub fn start_counted(store: Arc<dyn Store>, metrics: JournalMetrics) -> (Self, JoinHandle<()>) {
        Self::begin(store, Some(metrics))
    }

    fn begin(store: Arc<dyn Store>, metrics: Option<JournalMetrics>) -> (Self, JoinHandle<()>) {
        let (entries, queue) = mpsc::channel(QUEUE);
        (Self { entries, metrics: metrics.clone() }, tokio::spawn(write(store, queue, metrics)))
    }

    /// Returns when the row, and the session with it, is committed.
    ///
    /// # Errors
    /// [`JournalError`]: then nothing of it was written, or it is not known whether it was.
    pub async fn record(&self, event: AuditEvent, session: SessionRow) -> Result<(), JournalError> {
        self.commit(event, Some(session)).await
    }

    /// Returns when the row is committed, which changes no session.
    ///
    /// # Errors
    /// [`JournalError`]: then it was not written, or it is not known whether it was.
    pub async fn write(&self, event: AuditEvent) -> Result<(), JournalError> {
        self.commit(event, None).await
    }

    async fn commit(&self, event: AuditEvent, session: Option<SessionRow>) -> Result<(), JournalError> {
        let (done, committed) = oneshot::channel();
        let entry = Entry { event, session, done: Some(done) };
        let recorded = async {
            self.entries.send(entry).await.map_err(|_| JournalError::Stopped)?;
            committed.await.unwrap_or(Err(JournalError::Stopped))
        };
        timeout(PATIENCE, recorded).await.unwrap_or(Err(JournalError::TooSlow))
    }

    /// Leaves a row and does not wait; a full queue drops it and counts.
    pub fn note(&self, event: AuditEvent) {
        let entry = Entry { event, session: None, done: None };
        if self.entries.try_send(entry).is_err() {
            self.metrics.iter().for_each(|metrics| metrics.lost(1));
        }
    }

    /// A handle for whoever lives longer than the writer should.
    pub fn weak(&self) -> WeakJournal {
        WeakJournal(self.entries.downgrade())
    }
}

/// A handle that does not keep the writer going.
#[derive(Clone, Debug)]
pub struct WeakJournal(mpsc::WeakSender<Entry>);

impl WeakJournal {
    /// Leaves rows and does not wait: what finds no room now is written in its turn, so
    /// that a list longer than the queue is kept whole. Once the writer stops, nothing is.
    pub fn note_all(&self, events: Vec<AuditEvent>) {
        let Some(entries) = self.0.upgrade() else {
            return;
        };
        tokio::spawn(async move {
            for event in events {
                if entries.send(Entry { event, session: None, done: None }).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn write(store: Arc<dyn Store>, mut queue: mpsc::Receiver<Entry>, metrics: Option<JournalMetrics>) {
    let mut entries = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut entries, BATCH).await > 0 {
        // Whoever can run now runs first: its row rides along, and a busy core pays for one
        // transaction where it would have paid for one each. An idle core loses nothing.
        yield_now().await;
        while entries.len() < BATCH
            && let Ok(entry) = queue.try_recv()
        {
            entries.push(entry);
        }
        let mut batch = Batch::default();
        let mut waiting = Vec::with_capacity(entries.len());
        for Entry { event, session, done } in entries.drain(..) {
            waiting.extend(done.map(|done| (session.as_ref().map(|row| row.id), done)));
            batch.events.push(event);
            batch.sessions.extend(session);
        }
        let unheard = batch.events.len() - waiting.len();
        let began = Instant::now();
        let outcome = store.append(batch).await.map_err(|error| {
            metrics.iter().for_each(|metrics| {
                metrics.failed();
                metrics.lost(unheard as u64);
            });
            tracing::error!(code = "audit-failed", error = %crate::log::Chain(&error), "audit rows were not written");
            JournalError::NotWritten
        });
        metrics.iter().for_each(|metrics| metrics.committed(began.elapsed()));
        for (session, done) in waiting {
            let is_in = |ids: &[SessionId]| session.is_some_and(|id| ids.contains(&id));
            let outcome = match &outcome {
                Ok(Appended { refused: _, ended }) if is_in(ended) => Err(JournalError::Ended),
                Ok(Appended { refused, ended: _ }) if is_in(refused) => Err(JournalError::Revoked),
                Ok(_) => Ok(()),
                Err(error) => Err(*error),
            };
            // Whoever lost patience dropped the other end.
            let _ = done.send(outcome);
        }
    }
}

/// Why a row is not known to be committed. The decision it records is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalError {
    /// The store refused the batch.
    NotWritten,
    /// What admitted the session was revoked before the row was committed: neither was written.
    Revoked,
    /// Somebody ended the session before the row was committed: neither was written.
    Ended,
    /// The store did not answer in time.
    TooSlow,
    /// The writer is gone: the proxy stops.
    Stopped,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotWritten => "the audit row was not written",
            Self::Revoked => "what admitted the session was revoked meanwhile",
            Self::Ended => "the session was ended meanwhile",
            Self::TooSlow => "the audit row was not written in time",
            Self::Stopped => "the audit writer has stopped",
        })
    }
}

impl std::error::Error for JournalError {}

/// Rows that may wait: about four seconds of the store's pace.
const QUEUE: usize = 16_384;

/// Rows in one transaction: about 10 ms of writing.
const BATCH: usize = 512;

/// An admission that cannot be recorded is refused; the enclave tries again.
const PATIENCE: Duration = Duration::from_secs(5);
