//! The TLS 1.3 record layer of a connection whose handshake rustls has done.
//!
//! ```text
//!   socket ──one large read──► [hdr|ciphertext|tag][hdr|…]  ──open in place──► plaintext slices ──► one writev
//!   socket ◄──one write─────── [hdr|ciphertext|tag][hdr|…]  ◄──seal in place── readv into the gaps
//! ```
//!
//! rustls makes the handshake, the key schedule and every new traffic secret
//! ([`rustls::kernel`]); aws-lc-rs makes the AEAD; what is ours is framing, the
//! nonce's counter and the few messages that may still come: alerts and
//! KeyUpdate. Everything here is a function of bytes: no socket, no clock.
//! Why it is ours at all: `docs/decisions/0020-record-layer.md`.

mod key;
mod open;
mod seal;
mod wire;

use std::ops::Range;

use rustls::{
    ConnectionTrafficSecrets, ExtractedSecrets, kernel::KernelConnection, server::ServerConnectionData,
};

use key::TrafficKey;
use open::Content;
pub(crate) use wire::HEADER;
pub(crate) use wire::{Alert, FRAME, LEAD, MAX_RECORD, PLAIN, RecordError, TRAILER, record_len};

/// Both directions of one connection's record layer.
pub(crate) struct Records {
    rx: TrafficKey,
    tx: TrafficKey,
    schedule: Box<dyn KeySchedule>,
    /// Records one key may seal (RFC 8446 section 5.5).
    tx_limit: u64,
    /// The peer asked for a KeyUpdate of ours.
    update_owed: bool,
    /// Records without data since the last one with data.
    idle_records: u32,
    /// Why nothing more can be opened.
    over: Option<RecordError>,
}

/// Where the next traffic secrets come from (RFC 8446 section 7.2).
pub(crate) trait KeySchedule: Send {
    /// The next secret of the peer's direction.
    fn next_rx(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error>;
    /// The next secret of our direction.
    fn next_tx(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error>;
}

/// What [`Records::open`] did with the bytes it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of whole records, used up.
    pub(crate) consumed: usize,
    pub(crate) then: Then,
}

/// Why [`Records::open`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The rest is no whole record.
    NeedBytes,
    /// Enough slices for one write; there may be more records.
    Batch,
    /// The peer closed its direction; what follows is ignored.
    Closed,
}

impl Records {
    /// The record layer after a finished handshake.
    ///
    /// # Errors
    /// [`RecordError::Suite`] for an AEAD that this layer does not know.
    pub(crate) fn new(
        secrets: ExtractedSecrets,
        schedule: Box<dyn KeySchedule>,
        tx_limit: u64,
    ) -> Result<Self, RecordError> {
        let ExtractedSecrets { tx: (tx_seq, tx), rx: (rx_seq, rx) } = secrets;
        Ok(Self {
            rx: TrafficKey::new(rx_seq, rx)?,
            tx: TrafficKey::new(tx_seq, tx)?,
            schedule,
            tx_limit,
            update_owed: false,
            idle_records: 0,
            over: None,
        })
    }

    /// Opens the records at the start of `bytes`, in place, and appends the
    /// range of each one's plaintext to `slices`.
    ///
    /// # Errors
    /// [`RecordError`]; the connection is over, and [`RecordError::alert`] says
    /// what to tell the peer. Every later call gives the same error: a record that
    /// was refused has used its number up, and the next one would open with a gap before it.
    pub(crate) fn open(
        &mut self,
        bytes: &mut [u8],
        slices: &mut Vec<Range<usize>>,
    ) -> Result<Progress, RecordError> {
        if let Some(error) = &self.over {
            return Err(error.clone());
        }
        let opened = self.open_records(bytes, slices);
        self.over = opened.as_ref().err().cloned();
        opened
    }

