use aws_lc_rs::aead::Aad;

use super::{
    key::TrafficKey,
    wire::{APPLICATION_DATA, HEADER, RecordError, TRAILER},
};

/// Seals one record in place. `record` is header, plaintext and trailer; the
/// plaintext stands there, the rest is written here.
///
/// # Errors
/// [`RecordError::SequenceEnds`], and [`RecordError::NoRoom`] if `record` has no
/// room for header and trailer or is longer than a record may be.
pub(super) fn seal(key: &mut TrafficKey, content: u8, record: &mut [u8]) -> Result<(), RecordError> {
    let (header, inner) = record.split_first_chunk_mut::<HEADER>().ok_or(RecordError::NoRoom)?;
    let len = u16::try_from(inner.len()).map_err(|_| RecordError::NoRoom)?;
    let [high, low] = len.to_be_bytes();
    // "opaque_type: [...] always set to the value 23", "legacy_record_version:
    // [...] always 0x0303" (RFC 8446 section 5.2).
    *header = [APPLICATION_DATA, 3, 3, high, low];
    let plain = inner.len().checked_sub(TRAILER).ok_or(RecordError::NoRoom)?;
    let (protected, tag) = inner.split_at_mut(plain + 1);
    if let Some(last) = protected.last_mut() {
        *last = content;
    }
    let nonce = key.next_nonce()?;
    let made = key
        .aead()
        .seal_in_place_separate_tag(nonce, Aad::from(*header), protected)
        .map_err(|_| RecordError::Seal)?;
    tag.copy_from_slice(made.as_ref());
    Ok(())
}
