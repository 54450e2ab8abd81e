//! Documents built by a recipe that knows whether they are in order.

use super::check;
use super::signed::SIGNED;
use crate::cbor::{self, ARRAY, BYTES, MAP, NEGATIVE, NULL, TAG, TEXT, UNSIGNED};
use crate::recipe::Recipe;
use countersign_verifier::Field;
use std::collections::BTreeMap;

/// A document from pieces, each of which may be in order or not. It is accepted exactly when all are in order, and then says
/// what was written. (No such document is ever verified: the good signatures at hand are over other payloads.)
pub fn structured(bytes: &[u8]) {
    let mut recipe = Recipe::new(bytes);
    let mut claims = Claims::default();
    let document = document(&mut recipe, &mut claims);
    let Some(read) = check(&document) else {
        assert!(!recipe.is_in_order(), "a document in order is refused");
        return;
    };
    assert!(recipe.is_in_order(), "a document that breaks a rule is accepted");
    assert_eq!(read.module_id(), claims.module_id);
    assert_eq!(read.timestamp().as_millis(), claims.timestamp);
    assert_eq!(
        read.pcrs().iter().map(|(index, pcr)| (index.get(), *pcr.as_bytes())).collect::<BTreeMap<_, _>>(),
        claims.pcrs
    );
    assert_eq!(read.certificate(), claims.certificate);
    assert_eq!(read.cabundle(), claims.cabundle);
    assert_eq!(read.public_key(), claims.optional(Field::PublicKey));
    assert_eq!(read.user_data(), claims.optional(Field::UserData));
    assert_eq!(read.nonce(), claims.optional(Field::Nonce));
}

/// What was written, to be compared with what was read.
#[derive(Default)]
struct Claims {
    module_id: String,
    timestamp: u64,
    pcrs: BTreeMap<u8, [u8; 48]>,
    certificate: Vec<u8>,
    cabundle: Vec<Vec<u8>>,
    optional: BTreeMap<&'static str, Vec<u8>>,
}

impl Claims {
    fn optional(&self, field: Field) -> Option<&[u8]> {
        self.optional.get(field.as_str()).map(Vec::as_slice)
    }
}

fn document(recipe: &mut Recipe<'_>, claims: &mut Claims) -> Vec<u8> {
    let payload = payload(recipe, claims);
    if !(1..=16_384).contains(&payload.len()) {
        recipe.spoil();
    }
    let mut items = Vec::new();
    let protected = if recipe.breaks() { recipe.pick(ODD_PROTECTED) } else { &[0xa1, 0x01, 0x38, 0x22] };
    cbor::string(recipe, &mut items, BYTES, protected);
    let unprotected = if recipe.breaks() { recipe.pick(ODD_UNPROTECTED) } else { &[0xa0] };
    items.extend_from_slice(unprotected);
    cbor::string(recipe, &mut items, BYTES, &payload);
    let signature =
        if recipe.breaks() { recipe.run(97..=200) } else { SIGNED[0][SIGNED[0].len() - 96..].to_vec() };
    cbor::string(recipe, &mut items, BYTES, &signature);

    let mut out = Vec::new();
    match recipe.number(0..=7) {
        1 => cbor::head(recipe, &mut out, TAG, 18),
        _ if recipe.breaks() => {
            let tag = recipe.number(19..=u64::MAX);
            cbor::head(recipe, &mut out, TAG, tag);
        }
        _ => {}
    }
    cbor::definite(recipe, &mut out, ARRAY, 4, &items);
    if recipe.breaks() {
        // Zeros only: a break here could mend a map that lacks its own.
        out.extend(vec![0; recipe.size(1..=9)]);
    }
    out
}

fn payload(recipe: &mut Recipe<'_>, claims: &mut Claims) -> Vec<u8> {
    let (mut items, mut count) = (Vec::new(), 0);
    // Any order is in order; AWS's comes first.
    let start = recipe.size(0..=Field::ALL.len() - 1);
    for field in Field::ALL.into_iter().cycle().skip(start).take(Field::ALL.len()) {
        let is_optional = matches!(field, Field::PublicKey | Field::UserData | Field::Nonce);
        if is_optional && recipe.seldom() || !is_optional && recipe.breaks() {
            continue;
        }
        for _ in 0..if recipe.breaks() { 2 } else { 1 } {
            cbor::string(recipe, &mut items, TEXT, field.as_str().as_bytes());
            value(recipe, &mut items, field, claims);
            count += 1;
        }
    }
    if recipe.breaks() {
        let key = recipe.pick(ODD_KEYS);
        items.extend_from_slice(key);
        items.push(NULL);
        count += 1;
    }
    let mut out = Vec::new();
    cbor::either(recipe, &mut out, MAP, count, &items);
    if recipe.breaks() {
        out.extend(vec![0; recipe.size(1..=9)]);
    }
    out
}

