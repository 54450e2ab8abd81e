//! An audit that was exported, as `audit verify` reads it from a file.

use countersign_proxy::audit::{
    AuditPublicKey, ExportError, Finding, Known, Report, TrustedKeys, verify_export,
};

/// Any bytes as an export. Junk has its line; what holds has an end, signatures by the one key that is trusted, and no
/// findings under any key but more with none.
pub fn raw(bytes: &[u8]) {
    let key: AuditPublicKey = KEY.parse().expect("the key of the seeds");
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    let report = match verify(bytes, TrustedKeys::new([key])) {
        Ok(report) => report,
        Err(error) => return is_one_line(&error, lines),
    };
    is_readable(&report);
    let untrusted = verify(bytes, TrustedKeys::new([])).expect("keys do not make a file readable");
    assert_eq!((untrusted.rows, untrusted.checkpoints), (report.rows, report.checkpoints));
    if !report.is_clean() {
        return;
    }
    let signatures = report.chains.iter().filter(|chain| chain.signed.is_some()).count();
    assert!(signatures == 0 || !untrusted.is_clean(), "signatures count without a key");
    // Without its last byte, and without its last line, an export is cut off.
    let whole = bytes.len() - 1;
    let before_last = bytes[..whole].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    for cut in [whole, before_last] {
        let cut = verify(&bytes[..cut], TrustedKeys::new([key])).expect("a file that is cut off is no junk");
        assert_eq!(cut.findings, [Finding::ExportCut { lines: lines - 1 }]);
    }
}

fn verify(bytes: &[u8], trusted: TrustedKeys) -> Result<Report, ExportError> {
    verify_export(bytes, &trusted, &[Known::new()])
}

fn is_one_line(error: &ExportError, lines: u64) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.len() < 4096 && !text.chars().any(char::is_control), "{text:?}");
    let line = match error {
        ExportError::Read { source, .. } => panic!("bytes cannot fail to be read: {source}"),
        ExportError::Empty | ExportError::OtherFormat { .. } => return,
        ExportError::TooLong { line }
        | ExportError::Junk { line, .. }
        | ExportError::Misplaced { line, .. }
        | ExportError::NotBegun { line, .. }
        | ExportError::Twice { line, .. }
        | ExportError::TooManyChains { line, .. } => *line,
    };
    assert!((1..=lines + 1).contains(&line), "line {line} of {lines}");
}

fn is_readable(report: &Report) {
    assert!(report.findings.len() <= 100);
    assert_eq!(report.is_clean(), report.findings.is_empty());
    let text = report.to_string();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert!(text.lines().count() >= report.findings.len() + report.chains.len());
}

/// Signed the seeds' checkpoints; its private half is 32 times the byte 7.
const KEY: &str = "MCowBQYDK2VwAyEA6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw";
