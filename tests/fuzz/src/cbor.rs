//! Writes CBOR (RFC 8949) by a recipe that may break the rules of a document's encoding.

use crate::recipe::Recipe;

pub(crate) const UNSIGNED: u8 = 0x00;
pub(crate) const NEGATIVE: u8 = 0x20;
pub(crate) const BYTES: u8 = 0x40;
pub(crate) const TEXT: u8 = 0x60;
pub(crate) const ARRAY: u8 = 0x80;
pub(crate) const MAP: u8 = 0xa0;
pub(crate) const TAG: u8 = 0xc0;
pub(crate) const NULL: u8 = 0xf6;
const INDEFINITE: u8 = 31;
const BREAK: u8 = 0xff;

/// A head in its shortest form, unless the recipe breaks that rule.
pub(crate) fn head(recipe: &mut Recipe<'_>, out: &mut Vec<u8>, major: u8, argument: u64) {
    let shortest = match argument {
        0..=23 => 0,
        24..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 3,
        _ => 4,
    };
    let width = if shortest < 4 && recipe.breaks() { recipe.size(shortest + 1..=4) } else { shortest };
    let bytes = argument.to_be_bytes();
    match width {
        0 => out.push(major | argument as u8),
        _ => {
            out.push(major | (23 + width as u8));
            out.extend_from_slice(&bytes[8 - (1 << (width - 1))..]);
        }
    }
}

/// A byte or text string in one piece, unless the recipe breaks that rule.
pub(crate) fn string(recipe: &mut Recipe<'_>, out: &mut Vec<u8>, major: u8, content: &[u8]) {
    if recipe.breaks() {
        out.push(major | INDEFINITE);
        head(recipe, out, major, content.len() as u64);
        out.extend_from_slice(content);
        out.push(BREAK);
        return;
    }
    head(recipe, out, major, content.len() as u64);
    out.extend_from_slice(content);
}

/// An array or map around items that are written already; `count` is what its head says.
pub(crate) fn definite(recipe: &mut Recipe<'_>, out: &mut Vec<u8>, major: u8, count: usize, items: &[u8]) {
    let told = if recipe.breaks() { count as u64 + recipe.number(1..=u64::MAX / 2) } else { count as u64 };
    head(recipe, out, major, told);
    out.extend_from_slice(items);
}

/// The same, with its length told or not: both are in order.
pub(crate) fn either(recipe: &mut Recipe<'_>, out: &mut Vec<u8>, major: u8, count: usize, items: &[u8]) {
    if recipe.number(0..=3) != 1 {
        return definite(recipe, out, major, count, items);
    }
    out.push(major | INDEFINITE);
    out.extend_from_slice(items);
    if !recipe.breaks() {
        out.push(BREAK);
    }
}
