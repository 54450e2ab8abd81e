//! Certificates built by a recipe that knows whether they are in order.

use super::check;
use crate::der::{
    BIT_STRING, BOOLEAN, GENERALIZED_TIME, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, PRINTABLE_STRING, SET,
    UTC_TIME, UTF8_STRING, element, sequence,
};
use crate::recipe::Recipe;
use time::{Date, Month, Time};

/// A certificate from pieces, each of which may be in order or not. It is accepted exactly when all are in order, and then
/// says what was written.
pub fn structured(bytes: &[u8]) {
    let mut recipe = Recipe::new(bytes);
    let (der, expected) = certificate(&mut recipe);
    let Some(summary) = check(&der) else {
        assert!(!recipe.is_in_order(), "a certificate in order is refused");
        return;
    };
    assert!(recipe.is_in_order(), "a certificate that breaks a rule is accepted: {der:02x?}");
    let Expected { issuer, subject, not_before, not_after } = expected;
    assert_eq!((summary.issuer, summary.subject), (issuer, subject));
    assert_eq!(
        (Some(summary.not_before.as_millis()), Some(summary.not_after.as_millis())),
        (not_before, not_after)
    );
}

/// What was written, to be compared with what was read.
struct Expected {
    issuer: String,
    subject: String,
    /// Milliseconds since 1970; `None` when the date does not exist.
    not_before: Option<u64>,
    not_after: Option<u64>,
}

fn certificate(recipe: &mut Recipe<'_>) -> (Vec<u8>, Expected) {
    let algorithm = algorithm(recipe);
    let other = if recipe.breaks() { vec![0x30, 0x02, 0x05, 0x00] } else { algorithm.clone() };
    let (issuer, issuer_text) = name(recipe);
    let (subject, subject_text) = name(recipe);
    let (first, not_before) = moment(recipe);
    let (last, not_after) = moment(recipe);
    let parts = [
        version(recipe),
        serial(recipe),
        algorithm,
        issuer,
        sequence(recipe, &[first, last]),
        subject,
        public_key(recipe),
        // issuerUniqueID: RFC 5280 section 4.1.2.8, "CAs conforming to this profile MUST NOT generate certificates with
        // unique identifiers".
        if recipe.breaks() { vec![0x81, 2, 0, 1] } else { Vec::new() },
        extensions(recipe),
        if recipe.breaks() { vec![0x05, 0x00] } else { Vec::new() },
    ];
    let signed = sequence(recipe, &parts);
    let signature = bits(recipe, &[0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01]);
    let mut der = sequence(recipe, &[signed, other, signature]);
    if recipe.breaks() {
        der.push(0);
    }
    (der, Expected { issuer: issuer_text, subject: subject_text, not_before, not_after })
}

fn version(recipe: &mut Recipe<'_>) -> Vec<u8> {
    if recipe.breaks() {
        return recipe.pick(&[
            vec![],
            vec![0xa0, 3, 2, 1, 1],
            vec![0xa0, 3, 2, 1, 3],
            vec![0xa0, 4, 2, 2, 0, 2],
            vec![0xa1, 3, 2, 1, 2],
        ]);
    }
    vec![0xa0, 3, 2, 1, 2]
}

/// RFC 5280 section 4.1.2.2: positive, at most 20 octets of magnitude.
fn serial(recipe: &mut Recipe<'_>) -> Vec<u8> {
    let mut digits = recipe.own::<22>().to_vec();
    digits.truncate(recipe.size(1..=22));
    if recipe.seldom() {
        digits.insert(0, 0);
    }
    let is_shortest = match digits[..] {
        [0] => false,
        [0, second, ..] => second >= 0x80,
        _ => true,
    };
    let is_positive = digits[0] < 0x80;
    let magnitude = digits.len() - usize::from(digits[0] == 0);
    if !is_positive || !is_shortest || magnitude > 20 {
        // Zeros stand in for bytes that ran out, and they are no serial.
        if !recipe.breaks() {
            return element(recipe, INTEGER, &[1]);
        }
    }
    element(recipe, INTEGER, &digits)
}

