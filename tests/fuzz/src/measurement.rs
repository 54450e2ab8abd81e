//! Measurements as JSON: what `nitro-cli` prints, and what people make of it.

use crate::recipe::Recipe;
use countersign_verifier::{DebugMode, Measurement, Pcr, PcrIndex, PcrSet, ReferenceValues};
use serde_json::Value;
use std::collections::BTreeMap;

/// Any bytes as a measurement.
pub fn raw(bytes: &[u8]) {
    check(bytes);
}

/// JSON from pieces, each of which may be in order or not. It is accepted exactly when all are in order, and then says what
/// was written.
pub fn structured(bytes: &[u8]) {
    let mut recipe = Recipe::new(bytes);
    let mut pcrs = BTreeMap::new();
    let json = json(&mut recipe, &mut pcrs);
    let Some(measurement) = check(json.as_bytes()) else {
        assert!(!recipe.is_in_order(), "a measurement in order is refused: {json}");
        return;
    };
    assert!(recipe.is_in_order(), "a measurement that breaks a rule is accepted: {json}");
    assert_eq!(
        measurement.pcrs().map(|(index, pcr)| (index.get(), pcr.to_string())).collect::<BTreeMap<_, _>>(),
        pcrs
    );
}

/// What holds for any bytes. Gives the measurement when they are one.
fn check(json: &[u8]) -> Option<Measurement> {
    let measurement = match Measurement::from_json(NAME, json) {
        Ok(measurement) => measurement,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.chars().any(char::is_control), "control characters: {text:?}");
            return None;
        }
    };
    assert!(serde_json::from_slice::<Value>(json).is_ok_and(|value| value.is_object()));
    assert_eq!(measurement.name(), NAME);
    let indexes: Vec<_> = measurement.pcrs().map(|(index, _)| index.get()).collect();
    assert!(
        indexes.is_sorted() && indexes.starts_with(&[0, 1, 2]) && indexes.len() <= PcrIndex::COUNT,
        "{indexes:?}"
    );

    let written = measurement
        .pcrs()
        .map(|(index, pcr)| (index.to_string(), Value::from(pcr.to_string())))
        .collect::<serde_json::Map<_, _>>();
    let again = Measurement::from_json(NAME, Value::from(written).to_string().as_bytes());
    assert_eq!(again.as_ref(), Ok(&measurement), "not the same when written and read again");
    passes_only_itself(&measurement);
    Some(measurement)
}

/// An enclave with exactly these PCRs passes, unless it is in debug mode; with one bit changed it does not.
fn passes_only_itself(measurement: &Measurement) {
    let references = ReferenceValues::from_iter([measurement.clone()]);
    let set = |changed: Option<PcrIndex>| {
        let mut set = PcrSet::EMPTY;
        for (index, pcr) in measurement.pcrs() {
            let mut bytes = *pcr.as_bytes();
            bytes[47] ^= u8::from(changed == Some(index));
            assert_eq!(set.insert(index, Pcr::new(bytes)), Ok(()));
        }
        set
    };
    let same = set(None);
    assert_eq!(references.appraise(&same, DebugMode::Refuse).is_ok(), !same.is_debug());
    assert!(references.appraise(&same, DebugMode::DangerAllow).is_ok());
    for (index, _) in measurement.pcrs() {
        assert!(
            references.appraise(&set(Some(index)), DebugMode::DangerAllow).is_err(),
            "{index} was not compared"
        );
    }
}

fn json(recipe: &mut Recipe<'_>, pcrs: &mut BTreeMap<u8, String>) -> String {
    let mut entries = Vec::new();
    if recipe.pick(&[true, false]) {
        let algorithm: &str =
            if recipe.breaks() { recipe.pick(&["Sha512 { ... }", "sha384", ""]) } else { "Sha384 { ... }" };
        entries.push(format!(r#""HashAlgorithm":"{algorithm}""#));
    }
    for index in 0..=31 {
        let is_required = index < 3;
        if if is_required { recipe.breaks() } else { recipe.number(0..=7) != 7 } {
            continue;
        }
        let value = pcr(recipe);
        entries.push(format!(r#""PCR{index}":"{value}""#));
        if recipe.seldom() {
            // Twice the same is the same.
            entries.push(format!(r#""PCR{index}":"{value}""#));
        }
        if recipe.breaks() {
            entries.push(format!(r#""PCR{index}":"{}""#, "5a".repeat(48)));
        }
        pcrs.insert(index, value.to_lowercase());
    }
    if recipe.breaks() {
        let odd: &str = recipe.pick(ODD_ENTRIES);
        entries.push(odd.to_owned());
    }
    let space = recipe.pick(&["", "\n  ", "\t"]);
    let body = entries.join(&format!(",{space}"));
    let flat = format!("{{{space}{body}{space}}}");
    let json = match recipe.number(0..=3) {
        0 => flat,
        1 => format!(r#"{{"Measurements":{flat}}}"#),
        2 => format!(r#"{{"EifVersion":4,"Measurements":{flat},"IsSigned":false,"PCR0":[null]}}"#),
        _ if recipe.breaks() => format!(r#"{{"Measurements":{flat},"Measurements":{flat}}}"#),
        _ => format!(r#"{{"Measurements":{flat},"Metadata":{{"Measurements":7}}}}"#),
    };
    if recipe.breaks() { format!("{json}]") } else { json }
}

fn pcr(recipe: &mut Recipe<'_>) -> String {
    let length = if recipe.breaks() { recipe.pick(&[47, 49, 0]) } else { 48 };
    // Never 5a, which a contradicting entry has.
    let byte = recipe.number(0x60..=0xff);
    let byte = if recipe.seldom() { 0 } else { byte };
    let value = format!("{byte:02x}").repeat(length);
    if recipe.seldom() { value.to_uppercase() } else { value }
}

const NAME: &str = "fuzz";

/// Indexes that are none or not written as such, and values that are no text.
const ODD_ENTRIES: &[&str] = &[
    r#""PCR32":"00""#,
    r#""PCR00":"00""#,
    r#""PCR+1":"00""#,
    r#""pcr0":"00""#,
    r#""PCR":"00""#,
    r#""PCR256":"00""#,
    r#""PCR0":null"#,
    r#""PCR9":7"#,
    r#""Signature":"00""#,
    r#""":"""#,
    r#""\u001b[2J":"00""#,
];
