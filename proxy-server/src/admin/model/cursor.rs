use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::admin::{code::Code, problem::ApiError};

/// Where a page begins, as text that means nothing to callers.
///
/// A checksum over the list's name tells a cursor from one of another list, and
/// from garbage. It keeps no secret and protects nothing: whatever a cursor
/// says, lists hold only what the caller may see.
pub(in crate::admin) struct Cursor {
    list: &'static str,
}

impl Cursor {
    /// Cursors of one list.
    pub(in crate::admin) fn of(list: &'static str) -> Self {
        Self { list }
    }

    /// For `next`.
    pub(in crate::admin) fn seal(&self, key: &str) -> String {
        URL_SAFE_NO_PAD.encode([&self.checksum(key), key.as_bytes()].concat())
    }

    /// The key inside.
    ///
    /// # Errors
    /// `bad-cursor`.
    pub(in crate::admin) fn open(&self, text: &str) -> Result<String, ApiError> {
        let key = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| {
            let (checksum, key) = bytes.split_first_chunk::<CHECKSUM>()?;
            // PostgreSQL takes no text with a NUL, and no key has one.
            let key = String::from_utf8(key.to_vec()).ok().filter(|key| !key.contains('\0'))?;
            (*checksum == self.checksum(&key)).then_some(key)
        });
        key.ok_or_else(|| ApiError::new(Code::BadCursor, "no cursor that this list gave: begin without one"))
    }

    fn checksum(&self, key: &str) -> [u8; CHECKSUM] {
        let mut context = Context::new(&SHA256);
        context.update(b"countersign-cursor-v1\0");
        context.update(self.list.as_bytes());
        context.update(b"\0");
        context.update(key.as_bytes());
        let mut checksum = [0; CHECKSUM];
        checksum.copy_from_slice(&context.finish().as_ref()[..CHECKSUM]);
        checksum
    }
}

const CHECKSUM: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_for_its_own_list_only() {
        let cursor = Cursor::of("workloads").seal("payments/ä");
        assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(Cursor::of("workloads").open(&cursor).unwrap(), "payments/ä");
        let nul = Cursor::of("workloads").seal("a\0b");
        for bad in ["", "AAAA", "not base64!", &format!("{cursor}A"), &cursor[1..], &nul] {
            assert_eq!(
                Cursor::of("workloads").open(bad).unwrap_err().code(),
                Code::BadCursor.as_str(),
                "{bad}"
            );
        }
        assert_eq!(Cursor::of("sessions").open(&cursor).unwrap_err().code(), Code::BadCursor.as_str());
    }
}
