use super::*;

fn sample_lines() -> Vec<String> {
    String::from_utf8(Audit::sample().export()).unwrap().lines().map(str::to_owned).collect()
}

fn verify(text: &[u8]) -> Result<Report, ExportError> {
    verify_export(text, &trusted(), &[])
}

fn joined(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

fn refusal(lines: &[String]) -> String {
    verify(&joined(lines)).unwrap_err().to_string()
}

#[test]
fn an_export_gives_back_what_was_written() {
    let lines = sample_lines();
    assert_eq!(lines.len(), 1 + 1 + 3 + 27 + 6 + 3 + 1);
    let report = verify(&joined(&lines)).unwrap();
    assert_eq!((report.chains.len(), report.rows, report.checkpoints), (3, 27, 6));
    assert!(report.is_clean());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["chains"][2]["first"], 4);
    assert_eq!(json["findings"], serde_json::json!([]));
}

#[test]
fn an_export_cut_anywhere_is_cut_and_nothing_else() {
    let bytes = Audit::sample().export();
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    // At every line's end and beside it, and here and there inside of lines.
    let near_an_end = |at: usize| bytes[at - 1..=at + 1].contains(&b'\n');
    let cuts = (header + 1..bytes.len() - 1).filter(|at| near_an_end(*at) || at % 97 == 0);
    for at in cuts.chain([bytes.len() - 1]) {
        let report = verify(&bytes[..at]).unwrap();
        let lines = bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(report.findings, [Finding::ExportCut { lines }], "cut at {at}");
    }
    for at in 0..=header {
        assert!(matches!(verify(&bytes[..at]), Err(ExportError::Empty)), "cut at {at}");
    }
}

#[test]
fn a_line_that_was_removed_is_found() {
    let lines = sample_lines();
    for at in 0..lines.len() {
        let mut fewer = lines.clone();
        let removed = fewer.remove(at);
        let kind = removed.split('"').nth(1).unwrap();
        let found = verify(&joined(&fewer));
        match kind {
            "header" => assert!(matches!(found, Err(ExportError::Misplaced { line: 1, .. })), "{found:?}"),
            "chain" => assert!(matches!(found, Err(ExportError::NotBegun { .. })), "{found:?}"),
            "end" => assert_eq!(found.unwrap().findings, [Finding::ExportCut { lines: 41 }]),
            _ => {
                let findings = found.unwrap().findings;
                assert_eq!(findings.last(), Some(&Finding::ExportLines { expected: 41, actual: 40 }));
                assert_eq!(
                    findings.len(),
                    if matches!(kind, "key" | "checkpoint") { 1 } else { 2 },
                    "{kind}"
                );
            }
        }
    }
}

#[test]
fn junk_is_an_error_that_names_its_line() {
    let lines = sample_lines();
    let with = |at: usize, junk: &str| {
        let mut lines = lines.clone();
        lines[at] = junk.to_owned();
        refusal(&lines)
    };
    assert_eq!(with(4, "hello"), "line 5 is none of an export: expected value at line 1 column 1",);
    let replaced = |at: usize, from: &str, to: &str| {
        assert!(lines[at].contains(from), "{}", lines[at]);
        with(at, &lines[at].replacen(from, to, 1))
    };
    let starts = |text: String, start: &str| assert!(text.starts_with(start), "{text}");
    starts(
        replaced(3, r#""seq":1,"#, r#""seq":1,"seq":1,"#),
        "line 4 is none of an export: duplicate field `seq`",
    );
    starts(
        replaced(3, r#""seq":1,"#, r#""\u001b[2J":1,"#),
        r"line 4 is none of an export: unknown field `\u{1b}[2J`",
    );
    starts(
        replaced(3, r#""seq":1,"#, r#""seq":-1,"#),
        "line 4 is none of an export: invalid value: integer `-1`",
    );
    let beyond = format!(r#""seq":{},"#, u64::MAX);
    starts(
        replaced(3, r#""seq":1,"#, &beyond),
        "line 4 is none of an export: expected a row number of at most 63",
    );
    starts(replaced(3, r#""policy""#, r#""Policy""#), "line 4 is none of an export: a chain is named");
    starts(replaced(3, r#""hash":""#, r#""hash":"0"#), "line 4 is none of an export: expected 64 hex digits");
    starts(
        replaced(0, r#""version":1"#, r#""version":2"#),
        "the file is countersign-audit version 2, expected",
    );
    starts(replaced(0, r#""test""#, r#""a b""#), "line 1 is none of an export: a deployment is 1 to 64 of");
    starts(with(5, &lines[0]), "line 6 of the export is a header, expected any other line");
    starts(with(5, &lines[2]), "line 6 of the export has the beginning of the chain policy a second time");
    let mut more = lines.clone();
    more.push(lines[5].clone());
    starts(refusal(&more), "line 43 of the export is behind the last, expected nothing");
    let mut invalid = joined(&lines[..5]);
    invalid.extend_from_slice(b"\xff\xfe\n");
    starts(verify(&invalid).unwrap_err().to_string(), "line 6 is none of an export: expected value");
}

#[test]
fn a_line_has_a_bound() {
    let mut bytes = joined(&sample_lines()[..3]);
    bytes.resize(bytes.len() + (1 << 20) + 1, b' ');
    assert!(matches!(verify(&bytes), Err(ExportError::TooLong { line: 4 })));

    let long = Event { detail: Some("x".repeat(1 << 20)), ..event(1) };
    let header = ExportHeader { deployment: "test".parse().unwrap(), epoch: Epoch(1), at: UnixMs(1) };
    let mut writer = ExportWriter::new(Vec::new(), &header).unwrap();
    let refused = writer.row(ChainName::Policy, 1, &long, [0; 32]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn keys_in_the_file_are_not_trusted_for_being_there() {
    let nobody = TrustedKeys::new([]);
    let report = verify_export(Cursor::new(Audit::sample().export()), &nobody, &[]).unwrap();
    // Six checkpoints and one anchor.
    assert_eq!(report.findings.len(), 7);
    for finding in &report.findings {
        let (Finding::CheckpointDistrusted { reason, .. } | Finding::AnchorDistrusted { reason, .. }) =
            finding
        else {
            panic!("{finding:?}");
        };
        assert_eq!(*reason, Distrust::UnknownKey { trusted: Vec::new(), actual: key().public().id() });
    }
    assert!(report.to_string().contains("expected one of none: no key is trusted"), "{report}");
}

#[test]
fn chains_may_be_mixed_line_by_line() {
    let lines = sample_lines();
    let (first, rest): (Vec<_>, Vec<_>) =
        lines.iter().cloned().partition(|line| line.contains(r#""policy""#));
    let (header, rest) = rest.split_at(2);
    let mut mixed = header.to_vec();
    let (mut first, mut rest) = (first.into_iter(), rest.iter().cloned());
    let end = rest.next_back().unwrap();
    loop {
        let (a, b) = (first.next(), rest.next());
        if a.is_none() && b.is_none() {
            break;
        }
        mixed.extend(a);
        mixed.extend(b);
    }
    mixed.push(end);
    assert_eq!(verify(&joined(&mixed)).unwrap().findings, []);
}
