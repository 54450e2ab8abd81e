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
    store::{AuditRow, AuditState, ChainRow, UnixMs},
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
    /// Whoever speaks of a later epoch spoke after the export was asked for.
    latest: Epoch,
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
        let AuditState { epoch, signed, chains: heads } = api.store.audit_state().await?;
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
        let latest = epoch.max(signed);
        Ok(Self { api, _place: place, latest, writer: Some(writer), chains, current: None })
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
        let (anchor, checkpoints) = signed_before(stored, head.seq, self.latest)?;
        writer.chain(name, anchor.as_ref())?;
        let seq = anchor.map_or(0, |anchor| anchor.seq);
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

/// The anchor of a chain, and the checkpoints behind it, as they were when the export was asked for. A chain's last row may
/// be signed meanwhile, with an epoch that is later than the export's: that would read as if an older policy had been put back.
fn signed_before(
    stored: Vec<Checkpoint>,
    head: u64,
    latest: Epoch,
) -> io::Result<(Option<Checkpoint>, VecDeque<Checkpoint>)> {
    let (mut anchor, mut checkpoints) = (None, VecDeque::with_capacity(stored.len()));
    for checkpoint in stored {
        match checkpoint.purpose {
            Purpose::Anchor if checkpoint.epoch > latest => {
                return Err(io::Error::other("rows were dropped by retention meanwhile: try again"));
            }
            Purpose::Anchor => anchor = Some(checkpoint),
            Purpose::Checkpoint if checkpoint.epoch <= latest && checkpoint.seq <= head => {
                checkpoints.push_back(checkpoint);
            }
            Purpose::Checkpoint => {}
        }
    }
    if let Some(anchor) = &anchor {
        checkpoints.retain(|checkpoint| checkpoint.seq > anchor.seq);
    }
    Ok((anchor, checkpoints))
}

/// Rows read at once.
const ROWS: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::KeyId;

    fn signed(purpose: Purpose, seq: u64, epoch: u64) -> Checkpoint {
        let (chain, hash, at) = (ChainName::Policy, [0; 32], UnixMs(1));
        let (key_id, signature) = (KeyId([0; 8]), [0; 64]);
        Checkpoint { chain, purpose, seq, hash, at, epoch: Epoch(epoch), key_id, signature }
    }

    #[test]
    fn what_is_signed_while_an_export_is_made_is_not_in_it() {
        use Purpose::{Anchor, Checkpoint as Signed};
        // The export was asked for at epoch 7, when the chain stood at row 30.
        let stored = || vec![signed(Anchor, 9, 2), signed(Signed, 9, 2), signed(Signed, 20, 7)];
        let meanwhile = [signed(Signed, 30, 8), signed(Signed, 31, 7)];
        let (anchor, checkpoints) =
            signed_before([stored(), meanwhile.to_vec()].concat(), 30, Epoch(7)).unwrap();
        assert_eq!(
            (anchor, Vec::from(checkpoints)),
            (Some(signed(Anchor, 9, 2)), vec![signed(Signed, 20, 7)])
        );
        // Of an older policy that was put back: the checkpoint was there before, and is the evidence.
        let (_, checkpoints) = signed_before(vec![signed(Signed, 30, 8)], 30, Epoch(8)).unwrap();
        assert_eq!(Vec::from(checkpoints), [signed(Signed, 30, 8)]);
        assert!(signed_before(vec![signed(Anchor, 12, 8)], 30, Epoch(7)).is_err());
    }
}
