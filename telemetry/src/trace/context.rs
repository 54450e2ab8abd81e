use std::{fmt, str::FromStr};

use super::ids::{SpanId, TraceId, lower_hex};

/// Where in which trace something happens: the value of a `traceparent` header
/// (W3C Trace Context, level 1).
///
/// [`parse`](Self::parse) reads what anybody sent; [`Display`](fmt::Display) writes the
/// header's value, always as version 00. `tracestate` is neither read nor sent on:
/// it is the vendors' own, of up to 512 bytes that nothing here would use, and the
/// standard allows to leave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: TraceId,
    span: SpanId,
    sampled: bool,
}

/// Why something is no trace context. Said to nobody who sent it: a span then
/// begins a trace of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than the 55 bytes of version 00, or longer and of that version.
    Length {
        /// In bytes.
        actual: usize,
    },
    /// No two hexadecimal digits of lower case, or `ff`.
    Version,
    /// Something else where a `-` must stand.
    Dash {
        /// Counted from zero.
        at: usize,
    },
    /// No 32 hexadecimal digits of lower case, or all of them zeros.
    TraceId,
    /// No 16 hexadecimal digits of lower case, or all of them zeros.
    SpanId,
    /// No two hexadecimal digits of lower case.
    Flags,
}

impl TraceContext {
    /// The header's name.
    pub const HEADER: &'static str = "traceparent";

    /// Of these parts.
    pub fn new(trace: TraceId, span: SpanId, sampled: bool) -> Self {
        Self { trace, span, sampled }
    }

    /// Reads a header's value.
    ///
    /// A version above 00 is read as far as version 00 goes, if it ends there or
    /// goes on with a `-` (Trace Context, section 3.2.4). Of the flags only the
    /// lowest is known and kept.
    ///
    /// # Errors
    /// [`Malformed`], for the first thing that is wrong.
    pub fn parse(value: &[u8]) -> Result<Self, Malformed> {
        let Some((known, rest)) = value.split_at_checked(LENGTH) else {
            return Err(Malformed::Length { actual: value.len() });
        };
        let [version] = lower_hex(&known[..2]).ok_or(Malformed::Version)?;
        match version {
            0xff => return Err(Malformed::Version),
            0x00 if !rest.is_empty() => return Err(Malformed::Length { actual: value.len() }),
            _ if !rest.is_empty() && rest[0] != b'-' => return Err(Malformed::Dash { at: LENGTH }),
            _ => {}
        }
        if let Some(at) = [2, 35, 52].into_iter().find(|at| known[*at] != b'-') {
            return Err(Malformed::Dash { at });
        }
        let trace = TraceId::parse(&known[3..35]).ok_or(Malformed::TraceId)?;
        let span = SpanId::parse(&known[36..52]).ok_or(Malformed::SpanId)?;
        let [flags] = lower_hex(&known[53..]).ok_or(Malformed::Flags)?;
        Ok(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }

    /// The context of a message whose `traceparent` headers these are. More than one
    /// is as none (Trace Context, section 3.2: a sender sends one), like a malformed one.
    pub fn of_headers<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Option<Self> {
        let mut values = values.into_iter();
        let context = Self::parse(values.next()?).ok()?;
        values.next().is_none().then_some(context)
    }

    /// Which trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace
    }

    /// Which span is the parent of what comes next.
    pub fn span_id(&self) -> SpanId {
        self.span
    }

    /// Whether the sender records this trace.
    pub fn sampled(&self) -> bool {
        self.sampled
    }

    /// The first context of a new trace; `None` when there is no randomness.
    pub(super) fn root(sampled: impl FnOnce(&TraceId) -> bool) -> Option<Self> {
        let trace = TraceId::random()?;
        Some(Self { trace, span: SpanId::random()?, sampled: sampled(&trace) })
    }

    /// Another span of the same trace; `None` when there is no randomness.
    pub(super) fn child(&self) -> Option<Self> {
        Some(Self { span: SpanId::random()?, ..*self })
    }
}

