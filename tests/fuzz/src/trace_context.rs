//! The value of a `traceparent` header, as whoever asks for a tunnel may send it.

use countersign_telemetry::TraceContext;

/// Any bytes as a trace context. What is one is written as version 00 of itself, and is
/// read again; what is longer than version 00 is of a later version and says so.
pub fn raw(bytes: &[u8]) {
    let context = match TraceContext::parse(bytes) {
        Ok(context) => context,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let written = context.to_string();
    assert_eq!(TraceContext::parse(written.as_bytes()), Ok(context), "{written} is not stable");
    assert_eq!(&bytes[2..53], &written.as_bytes()[2..53], "ids are read as they are written");
    assert!(bytes.len() == 55 || (&bytes[..2] != b"00" && bytes[55] == b'-'));
    assert_ne!(context.trace_id().bytes(), &[0; 16]);
    assert_ne!(context.span_id().bytes(), &[0; 8]);
}
