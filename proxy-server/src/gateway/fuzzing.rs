//! The way in for `tests/fuzz`, and for nothing else: what reads foreign bytes
//! in this module is private to it.
//!
//! It changes with what it leads to. Errors come as their text, since their types stay inside.

use std::ops::ControlFlow;

use rustls::{ConnectionTrafficSecrets, Error, ExtractedSecrets};

use super::{
    head,
    records::{self, Alert, FRAME, HEADER, KeySchedule, LEAD, PLAIN, Records, Then},
};

/// The target of the CONNECT whose head stands at the start of `bytes`.
pub fn connect_target(bytes: &[u8]) -> Option<String> {
    let head = bytes.get(..head::end_of_head(bytes)?)?;
    head::connect(head).ok().map(|connect| connect.target.to_owned())
}

/// The length of the record at the start of `bytes`, header included; `None` until its header is there.
///
/// # Errors
/// The text of a `RecordError`.
pub fn record_len(bytes: &[u8]) -> Result<Option<usize>, String> {
    records::record_len(bytes).map_err(|error| error.to_string())
}

/// One end's record layer, under the caller's secrets instead of a handshake's.
pub struct RecordLayer {
    records: Records,
}

/// The traffic secret of this number.
pub type Secrets = fn(u64) -> ConnectionTrafficSecrets;

impl RecordLayer {
    /// Seals under the secrets `tx`, `tx + 2` and so on, opens under `rx`, `rx + 2` and so on;
    /// `tx_limit` is that of `Records::new`.
    ///
    /// # Errors
    /// As [`record_len`].
    pub fn new(secrets: Secrets, tx: u64, rx: u64, tx_limit: u64) -> Result<Self, String> {
        let first = ExtractedSecrets { tx: (0, secrets(tx)), rx: (0, secrets(rx)) };
        let records = Records::new(first, Box::new(Numbered { secrets, tx, rx }), tx_limit);
        Ok(Self { records: records.map_err(|error| error.to_string())? })
    }

    /// Seals `plain` as a tunnel does, a KeyUpdate before it when one is due.
    ///
    /// # Errors
    /// As [`record_len`].
    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, String> {
        let mut area = vec![0; LEAD + FRAME * plain.len().div_ceil(PLAIN)];
        let frames = area.get_mut(LEAD..).unwrap_or_default().chunks_mut(FRAME);
        for (frame, chunk) in frames.zip(plain.chunks(PLAIN)) {
            frame.iter_mut().skip(HEADER).zip(chunk).for_each(|(gap, byte)| *gap = *byte);
        }
        let sealed = self.records.seal_frames(&mut area, plain.len()).map_err(|error| error.to_string())?;
        Ok(area.get(sealed).unwrap_or_default().to_vec())
    }

    /// Seals close_notify.
    ///
    /// # Errors
    /// As [`record_len`].
    pub fn close(&mut self) -> Result<Vec<u8>, String> {
        let mut sealed = Vec::new();
        self.records.seal_alert(Alert::CloseNotify, &mut sealed).map_err(|error| error.to_string())?;
        Ok(sealed)
    }

    /// Opens the whole records at the start of `pending`, takes them away and appends their data
    /// to `plain`. Breaks after close_notify.
    ///
    /// # Errors
    /// As [`record_len`]; the connection is over.
    pub fn open(&mut self, pending: &mut Vec<u8>, plain: &mut Vec<u8>) -> Result<ControlFlow<()>, String> {
        loop {
            let mut slices = Vec::new();
            let opened = self.records.open(pending, &mut slices);
            slices.into_iter().for_each(|slice| plain.extend(pending.get(slice).unwrap_or_default()));
            let progress = opened.map_err(|error| error.to_string())?;
            pending.drain(..progress.consumed);
            match progress.then {
                Then::Batch => {}
                Then::NeedBytes => return Ok(ControlFlow::Continue(())),
                Then::Closed => return Ok(ControlFlow::Break(())),
            }
        }
    }
}

struct Numbered {
    secrets: Secrets,
    tx: u64,
    rx: u64,
}

impl KeySchedule for Numbered {
    fn next_rx(&mut self) -> Result<ConnectionTrafficSecrets, Error> {
        self.rx += 2;
        Ok((self.secrets)(self.rx))
    }

    fn next_tx(&mut self) -> Result<ConnectionTrafficSecrets, Error> {
        self.tx += 2;
        Ok((self.secrets)(self.tx))
    }
}