fn algorithm(recipe: &mut Recipe<'_>) -> Vec<u8> {
    let last = if recipe.breaks() { recipe.pick(&[0x02, 0x01, 0x04]) } else { 0x03 };
    let id = element(recipe, OBJECT_IDENTIFIER, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last]);
    // RFC 5758 section 3.2: no parameters.
    let parameters = if recipe.breaks() { vec![0x05, 0x00] } else { Vec::new() };
    sequence(recipe, &[id, parameters])
}

/// A name, and how it is shown: the first common name, or the whole name in hexadecimal.
fn name(recipe: &mut Recipe<'_>) -> (Vec<u8>, String) {
    // Names are compared as bytes and looked into for display only: what is inside breaks no rule.
    let mut plain = Recipe::new(&[]);
    let (mut sets, mut shown) = (Vec::new(), None);
    let count = if recipe.breaks() { 0 } else { recipe.size(1..=4) };
    for _ in 0..count {
        let kind = recipe.pick(&[COMMON_NAME, 10, 6]);
        let text = recipe.pick(&["simulated", "", "é", "a\u{1b}b"]);
        let tag = recipe.pick(&[UTF8_STRING, PRINTABLE_STRING]);
        if kind == COMMON_NAME && shown.is_none() {
            shown = Some(text.to_owned());
        }
        let id = element(&mut plain, OBJECT_IDENTIFIER, &[0x55, 0x04, kind]);
        let value = element(&mut plain, tag, text.as_bytes());
        let pair = sequence(&mut plain, &[id, value]);
        sets.push(element(&mut plain, SET, &pair));
    }
    let name = sequence(recipe, &sets);
    let shown = shown.unwrap_or_else(|| name.iter().map(|byte| format!("{byte:02x}")).collect());
    (name, shown)
}

/// A time, and the milliseconds since 1970 that it names according to the crate `time`.
fn moment(recipe: &mut Recipe<'_>) -> (Vec<u8>, Option<u64>) {
    let year = recipe.number(1970..=2120) as i32;
    let mut part = |range: std::ops::RangeInclusive<u64>, beyond: u64| {
        let in_range = *range.end();
        let value = recipe.number(range);
        if value == in_range && recipe.seldom() { beyond as u8 } else { value as u8 }
    };
    let (month, day) = (part(1..=12, 13), part(1..=31, 0));
    let (hour, minute, second) = (part(0..=23, 24), part(0..=59, 60), part(0..=59, 60));
    let date = Month::try_from(month).and_then(|month| Date::from_calendar_date(year, month, day));
    let time = Time::from_hms(hour, minute, second);
    let moment = date.and_then(|date| Ok(date.with_time(time?).assume_utc().unix_timestamp()));
    let millis = moment.ok().and_then(|seconds| u64::try_from(seconds).ok()).map(|seconds| seconds * 1_000);
    if millis.is_none() {
        recipe.spoil();
    }
    let zone = if recipe.breaks() { recipe.pick(&["", "+0000", "Zz", ".5Z"]) } else { "Z" };
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}{zone}");
    // The other way round, 2070 as UTCTime, cannot be noticed: that is 1970.
    let der = if year < 2050 && !recipe.breaks() {
        element(recipe, UTC_TIME, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        element(recipe, GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes())
    };
    (der, millis)
}

fn public_key(recipe: &mut Recipe<'_>) -> Vec<u8> {
    let curve = if recipe.breaks() { 0x23 } else { 0x22 };
    let key = element(recipe, OBJECT_IDENTIFIER, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]);
    let parameter = element(recipe, OBJECT_IDENTIFIER, &[0x2b, 0x81, 0x04, 0x00, curve]);
    let algorithm = sequence(recipe, &[key, parameter]);
    let form = if recipe.breaks() { recipe.pick(&[2, 3, 6, 0]) } else { 4 };
    let length = if recipe.breaks() { recipe.pick(&[95, 97, 48, 0]) } else { 96 };
    // No point of the curve, and a reader of structure does not know.
    let point = bits(recipe, &[vec![form], vec![7; length]].concat());
    sequence(recipe, &[algorithm, point])
}