    fn open_records(
        &mut self,
        bytes: &mut [u8],
        slices: &mut Vec<Range<usize>>,
    ) -> Result<Progress, RecordError> {
        let mut consumed = 0;
        loop {
            if slices.len() >= MAX_SLICES {
                return Ok(Progress { consumed, then: Then::Batch });
            }
            let rest = bytes.get_mut(consumed..).unwrap_or_default();
            let Some(len) = record_len(rest)?.filter(|len| *len <= rest.len()) else {
                return Ok(Progress { consumed, then: Then::NeedBytes });
            };
            let record = rest.get_mut(..len).unwrap_or_default();
            let content = open::open(&mut self.rx, record)?;
            let start = consumed + HEADER;
            consumed += len;
            match content {
                Content::Data { len: 0 } => self.count_idle()?,
                Content::Data { len } => {
                    self.idle_records = 0;
                    slices.push(start..start + len);
                }
                Content::Ignored => self.count_idle()?,
                Content::KeyUpdate { answer } => {
                    self.count_idle()?;
                    self.rx = TrafficKey::new(0, self.schedule.next_rx()?)?;
                    // "an implementation which receives multiple KeyUpdates while it is
                    // silent [responds] with a single update" (RFC 8446 section 4.6.3).
                    self.update_owed |= answer;
                }
                Content::Closed => return Ok(Progress { consumed, then: Then::Closed }),
            }
        }
    }

    /// Seals `len` bytes of plaintext that stand in the gaps of `area`: from
    /// [`LEAD`] on, frames of [`FRAME`] bytes, each with room for its header, its
    /// share of [`PLAIN`] bytes, and its trailer. Returns the range to send.
    ///
    /// # Errors
    /// [`RecordError`] when the keys cannot go on.
    pub(crate) fn seal_frames(&mut self, area: &mut [u8], len: usize) -> Result<Range<usize>, RecordError> {
        let records = len.div_ceil(PLAIN);
        let start = match self.update_due(records as u64) {
            true => {
                let lead = area.get_mut(..LEAD).ok_or(RecordError::NoRoom)?;
                self.update_keys(lead)?;
                0
            }
            false => LEAD,
        };
        let mut at = LEAD;
        let mut left = len;
        while left > 0 {
            let plain = left.min(PLAIN);
            let record = at..at + HEADER + plain + TRAILER;
            seal::seal(
                &mut self.tx,
                wire::APPLICATION_DATA,
                area.get_mut(record.clone()).ok_or(RecordError::NoRoom)?,
            )?;
            at = record.end;
            left -= plain;
        }
        Ok(start..at)
    }

    /// Seals an alert onto the end of `out`. After close_notify nothing may be sealed.
    ///
    /// # Errors
    /// As [`Self::seal_frames`].
    pub(crate) fn seal_alert(&mut self, alert: Alert, out: &mut Vec<u8>) -> Result<(), RecordError> {
        seal_onto(&mut self.tx, wire::ALERT, &alert.encode(), out)
    }

    /// Whether a KeyUpdate must come before `records` more of data.
    fn update_due(&self, records: u64) -> bool {
        self.update_owed || self.tx.sealed_after(records) >= self.tx_limit
    }

    /// Seals a KeyUpdate into `lead` under the old key and goes on with the new one.
    fn update_keys(&mut self, lead: &mut [u8]) -> Result<(), RecordError> {
        wire::write_key_update(lead);
        seal::seal(&mut self.tx, wire::HANDSHAKE, lead)?;
        self.tx = TrafficKey::new(0, self.schedule.next_tx()?)?;
        self.update_owed = false;
        Ok(())
    }

    /// A peer may send records without data, but not only such.
    fn count_idle(&mut self) -> Result<(), RecordError> {
        self.idle_records += 1;
        if self.idle_records > MAX_IDLE_RECORDS { Err(RecordError::TooManyEmpty) } else { Ok(()) }
    }
}

impl KeySchedule for KernelConnection<ServerConnectionData> {
    fn next_rx(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error> {
        self.update_rx_secret().map(|(_, secrets)| secrets)
    }

    fn next_tx(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error> {
        self.update_tx_secret().map(|(_, secrets)| secrets)
    }
}

fn seal_onto(key: &mut TrafficKey, content: u8, plain: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
    let at = out.len();
    out.resize(at + HEADER, 0);
    out.extend_from_slice(plain);
    out.resize(out.len() + TRAILER, 0);
    seal::seal(key, content, out.get_mut(at..).unwrap_or_default())
}

/// Slices handed out at once; far below the kernel's 1024 for one writev.
pub(crate) const MAX_SLICES: usize = 64;

/// As many records without data in a row as rustls takes.
const MAX_IDLE_RECORDS: u32 = 32;

#[cfg(test)]
mod tests;
