use std::fmt;

/// Bytes of a record's header (RFC 8446 section 5.2).
pub(crate) const HEADER: usize = 5;
/// Bytes after the plaintext: its content type and the AEAD's tag.
pub(crate) const TRAILER: usize = 1 + 16;
/// The most plaintext in one record (RFC 8446 section 5.1).
pub(crate) const PLAIN: usize = 1 << 14;
/// A full record as we send it.
pub(crate) const FRAME: usize = HEADER + PLAIN + TRAILER;
/// The longest record a peer may send: "The length MUST NOT exceed 2^14 + 256 bytes".
pub(crate) const MAX_RECORD: usize = HEADER + PLAIN + 256;
/// A sealed KeyUpdate: room kept before the frames.
pub(crate) const LEAD: usize = HEADER + KEY_UPDATE.len() + TRAILER;

/// Content types (RFC 8446 section 5.1).
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// KeyUpdate with `update_not_requested` (RFC 8446 section 4.6.3).
pub(super) const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// The alerts this layer sends or knows (RFC 8446 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Alert {
    CloseNotify = 0,
    UnexpectedMessage = 10,
    BadRecordMac = 20,
    RecordOverflow = 22,
    IllegalParameter = 47,
    DecodeError = 50,
    InternalError = 80,
    UserCanceled = 90,
}

impl Alert {
    /// Level and description; the level says nothing in TLS 1.3.
    pub(super) fn encode(self) -> [u8; 2] {
        let level = if matches!(self, Self::CloseNotify | Self::UserCanceled) { 1 } else { 2 };
        [level, self as u8]
    }
}

/// Why a connection's records cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordError {
    /// A record that is not of type application_data: after the handshake everything is.
    Unprotected { content: u8 },
    /// Longer than 2^14 + 256 bytes.
    TooLong { len: usize },
    /// Shorter than content type and tag.
    TooShort { len: usize },
    /// The AEAD refuses it: tampered with, out of order, replayed, or of another key.
    BadRecordMac,
    /// More than 2^14 bytes of plaintext.
    PlainTooLong { len: usize },
    /// Padding and nothing else.
    NoContentType,
    /// A content type or handshake message that may not come now.
    Unexpected { content: u8 },
    /// A message that is not well-formed.
    Malformed,
    /// A KeyUpdate that asks for what there is not.
    BadUpdateRequest { request: u8 },
    /// Too many records in a row without data.
    TooManyEmpty,
    /// The peer gave up with this alert.
    PeerAlert { description: u8 },
    /// The sequence number would wrap.
    SequenceEnds,
    /// The AEAD does not seal.
    Seal,
    /// The caller left no room for header and trailer.
    NoRoom,
    /// An AEAD that this layer does not know.
    Suite,
    /// rustls has no next traffic secret.
    Schedule(String),
}

impl RecordError {
    /// What the peer is told; `None` when it gave up itself.
    pub(crate) fn alert(&self) -> Option<Alert> {
        match self {
            Self::Unprotected { .. } | Self::Unexpected { .. } | Self::NoContentType | Self::TooManyEmpty => {
                Some(Alert::UnexpectedMessage)
            }
            Self::TooLong { .. } | Self::PlainTooLong { .. } => Some(Alert::RecordOverflow),
            Self::TooShort { .. } | Self::BadRecordMac => Some(Alert::BadRecordMac),
            Self::Malformed => Some(Alert::DecodeError),
            Self::BadUpdateRequest { .. } => Some(Alert::IllegalParameter),
            Self::PeerAlert { .. } => None,
            Self::SequenceEnds | Self::Seal | Self::NoRoom | Self::Suite | Self::Schedule(_) => {
                Some(Alert::InternalError)
            }
        }
    }
}

/// The length of the record at the start of `bytes`, header included; `None`
/// until its header is there.
///
/// # Errors
/// [`RecordError`] for a header that no record after a handshake has.
pub(crate) fn record_len(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
    // "legacy_record_version [...] MUST be ignored for all purposes" (section 5.1).
    let &[content, _, _, high, low, ..] = bytes else {
        return Ok(None);
    };
    // A change_cipher_spec may come "before the peer's Finished message has been
    // received" (section 5), that is, not here.
    if content != APPLICATION_DATA {
        return Err(RecordError::Unprotected { content });
    }
    let len = usize::from(u16::from_be_bytes([high, low]));
    if HEADER + len > MAX_RECORD {
        return Err(RecordError::TooLong { len });
    }
    if len < TRAILER {
        return Err(RecordError::TooShort { len });
    }
    Ok(Some(HEADER + len))
}

/// Puts a KeyUpdate where [`super::seal::seal`] looks for the plaintext.
pub(super) fn write_key_update(record: &mut [u8]) {
    let plain = record.iter_mut().skip(HEADER);
    plain.zip(KEY_UPDATE).for_each(|(to, from)| *to = from);
}

impl From<rustls::Error> for RecordError {
    fn from(error: rustls::Error) -> Self {
        Self::Schedule(error.to_string())
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unprotected { content } => write!(f, "unprotected record of type {content}"),
            Self::TooLong { len } => write!(f, "record of {len} bytes, the limit is {}", MAX_RECORD - HEADER),
            Self::TooShort { len } => write!(f, "record of {len} bytes, the least is {TRAILER}"),
            Self::BadRecordMac => f.write_str("record does not authenticate"),
            Self::PlainTooLong { len } => write!(f, "plaintext of {len} bytes, the limit is {PLAIN}"),
            Self::NoContentType => f.write_str("record holds padding only"),
            Self::Unexpected { content } => write!(f, "unexpected message of content type {content}"),
            Self::Malformed => f.write_str("malformed message"),
            Self::BadUpdateRequest { request } => write!(f, "KeyUpdate with request {request}"),
            Self::TooManyEmpty => f.write_str("too many records without data"),
            Self::PeerAlert { description } => write!(f, "peer sent alert {description}"),
            Self::SequenceEnds => f.write_str("sequence number would wrap"),
            Self::Seal => f.write_str("record cannot be sealed"),
            Self::NoRoom => f.write_str("no room to seal a record in"),
            Self::Suite => f.write_str("unknown AEAD"),
            Self::Schedule(error) => write!(f, "no next traffic secret: {error}"),
        }
    }
}

impl std::error::Error for RecordError {}