impl FromStr for TraceContext {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.sampled { SAMPLED } else { 0 };
        write!(f, "00-{}-{}-{flags:02x}", self.trace, self.span)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { actual } => {
                write!(f, "a trace context of version 00 has {LENGTH} bytes, not {actual}")
            }
            Self::Version => f.write_str("the version is no two lower-case hexadecimal digits, or ff"),
            Self::Dash { at } => write!(f, "byte {at} is no `-`"),
            Self::TraceId => f.write_str("the trace id is no 32 lower-case hexadecimal digits, or zero"),
            Self::SpanId => f.write_str("the parent id is no 16 lower-case hexadecimal digits, or zero"),
            Self::Flags => f.write_str("the flags are no two lower-case hexadecimal digits"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Of version 00: two, 32, 16 and two digits with three dashes between them.
const LENGTH: usize = 55;

/// The one flag of level 1.
const SAMPLED: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    /// The cases of the standard's own test suite (w3c/trace-context, `test/test.py`), and their neighbours.
    #[test]
    fn the_standards_cases() {
        let of = |version: &str, trace: &str, span: &str, flags: &str| {
            TraceContext::parse(format!("{version}-{trace}-{span}-{flags}").as_bytes())
        };
        let sampled = of("00", TRACE, SPAN, "01").unwrap();
        assert_eq!(sampled.trace_id().to_string(), TRACE);
        assert_eq!(sampled.span_id().to_string(), SPAN);
        assert!(sampled.sampled());
        assert_eq!(of("00", TRACE, SPAN, "00").map(|context| context.sampled()), Ok(false));

        // Flags that are not known are let through and not kept.
        assert_eq!(of("00", TRACE, SPAN, "ff"), Ok(sampled));
        assert_eq!(of("00", TRACE, SPAN, "02").map(|context| context.sampled()), Ok(false));

        // Later versions: as far as it is known.
        assert_eq!(of("cc", TRACE, SPAN, "01"), Ok(sampled));
        assert_eq!(of("cc", TRACE, SPAN, "01-what-the-future-will-be-like"), Ok(sampled));
        assert_eq!(of("01", TRACE, SPAN, "01-"), Ok(sampled));
        assert_eq!(
            of("cc", TRACE, SPAN, "01.what-the-future-will-not-be-like"),
            Err(Malformed::Dash { at: 55 })
        );

        let length = |actual| Err(Malformed::Length { actual });
        for (version, trace, span, flags, expected) in [
            ("ff", TRACE, SPAN, "01", Err(Malformed::Version)),
            ("0", TRACE, SPAN, "01", length(54)),
            ("0.", TRACE, SPAN, "01", Err(Malformed::Version)),
            ("0G", TRACE, SPAN, "01", Err(Malformed::Version)),
            ("FE", TRACE, SPAN, "01", Err(Malformed::Version)),
            ("000", TRACE, SPAN, "01", length(56)),
            ("00", TRACE, SPAN, "01-what-the-future-will-be-like", length(84)),
            ("00", TRACE, SPAN, "01.", length(56)),
            ("00", TRACE, SPAN, "1", length(54)),
            ("00", TRACE, SPAN, "001", length(56)),
            ("00", TRACE, SPAN, ".0", Err(Malformed::Flags)),
            ("00", TRACE, SPAN, "0A", Err(Malformed::Flags)),
            ("00", "00000000000000000000000000000000", SPAN, "01", Err(Malformed::TraceId)),
            ("00", ".234567890123456789012345678901x", SPAN, "01", Err(Malformed::TraceId)),
            ("00", "4BF92F3577B34DA6A3CE929D0E0E4736", SPAN, "01", Err(Malformed::TraceId)),
            ("00", "4bf92f3577b34da6a3ce929d0e0e473", SPAN, "01", length(54)),
            ("00", "4bf92f3577b34da6a3ce929d0e0e47360", SPAN, "01", length(56)),
            ("00", TRACE, "0000000000000000", "01", Err(Malformed::SpanId)),
            ("00", TRACE, "00f067aa0ba902bx", "01", Err(Malformed::SpanId)),
            ("00", TRACE, "00F067AA0BA902B7", "01", Err(Malformed::SpanId)),
            ("00", TRACE, "00f067aa0ba902b", "01", length(54)),
        ] {
            assert_eq!(of(version, trace, span, flags), expected, "{version}-{trace}-{span}-{flags}");
        }
    }

    #[test]
    fn what_is_no_text_at_all_is_refused_where_it_stands() {
        let good = format!("00-{TRACE}-{SPAN}-01").into_bytes();
        for at in 0..good.len() {
            for byte in [0, b' ', b'-', b'g', 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = byte;
                let dash = [2, 35, 52].contains(&at);
                assert_eq!(TraceContext::parse(&bad).is_ok(), dash && byte == b'-', "{byte} at {at}");
            }
        }
        assert_eq!(TraceContext::parse(b""), Err(Malformed::Length { actual: 0 }));
        for at in [2, 35, 52] {
            let mut bad = good.clone();
            bad[at] = b'_';
            assert_eq!(TraceContext::parse(&bad), Err(Malformed::Dash { at }));
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for sampled in [false, true] {
            let context = TraceContext::root(|_| sampled).unwrap();
            assert_eq!(context.to_string().parse(), Ok(context));
            let child = context.child().unwrap();
            assert_eq!((child.trace_id(), child.sampled()), (context.trace_id(), context.sampled()));
            assert_ne!(child.span_id(), context.span_id());
        }
    }

    #[test]
    fn two_headers_are_as_none() {
        let one = format!("00-{TRACE}-{SPAN}-01");
        assert!(TraceContext::of_headers([one.as_bytes()]).is_some());
        assert_eq!(TraceContext::of_headers([one.as_bytes(), one.as_bytes()]), None);
        assert_eq!(TraceContext::of_headers([b"x".as_slice()]), None);
        assert_eq!(TraceContext::of_headers([]), None);
    }
}
