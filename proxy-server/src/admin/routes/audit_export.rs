use std::{collections::VecDeque, io, sync::Arc};

use axum::{body::Bytes, extract::State, response::Response};
use countersign_protocol::Epoch;
use http::{HeaderValue, header};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    admin::{
        answers::{Answer, Listing},
        code::Code,
        extract::{Caller, NoParams, Params},
        identity::Permission,
        problem::ApiError,
        produced::{NotTaken, Pieces, produced},
        state::{Api, Shared},
    },
    audit::{AuditPublicKey, ChainName, Checkpoint, ExportHeader, ExportWriter, Head, Purpose},
    log::Chain,
    store::{AuditRow, ChainRow, UnixMs},
};

/// Gives the whole audit as JSON Lines, for `audit verify` and for keeping elsewhere.
///
/// The last line is `end`; without it the file was cut off. It is made from
/// what the store had when it was asked for; rows that come meanwhile are not in it.
#[utoipa::path(
    get, path = "/v1/audit/export", operation_id = "export_audit", tag = "audit",
    responses((status = 200, description = "The export, one JSON object on each line", body = String, content_type = "application/jsonl"), Listing)
)]
pub(in crate::admin) async fn export(
    caller: Caller,
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Answer {
    caller.may_everywhere(Permission::ReadAudit)?;
    let Ok(place) = Arc::clone(&api.exports).try_acquire_owned() else {
        let detail = "too many exports are under way: try again";
        return Err(ApiError::new(Code::Overloaded, detail).retry_after(1));
    };
    let patience = api.config.stalled;
    let export = Export::begin(api, place).await?;
    let mut response = Response::new(produced(patience, |pieces| export.run(pieces)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    let name = HeaderValue::from_static("attachment; filename=\"countersign-audit.jsonl\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// An export under way: what is written is taken before more is read, so it
/// takes no more memory than one batch of rows, however long the audit is.
struct Export {
    api: Arc<Shared>,
    /// Given back with the last piece, or when nobody takes the next one.
    _place: OwnedSemaphorePermit,
    /// `None` once it is finished.
    writer: Option<ExportWriter<Vec<u8>>>,
    /// Not begun yet, with the heads that were read at the start.
    chains: VecDeque<(ChainName, ChainRow)>,
    current: Option<Current>,
}

/// The chain that is being written.
struct Current {
    name: ChainName,
    head: ChainRow,
    /// The last row written.
    seq: u64,
    /// To be written, each behind its row.
    checkpoints: VecDeque<Checkpoint>,
}

impl Export {
    async fn begin(api: Arc<Shared>, place: OwnedSemaphorePermit) -> Result<Self, ApiError> {
        let (epoch, heads) = heads(&api).await?;
        let now = UnixMs::now();
        let header = ExportHeader { deployment: api.deployment.clone(), epoch, at: now };
        let mut writer = ExportWriter::new(Vec::new(), &header).map_err(ApiError::internal)?;
        for replica in api.store.replicas(now).await? {
            // Keys are in it for finding one, and being there makes none trusted.
            if let Ok(key) = replica.audit_key.parse::<AuditPublicKey>() {
                writer.key(&key).map_err(ApiError::internal)?;
            }
        }
        let mut chains = VecDeque::new();
        for row in heads {
            let name = row
                .name
                .parse()
                .map_err(|_| ApiError::internal(format_args!("the chain {} has no name of one", row.name)))?;
            chains.push_back((name, row));
        }
        Ok(Self { api, _place: place, writer: Some(writer), chains, current: None })
    }

    async fn run(mut self, pieces: Pieces) {
        loop {
            match self.more().await {
                Ok(Some(bytes)) => match pieces.give(bytes).await {
                    Ok(()) => {}
                    Err(NotTaken) => return,
                },
                Ok(None) => break,
                Err(error) => {
                    // The answer has begun: all that is left is to break it off, before `end`.
                    tracing::error!(code = "audit-export-failed", error = %Chain(&error), "an export of the audit was broken off");
                    return;
                }
            }
        }
        drop(self);
        pieces.end().await;
    }

    /// The next piece; `None` at the end.
    async fn more(&mut self) -> io::Result<Option<Bytes>> {
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        match self.current.take() {
            Some(current) => self.current = self.rows(&mut writer, current).await?,
            None => match self.chains.pop_front() {
                Some((name, head)) => self.current = Some(self.chain(&mut writer, name, head).await?),
                None => return Ok(Some(writer.finish()?.into())),
            },
        }
        let bytes = std::mem::take(writer.get_mut());
        self.writer = Some(writer);
        Ok(Some(bytes.into()))
    }

    async fn chain(
        &self,
        writer: &mut ExportWriter<Vec<u8>>,
        name: ChainName,
        head: ChainRow,
    ) -> io::Result<Current> {
        let stored = self.api.store.checkpoints(&head.name).await.map_err(io::Error::other)?;
        let mut checkpoints = VecDeque::with_capacity(stored.len());
        let mut anchor = None;
        for checkpoint in stored {
            match checkpoint.purpose {
                Purpose::Anchor => anchor = Some(checkpoint),
                Purpose::Checkpoint => checkpoints.push_back(checkpoint),
            }
        }
        writer.chain(name, anchor.as_ref())?;
        let seq = anchor.map_or(0, |anchor| anchor.seq);
        checkpoints.retain(|checkpoint| (seq..=head.seq).contains(&checkpoint.seq) && checkpoint.seq > seq);
        Ok(Current { name, head, seq, checkpoints })
    }

    /// The next rows of a chain, or its head behind the last one.
    async fn rows(
        &self,
        writer: &mut ExportWriter<Vec<u8>>,
        mut current: Current,
    ) -> io::Result<Option<Current>> {
        let rows = self
            .api
            .store
            .chain_rows(&current.head.name, current.seq, ROWS)
            .await
            .map_err(io::Error::other)?;
        let full = rows.len() == ROWS as usize;
        for row in rows.into_iter().filter(|row| row.seq <= current.head.seq) {
            let AuditRow { chain: _, seq, event, hash } = row;
            writer.row(current.name, seq, &event, hash)?;
            current.seq = seq;
            while let Some(checkpoint) = current.checkpoints.pop_front_if(|checkpoint| checkpoint.seq <= seq)
            {
                writer.checkpoint(&checkpoint)?;
            }
        }
        if full && current.seq < current.head.seq {
            return Ok(Some(current));
        }
        // Whether the rows really go as far is for `audit verify` to find.
        if current.head.seq > 0 {
            writer.head(current.name, Head { seq: current.head.seq, hash: current.head.hash })?;
        }
        Ok(None)
    }
}

/// The heads of the chains, and the epoch that they belong to: asked for again
/// while changes come in between. Whoever checks an export holds it against its rows.
async fn heads(api: &Shared) -> Result<(Epoch, Vec<ChainRow>), ApiError> {
    for _ in 0..TRIES {
        let before = api.store.committed().await?.epoch;
        let heads = api.store.chains().await?;
        if api.store.committed().await?.epoch == before {
            return Ok((before, heads));
        }
    }
    Err(ApiError::new(Code::TooSlow, "the policy changes too fast for an export: try again").retry_after(1))
}

/// Rows read at once.
const ROWS: u32 = 1000;

/// Changes come one at a time, and seldom: the second try is quiet.
const TRIES: usize = 10;
