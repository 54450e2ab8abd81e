//! Writes DER (X.690) by a recipe that may break its rules.

use crate::recipe::Recipe;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// One element with its length in the shortest form, unless the recipe breaks that rule.
pub(crate) fn element(recipe: &mut Recipe<'_>, tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    let shortest = match length {
        0..=0x7f => 0,
        0x80..=0xff => 1,
        _ => 2,
    };
    // Four bytes of length, and the indefinite form, are read by nobody here.
    let width = if recipe.breaks() { recipe.size(shortest + 1..=4) } else { shortest };
    if width == 0 {
        out.push(length as u8);
    } else {
        out.push(0x80 | width as u8);
        out.extend_from_slice(&(length as u32).to_be_bytes()[4 - width..]);
    }
    out.extend_from_slice(content);
    out
}

/// A sequence of elements that are written already.
pub(crate) fn sequence(recipe: &mut Recipe<'_>, parts: &[Vec<u8>]) -> Vec<u8> {
    element(recipe, SEQUENCE, &parts.concat())
}