/// A BIT STRING of whole bytes.
fn bits(recipe: &mut Recipe<'_>, content: &[u8]) -> Vec<u8> {
    let unused = if recipe.breaks() { recipe.number(1..=255) as u8 } else { 0 };
    element(recipe, BIT_STRING, &[&[unused], content].concat())
}

fn extensions(recipe: &mut Recipe<'_>) -> Vec<u8> {
    if recipe.breaks() {
        return Vec::new();
    }
    let mut list = Vec::new();
    if recipe.number(0..=7) != 7 {
        let (value, is_critical) = (basic_constraints(recipe), recipe.pick(&[true, false]));
        list.push(extension(recipe, BASIC_CONSTRAINTS, is_critical, &value));
    }
    if recipe.number(0..=7) != 7 {
        let (value, is_critical) = (key_usage(recipe), recipe.pick(&[true, false]));
        list.push(extension(recipe, KEY_USAGE, is_critical, &value));
    }
    // Key identifiers and others that nobody here knows.
    let others = if recipe.breaks() { 17 } else { recipe.number(0..=14) };
    for number in 0..others {
        let is_critical = recipe.breaks();
        list.push(extension(recipe, 100 + number as u8, is_critical, &[0x04, 0x00]));
    }
    if recipe.breaks() {
        list.push(extension(recipe, EXTENDED_KEY_USAGE, false, &[0x30, 0x00]));
    }
    if let Some(first) = list.first().cloned()
        && recipe.breaks()
    {
        list.push(first);
    }
    if list.is_empty() {
        recipe.spoil();
    }
    let sequence = sequence(recipe, &list);
    element(recipe, 0xa3, &sequence)
}

fn extension(recipe: &mut Recipe<'_>, id: u8, is_critical: bool, value: &[u8]) -> Vec<u8> {
    let id = element(recipe, OBJECT_IDENTIFIER, &[0x55, 0x1d, id]);
    let critical = match is_critical {
        true if recipe.breaks() => element(recipe, BOOLEAN, &[1]),
        true => element(recipe, BOOLEAN, &[0xff]),
        // DER never writes a default.
        false if recipe.breaks() => element(recipe, BOOLEAN, &[0]),
        false => Vec::new(),
    };
    let value = element(recipe, OCTET_STRING, value);
    sequence(recipe, &[id, critical, value])
}

fn basic_constraints(recipe: &mut Recipe<'_>) -> Vec<u8> {
    let content = match recipe.number(0..=2) {
        0 => Vec::new(),
        1 => element(recipe, BOOLEAN, &[0xff]),
        _ => {
            let authority = element(recipe, BOOLEAN, &[0xff]);
            let length = recipe.number(0..=127) as u8;
            let length = if recipe.breaks() {
                vec![0x02, 0x01, 0x80 | length]
            } else {
                element(recipe, INTEGER, &[length])
            };
            [authority, length].concat()
        }
    };
    // A path length without cA; cA written though it is the default.
    let content = if recipe.breaks() {
        recipe.pick(&[vec![0x02, 0x01, 0x00], vec![0x01, 0x01, 0x00]])
    } else {
        content
    };
    sequence(recipe, &[content])
}

/// X.690 section 11.2.2: no zero bit at the end; RFC 5280 section 4.2.1.3: at least one bit.
fn key_usage(recipe: &mut Recipe<'_>) -> Vec<u8> {
    let first = recipe.number(1..=255) as u8;
    let mut content = vec![first.trailing_zeros() as u8, first];
    if recipe.seldom() {
        content = vec![7, first, 0x80];
    }
    if recipe.breaks() {
        content = recipe.pick(&[
            vec![],
            vec![0],
            vec![0, 0],
            vec![8, 1],
            vec![0, 0x80],
            vec![0, 1, 0x80],
            vec![7, 1, 0x80, 0],
        ]);
    }
    element(recipe, BIT_STRING, &content)
}

/// 2.5.4.3
const COMMON_NAME: u8 = 3;
/// 2.5.29.19, 2.5.29.15 and 2.5.29.37
const BASIC_CONSTRAINTS: u8 = 0x13;
const KEY_USAGE: u8 = 0x0f;
const EXTENDED_KEY_USAGE: u8 = 0x25;
