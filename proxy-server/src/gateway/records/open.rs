use aws_lc_rs::aead::Aad;

use super::{
    key::TrafficKey,
    wire::{ALERT, APPLICATION_DATA, Alert, HANDSHAKE, HEADER, KEY_UPDATE, PLAIN, RecordError},
};

/// What was in one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Data: the `len` bytes after the header.
    Data { len: usize },
    /// Nothing that matters.
    Ignored,
    /// The peer's next records are under its next key.
    KeyUpdate { answer: bool },
    /// close_notify.
    Closed,
}

/// Opens one whole record in place.
///
/// # Errors
/// [`RecordError`]: the connection is over.
pub(super) fn open(key: &mut TrafficKey, record: &mut [u8]) -> Result<Content, RecordError> {
    let nonce = key.next_nonce()?;
    let (header, sealed) = record.split_at_mut_checked(HEADER).ok_or(RecordError::Malformed)?;
    // "additional_data = TLSCiphertext.opaque_type || legacy_record_version || length" (section 5.2).
    let inner = key
        .aead()
        .open_in_place(nonce, Aad::from(&*header), sealed)
        .map_err(|_| RecordError::BadRecordMac)?;
    let (content, plain) = unpad(inner)?;
    match content {
        APPLICATION_DATA => Ok(Content::Data { len: plain.len() }),
        ALERT => alert(plain),
        HANDSHAKE => handshake(plain),
        content => Err(RecordError::Unexpected { content }),
    }
}

/// "the receiving implementation scans the field from the end toward the
/// beginning until it finds a non-zero octet. This non-zero octet is the content
/// type" (RFC 8446 section 5.4).
fn unpad(inner: &[u8]) -> Result<(u8, &[u8]), RecordError> {
    let end = inner.iter().rposition(|byte| *byte != 0).ok_or(RecordError::NoContentType)?;
    let (plain, rest) = inner.split_at(end);
    // "The full encoded TLSInnerPlaintext MUST NOT exceed 2^14 + 1 octets" (section 5.4).
    if inner.len() > PLAIN + 1 {
        return Err(RecordError::PlainTooLong { len: inner.len() - 1 });
    }
    let content = rest.first().copied().unwrap_or_default();
    Ok((content, plain))
}

fn alert(plain: &[u8]) -> Result<Content, RecordError> {
    // Two bytes; the level "can safely be ignored" (section 6).
    let &[_, description] = plain else {
        return Err(RecordError::Malformed);
    };
    match description {
        d if d == Alert::CloseNotify as u8 => Ok(Content::Closed),
        // A close_notify follows it (section 6.1).
        d if d == Alert::UserCanceled as u8 => Ok(Content::Ignored),
        description => Err(RecordError::PeerAlert { description }),
    }
}

/// Only KeyUpdate may come from a client that was asked for nothing, and
/// "Implementations MUST verify that all messages immediately preceding a key
/// change align with a record boundary" (section 5.1): it must be the whole record.
fn handshake(plain: &[u8]) -> Result<Content, RecordError> {
    let Some((request, start)) = plain.split_last() else {
        // "Implementations MUST NOT send zero-length fragments of Handshake types" (section 5.1).
        return Err(RecordError::Unexpected { content: HANDSHAKE });
    };
    let [expected @ .., _] = &KEY_UPDATE;
    if start != expected {
        return Err(RecordError::Unexpected { content: HANDSHAKE });
    }
    match request {
        0 => Ok(Content::KeyUpdate { answer: false }),
        1 => Ok(Content::KeyUpdate { answer: true }),
        // "If an implementation receives any other value, it MUST terminate the
        // connection with an "illegal_parameter" alert" (section 4.6.3).
        &request => Err(RecordError::BadUpdateRequest { request }),
    }
}