fn value(recipe: &mut Recipe<'_>, out: &mut Vec<u8>, field: Field, claims: &mut Claims) {
    if recipe.breaks() {
        let odd = recipe.pick(ODD_VALUES);
        out.extend_from_slice(odd);
        return;
    }
    match field {
        Field::ModuleId => {
            let length = if recipe.breaks() { recipe.pick(&[0, 257, 1_000]) } else { recipe.size(1..=256) };
            claims.module_id = recipe.pick(&["i", "é", "\u{7}", "-"]).chars().cycle().take(length).collect();
            if claims.module_id.len() > 256 {
                recipe.spoil();
            }
            if recipe.breaks() {
                claims.module_id = "i-1234567890abcdef0-tpm0000000000000000".to_owned();
            }
            cbor::string(recipe, out, TEXT, claims.module_id.as_bytes());
        }
        Field::Digest => {
            let digest: &str =
                if recipe.breaks() { recipe.pick(&["SHA512", "sha384", "SHA384\0", ""]) } else { "SHA384" };
            cbor::string(recipe, out, TEXT, digest.as_bytes());
        }
        Field::Timestamp => {
            claims.timestamp = if recipe.breaks() { 0 } else { recipe.number(1..=u64::MAX) };
            let major = if recipe.breaks() { NEGATIVE } else { UNSIGNED };
            cbor::head(recipe, out, major, claims.timestamp);
        }
        Field::Pcrs => pcrs(recipe, out, claims),
        Field::Certificate => {
            claims.certificate = certificate(recipe);
            cbor::string(recipe, out, BYTES, &claims.certificate);
        }
        Field::CaBundle => {
            let count = if recipe.breaks() { recipe.pick(&[0, 11]) } else { recipe.size(1..=10) };
            claims.cabundle = (0..count).map(|_| certificate(recipe)).collect();
            let mut items = Vec::new();
            for der in &claims.cabundle {
                cbor::string(recipe, &mut items, BYTES, der);
            }
            cbor::either(recipe, out, ARRAY, count, &items);
        }
        Field::PublicKey | Field::UserData | Field::Nonce => {
            if recipe.number(0..=1) == 0 {
                out.push(NULL);
                return;
            }
            let bytes = if recipe.breaks() { recipe.run(1_025..=2_000) } else { recipe.run(0..=1_024) };
            cbor::string(recipe, out, BYTES, &bytes);
            claims.optional.insert(field.as_str(), bytes);
        }
    }
}

fn pcrs(recipe: &mut Recipe<'_>, out: &mut Vec<u8>, claims: &mut Claims) {
    let mut indexes: Vec<u64> = (0..=if recipe.seldom() { 31 } else { recipe.number(2..=20) }).collect();
    if recipe.seldom() {
        // A sparse map is legal, with 0, 1 and 2 in it.
        indexes.retain(|index| *index < 3 || recipe.number(0..=1) == 0);
    }
    if recipe.breaks() {
        indexes.remove(recipe.size(0..=2));
    }
    if recipe.breaks() {
        // One that stands there already, or one that no set has.
        let choices = [indexes.first().copied().unwrap_or(32), 32, 255, 256, u64::MAX];
        indexes.push(recipe.pick(&choices));
    }
    let mut items = Vec::new();
    for &index in &indexes {
        cbor::head(recipe, &mut items, UNSIGNED, index);
        let length = if recipe.breaks() { recipe.pick(&[0, 32, 47, 49, 64]) } else { 48 };
        let value = recipe.run(length..=length);
        cbor::string(recipe, &mut items, BYTES, &value);
        if let (Ok(index), Ok(value)) = (u8::try_from(index), value.try_into()) {
            claims.pcrs.insert(index, value);
        }
    }
    cbor::either(recipe, out, MAP, indexes.len(), &items);
}

/// Anything that may be a certificate to the document's reader: genuine DER as often as not.
fn certificate(recipe: &mut Recipe<'_>) -> Vec<u8> {
    if recipe.breaks() {
        return vec![0x30; recipe.pick(&[0, 1_025])];
    }
    match recipe.size(0..=2 * CERTIFICATES.len()) {
        chosen if chosen < CERTIFICATES.len() => CERTIFICATES[chosen].to_vec(),
        _ => recipe.run(1..=1_024),
    }
}

/// The chain of the synthetic documents, from the root to the leaf.
const CERTIFICATES: &[&[u8]] = &[
    include_bytes!("../../seeds/certificate_raw/S00_baseline.1.der"),
    include_bytes!("../../seeds/certificate_raw/S00_baseline.2.der"),
    include_bytes!("../../seeds/certificate_raw/S00_baseline.3.der"),
    include_bytes!("../../seeds/certificate_raw/S00_baseline.4.der"),
    include_bytes!("../../seeds/certificate_raw/S00_baseline.0.der"),
];

/// Empty; ES512; `alg` twice; `{1: -35, 4: h''}`; `{1: "ES384"}`; a byte too many.
const ODD_PROTECTED: &[&[u8]] = &[
    &[],
    &[0xa0],
    &[0xa1, 0x01, 0x38, 0x23],
    &[0xa2, 0x01, 0x38, 0x22, 0x01, 0x38, 0x22],
    &[0xa2, 0x01, 0x38, 0x22, 0x04, 0x40],
    &[0xa1, 0x01, 0x65, b'E', b'S', b'3', b'8', b'4'],
    &[0xa1, 0x01, 0x38, 0x22, 0x00],
];

/// Null; an empty array; `{4: h''}`; an indefinite map; a tagged one.
const ODD_UNPROTECTED: &[&[u8]] = &[&[0xf6], &[0x80], &[0xa1, 0x04, 0x40], &[0xbf, 0xff], &[0xc1, 0xa0]];

/// Unknown; of NitroTPM; integer; negative; byte string; not UTF-8; a chunked one; a control character.
const ODD_KEYS: &[&[u8]] = &[
    b"\x61x",
    b"\x6dnitrotpm_pcrs",
    &[0x00],
    &[0x20],
    b"\x45nonce",
    &[0x62, 0xff, 0xfe],
    b"\x7f\x65nonce\xff",
    b"\x64\x1b[2J",
];

/// No field may hold any of these: true, undefined, a float, a tagged and a reserved thing, nested arrays, a lonely break.
const ODD_VALUES: &[&[u8]] = &[
    &[0xf5],
    &[0xf7],
    &[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
    &[0xc2, 0x41, 0x01],
    &[0x1c],
    &[0x81, 0x81, 0x81, 0x81, 0x80],
    &[0xff],
    &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];
