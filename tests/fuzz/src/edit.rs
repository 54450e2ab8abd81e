//! Small edits of bytes that were in order.

use crate::recipe::Recipe;

/// Up to four edits: a changed byte, or a stretch replaced by another one.
pub(crate) fn edits(recipe: &mut Recipe<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..recipe.size(0..=4) {
        let at = recipe.size(0..=bytes.len());
        if let Some(byte) = bytes.get_mut(at)
            && !recipe.seldom()
        {
            *byte ^= recipe.number(0..=255) as u8;
            continue;
        }
        let until = at + recipe.size(0..=(bytes.len() - at).min(LONGEST));
        let inserted = recipe.own::<LONGEST>();
        let length = recipe.size(0..=LONGEST);
        bytes.splice(at..until, inserted.into_iter().take(length));
    }
}

const LONGEST: usize = 8;
