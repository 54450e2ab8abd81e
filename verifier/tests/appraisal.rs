//! Measurements, where they come from, and what evidence is worth beside them.
#![allow(clippy::unwrap_used, clippy::panic)]

use countersign_verifier::{
    AppraisalRefusal, DebugMode, Difference, Measurement, MeasurementError, Mismatch, NotAPcr, Pcr, PcrIndex,
    PcrSet, ReferenceValues, Refusal, Stage,
};

fn index(number: u64) -> PcrIndex {
    PcrIndex::new(number).unwrap()
}

fn pcr(byte: u8) -> Pcr {
    Pcr::new([byte; 48])
}

fn set(pcrs: &[(u64, u8)]) -> PcrSet {
    let mut set = PcrSet::EMPTY;
    pcrs.iter().for_each(|&(number, byte)| set.insert(index(number), pcr(byte)).unwrap());
    set
}

fn measurement(name: &str, pcrs: &[(u64, u8)]) -> Measurement {
    Measurement::new(name, pcrs.iter().map(|&(number, byte)| (index(number), pcr(byte)))).unwrap()
}

fn verdict(references: &ReferenceValues, pcrs: &PcrSet, debug: DebugMode) -> Result<String, Refusal> {
    references.appraise(pcrs, debug).map(|measurement| measurement.name().to_owned())
}

#[test]
fn nothing_known_admits_nobody() {
    let refusal = verdict(&ReferenceValues::new(), &set(&[(0, 1), (1, 2), (2, 3)]), DebugMode::Refuse);
    assert_eq!(refusal, Err(Refusal::Appraisal(AppraisalRefusal::NoReferenceValues)));
}

#[test]
fn every_pcr_that_a_measurement_names_must_be_the_same() {
    let references: ReferenceValues = [
        measurement("plain", &[(0, 1), (1, 2), (2, 3)]),
        measurement("signed", &[(0, 9), (1, 2), (2, 3), (8, 4)]),
        measurement("signed-again", &[(0, 9), (1, 2), (2, 3), (8, 5)]),
    ]
    .into_iter()
    .collect();
    let name = |pcrs: &[(u64, u8)]| verdict(&references, &set(pcrs), DebugMode::Refuse);
    assert_eq!(name(&[(0, 1), (1, 2), (2, 3)]), Ok("plain".to_owned()));
    // A PCR that the measurement does not name is not compared.
    assert_eq!(name(&[(0, 1), (1, 2), (2, 3), (3, 77)]), Ok("plain".to_owned()));
    assert_eq!(name(&[(0, 9), (1, 2), (2, 3), (8, 5)]), Ok("signed-again".to_owned()));
    // One that it names and the document lacks differs.
    let absent = Difference { index: index(8), expected: pcr(4), actual: None };
    let mismatch = Mismatch { closest: "signed".to_owned(), known: 3, differences: vec![absent] };
    assert_eq!(
        name(&[(0, 9), (1, 2), (2, 3)]),
        Err(Refusal::Appraisal(AppraisalRefusal::Mismatch(Box::new(mismatch))))
    );
}

#[test]
fn a_mismatch_names_the_closest_and_where_it_differs() {
    let references: ReferenceValues =
        [measurement("far", &[(0, 7), (1, 8), (2, 9)]), measurement("near", &[(0, 1), (1, 2), (2, 3)])]
            .into_iter()
            .collect();
    let refusal = verdict(&references, &set(&[(0, 1), (1, 6), (2, 3)]), DebugMode::Refuse).unwrap_err();
    assert_eq!((refusal.stage(), refusal.code()), (Stage::Appraisal, "pcr-mismatch"));
    assert_eq!(
        refusal.expected(),
        format!("a known measurement, closest is \"near\" with PCR1 {}", "02".repeat(48))
    );
    assert_eq!(refusal.actual(), format!("PCR1 {}", "06".repeat(48)));
}

#[test]
fn debug_mode_is_refused_by_name_unless_it_is_allowed_and_expected() {
    let debug = set(&[(0, 0), (1, 0), (2, 0), (4, 5)]);
    let zero: ReferenceValues = [measurement("debug", &[(0, 0), (1, 0), (2, 0)])].into_iter().collect();
    let other: ReferenceValues = [measurement("plain", &[(0, 1), (1, 2), (2, 3)])].into_iter().collect();
    let refused = Err(Refusal::Appraisal(AppraisalRefusal::DebugMode));
    // Even a measurement of zeros, put there by mistake, does not let it pass.
    assert_eq!(verdict(&zero, &debug, DebugMode::Refuse), refused);
    assert_eq!(verdict(&other, &debug, DebugMode::Refuse), refused);
    assert_eq!(verdict(&zero, &debug, DebugMode::DangerAllow), Ok("debug".to_owned()));
    assert_eq!(verdict(&other, &debug, DebugMode::DangerAllow).unwrap_err().code(), "pcr-mismatch");
}

