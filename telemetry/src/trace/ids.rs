use std::fmt;

/// Which trace. Never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Which span in its trace. Never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl TraceId {
    /// These bytes; `None` for all zeros.
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// 32 lower-case hexadecimal digits, as [`Display`](fmt::Display) writes them.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::new(lower_hex(text)?)
    }

    /// A new one; `None` when there is no randomness.
    pub(super) fn random() -> Option<Self> {
        Self::new(random()?)
    }

    /// The bytes, in the order they are written.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl SpanId {
    /// These bytes; `None` for all zeros.
    pub fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// 16 lower-case hexadecimal digits, as [`Display`](fmt::Display) writes them.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::new(lower_hex(text)?)
    }

    /// A new one; `None` when there is no randomness.
    pub(super) fn random() -> Option<Self> {
        Self::new(random()?)
    }

    /// The bytes, in the order they are written.
    pub fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

/// Exactly `2 * N` digits, none of them upper case (Trace Context, section 3.2.1).
pub(super) fn lower_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}
