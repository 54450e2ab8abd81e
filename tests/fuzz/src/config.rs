//! `countersign.toml`, the proxy's configuration.

use countersign_proxy::config::Config;
use std::path::Path;

/// Any text as a configuration. It is never accepted, since no certificate lies where it looks; every other check runs, and
/// each mistake has its place and is one line.
pub fn raw(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A text that begins with a slash may be an absolute path, and then it would be read: a device could block. So slashes
    // stand inside of texts only (after a quote or a line end, a text may have begun).
    if text.contains('\\')
        || text.as_bytes().windows(2).any(|pair| pair[1] == b'/' && matches!(pair[0], b'"' | b'\'' | b'\n'))
    {
        return;
    }
    let mistakes =
        Config::parse(text, Path::new(NOWHERE)).expect_err("no certificate lies where there is no directory");
    assert!(!mistakes.list.is_empty());
    let lines = text.matches('\n').count() + 1;
    for mistake in &mistakes.list {
        let (line, column) = mistake.position.expect("a text has places");
        assert!((1..=lines).contains(&line) && column >= 1, "{mistake} at {line}:{column}");
        assert!(!mistake.message.is_empty(), "{mistake:?}");
    }
    assert!(!mistakes.to_string().is_empty());
}

const NOWHERE: &str = "no-such-directory-of-countersign-fuzz/countersign.toml";