#[test]
fn ten_thousand_measurements_are_told_apart() {
    let pcrs = |number: u16| {
        let mut bytes = [1; 48];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        Pcr::new(bytes)
    };
    let references: ReferenceValues = (0..10_000)
        .map(|n| Measurement::new(n.to_string(), (0..3).map(|i| (index(i), pcrs(n)))).unwrap())
        .collect();
    assert_eq!(references.len(), 10_000);
    let mut set = PcrSet::EMPTY;
    (0..3).for_each(|i| set.insert(index(i), pcrs(7_777)).unwrap());
    assert_eq!(verdict(&references, &set, DebugMode::Refuse), Ok("7777".to_owned()));
}

#[test]
fn a_measurement_has_its_three_pcrs_and_no_contradiction() {
    let all = [(index(0), pcr(1)), (index(1), pcr(2)), (index(2), pcr(3))];
    for missing in 0..3 {
        let some = all.into_iter().filter(|(index, _)| index.get() != missing);
        let expected = MeasurementError::Missing { index: index(missing.into()) };
        assert_eq!(Measurement::new("x", some), Err(expected));
    }
    let twice = all.into_iter().chain([(index(1), pcr(2))]);
    assert_eq!(Measurement::new("x", twice).map(|m| m.pcrs().count()), Ok(3));
    let contradiction = all.into_iter().chain([(index(1), pcr(9))]);
    assert_eq!(
        Measurement::new("x", contradiction),
        Err(MeasurementError::Contradiction { index: index(1) })
    );
}

#[test]
fn measurements_are_read_as_nitro_cli_prints_them() {
    let (a, b, c, d) = ("0a".repeat(48), "0B".repeat(48), "0c".repeat(48), "0d".repeat(48));
    let build = format!(
        r#"{{"Measurements": {{"HashAlgorithm": "Sha384 {{ ... }}", "PCR0": "{a}", "PCR1": "{b}", "PCR2": "{c}"}}}}"#
    );
    let plain = measurement("x", &[(0, 10), (1, 11), (2, 12)]);
    assert_eq!(Measurement::from_json("x", build.as_bytes()), Ok(plain));
    let describe = format!(
        r#"{{"EifVersion": 4, "Measurements": {{"PCR0": "{a}", "PCR1": "{b}", "PCR2": "{c}", "PCR8": "{d}"}}, "IsSigned": true, "Metadata": {{}}}}"#
    );
    let flat = format!(r#"{{"PCR0": "{a}", "PCR1": "{b}", "PCR2": "{c}", "PCR8": "{d}"}}"#);
    let signed = measurement("x", &[(0, 10), (1, 11), (2, 12), (8, 13)]);
    assert_eq!(Measurement::from_json("x", describe.as_bytes()), Ok(signed.clone()));
    assert_eq!(Measurement::from_json("x", flat.as_bytes()), Ok(signed));
}

#[test]
fn what_is_no_measurement_is_refused_with_its_key() {
    let good = format!(r#""PCR0": "{0}", "PCR1": "{0}", "PCR2": "{0}""#, "0a".repeat(48));
    let read =
        |extra: &str| Measurement::from_json("x", format!("{{{good}{extra}}}").as_bytes()).unwrap_err();
    let unknown = |key: &str| MeasurementError::UnknownKey { key: key.to_owned() };
    let value = format!(r#""{}""#, "0a".repeat(48));
    for key in ["PCR32", "PCR", "PCR-1", "PCR03", "PCR+3", "pcr3", "3", ""] {
        assert_eq!(read(&format!(r#", "{key}": {value}"#)), unknown(key));
    }
    let short = NotAPcr { length: 2 };
    assert_eq!(read(r#", "PCR3": "0a""#), MeasurementError::NotAPcr { key: "PCR3".to_owned(), error: short });
    assert_eq!(read(r#", "PCR3": 3"#), MeasurementError::NotText { key: "PCR3".to_owned() });
    assert_eq!(
        read(r#", "HashAlgorithm": "Sha512""#),
        MeasurementError::HashAlgorithm { actual: "Sha512".to_owned() }
    );
    // A key that stands twice with another value: JSON readers usually keep the last without a word.
    let twice = format!(r#", "PCR0": "{}""#, "0b".repeat(48));
    assert_eq!(read(&twice), MeasurementError::Contradiction { index: index(0) });
    let two = format!(r#"{{"Measurements": {{{good}}}, "Measurements": {{{good}}}}}"#);
    for json in ["", "[]", "3", "{", "{\"Measurements\": 3}", &two] {
        let error = Measurement::from_json("x", json.as_bytes()).unwrap_err();
        assert!(matches!(error, MeasurementError::NotJson { .. }), "{json}: {error:?}");
    }
    assert_eq!(Measurement::from_json("x", b"{}"), Err(MeasurementError::Missing { index: index(0) }));
}
