use super::{HeaderError, crc32c::crc32c};

/// Walks over the type-length-value fields after the addresses (section 2.2)
/// and checks the checksum among them, if there is one. Everything else is skipped.
///
/// `fields` are the last bytes of the whole header, `before` the ones before them.
pub(super) fn check<'a>(before: [&'a [u8]; 2], fields: &'a [u8]) -> Result<(), HeaderError> {
    let mut rest = fields;
    let mut checked = false;
    while !rest.is_empty() {
        let at = fields.len() - rest.len();
        let (kind, value, after) = split(rest).ok_or(HeaderError::Field { at })?;
        if kind == CRC32C {
            let found = value.try_into().map(u32::from_be_bytes);
            let found = found.map_err(|_| HeaderError::ChecksumLength { found: value.len() })?;
            if std::mem::replace(&mut checked, true) {
                return Err(HeaderError::ChecksumTwice);
            }
            // "replace the 32 bits of the checksum field in the received PROXY
            // header with all '0's; calculate a CRC32c checksum value of the whole
            // PROXY header" (section 2.2.3).
            let ahead = fields.get(..at + FIELD_HEAD).unwrap_or_default();
            let [first, second] = before;
            let expected = crc32c([first, second, ahead, &[0; 4], after]);
            if found != expected {
                return Err(HeaderError::Checksum { expected, found });
            }
        }
        rest = after;
    }
    Ok(())
}

/// Type, value, and what follows.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk()?;
    let (value, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    Some((kind, value, after))
}

/// PP2_TYPE_CRC32C.
pub(super) const CRC32C: u8 = 0x03;

/// One byte of type and two of length.
const FIELD_HEAD: usize = 3;
