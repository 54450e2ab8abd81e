//! Each head of RFC 8949 once where it may stand, and once where it may not.

use super::*;
use crate::refusal::Field;

const ITEM: Item = Item::Value(Field::UserData);

fn bytes(input: &[u8], max: usize) -> Result<&[u8], SyntaxRefusal> {
    let mut reader = Reader::new(input);
    let taken = reader.bytes(ITEM, 0..=max)?;
    reader.finish(ITEM)?;
    Ok(taken)
}

fn unsigned(input: &[u8]) -> Result<u64, SyntaxRefusal> {
    Reader::new(input).unsigned(ITEM)
}

#[test]
fn integers_have_one_spelling() {
    for (input, value) in [
        (&[0x00][..], 0),
        (&[0x17], 23),
        (&[0x18, 24], 24),
        (&[0x18, 0xff], 0xff),
        (&[0x19, 1, 0], 0x100),
        (&[0x1a, 0, 1, 0, 0], 0x1_0000),
        (&[0x1b, 0, 0, 0, 1, 0, 0, 0, 0], 0x1_0000_0000),
        (&[0x1b, 255, 255, 255, 255, 255, 255, 255, 255], u64::MAX),
    ] {
        assert_eq!(unsigned(input), Ok(value), "{input:02x?}");
        let short = &input[..input.len() - 1];
        assert_eq!(unsigned(short), Err(SyntaxRefusal::Truncated { item: ITEM }), "{short:02x?}");
    }
    for input in [
        &[0x18, 23][..],
        &[0x19, 0, 0xff],
        &[0x1a, 0, 0, 0xff, 0xff],
        &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(unsigned(input), Err(SyntaxRefusal::NotShortest { item: ITEM }), "{input:02x?}");
    }
}

#[test]
fn every_other_type_is_named() {
    for (input, actual) in [
        (&[0x20][..], "a negative integer"),
        (&[0x40], "a byte string"),
        (&[0x5f], "a byte string"),
        (&[0x60], "a text string"),
        (&[0x80], "an array"),
        (&[0x9f], "an array"),
        (&[0xa0], "a map"),
        (&[0xf4], "a simple value"),
        (&[0xf6], "null"),
        (&[0xf7], "a simple value"),
        (&[0xf8, 0x20], "a simple value"),
        (&[0xf9, 0, 0], "a floating-point number"),
        (&[0xfb, 0, 0, 0, 0, 0, 0, 0, 0], "a floating-point number"),
    ] {
        let expected = SyntaxRefusal::UnexpectedType { item: ITEM, expected: "an unsigned integer", actual };
        assert_eq!(unsigned(input), Err(expected), "{input:02x?}");
    }
    let tag = SyntaxRefusal::UnexpectedTag { item: ITEM, tag: 2 };
    assert_eq!(unsigned(&[0xc2, 0x41, 1]), Err(tag));
}

#[test]
fn what_rfc_8949_reserves_is_not_well_formed() {
    for initial_byte in [0x1c, 0x1d, 0x1e, 0x1f, 0x3f, 0x5c, 0xdf, 0xfc, 0xff] {
        let expected = SyntaxRefusal::NotWellFormed { item: ITEM, initial_byte };
        assert_eq!(unsigned(&[initial_byte, 0, 0]), Err(expected), "{initial_byte:02x}");
    }
}

#[test]
fn strings_come_in_one_piece_within_their_limit_and_their_bytes() {
    assert_eq!(bytes(&[0x42, 1, 2], 2), Ok(&[1, 2][..]));
    assert_eq!(bytes(&[0x40], 0), Ok(&[][..]));
    let length = |actual| Err(SyntaxRefusal::Length { item: ITEM, min: 0, max: 2, actual });
    assert_eq!(bytes(&[0x43, 1, 2, 3], 2), length(3));
    // The limit comes before the bytes: nothing of this length is looked for.
    assert_eq!(bytes(&[0x5b, 255, 255, 255, 255, 255, 255, 255, 255], 2), length(u64::MAX));
    assert_eq!(bytes(&[0x42, 1], 2), Err(SyntaxRefusal::Truncated { item: ITEM }));
    assert_eq!(bytes(&[0x41, 1, 9, 9], 2), Err(SyntaxRefusal::TrailingBytes { item: ITEM, count: 2 }));
    assert_eq!(bytes(&[0x5f, 0x41, 1, 0xff], 2), Err(SyntaxRefusal::IndefiniteLength { item: ITEM }));

    let text = |input: &'static [u8]| Reader::new(input).text(ITEM, 0..=9);
    assert_eq!(text(&[0x62, 0xc3, 0xa9]), Ok("é"));
    assert_eq!(text(&[0x61, 0xc3]), Err(SyntaxRefusal::NotUtf8 { item: ITEM }));
    assert_eq!(text(&[0x7f, 0x61, b'a', 0xff]), Err(SyntaxRefusal::IndefiniteLength { item: ITEM }));

    let or_null = |input: &'static [u8]| Reader::new(input).bytes_or_null(ITEM, 0..=9);
    assert_eq!(or_null(&[0xf6]), Ok(None));
    assert_eq!(or_null(&[0x40]), Ok(Some(&[][..])));
    assert_eq!(or_null(&[0x5f, 0xff]), Err(SyntaxRefusal::IndefiniteLength { item: ITEM }));
    assert!(matches!(or_null(&[0xf7]), Err(SyntaxRefusal::UnexpectedType { actual: "a simple value", .. })));
}

/// Counts the entries of an array of small integers.
fn count(input: &[u8], allowed: RangeInclusive<usize>) -> Result<usize, SyntaxRefusal> {
    let mut reader = Reader::new(input);
    let mut remaining = reader.array(ITEM, allowed)?;
    let mut seen = 0;
    while reader.next_entry(ITEM, &mut remaining)? {
        reader.unsigned(ITEM)?;
        seen += 1;
    }
    reader.finish(ITEM)?;
    Ok(seen)
}

#[test]
fn arrays_told_and_untold_have_the_same_limits() {
    let wrong = |actual| Err(SyntaxRefusal::Count { item: ITEM, min: 1, max: 2, actual });
    for (told, untold, expected) in [
        (&[0x80][..], &[0x9f, 0xff][..], wrong(0)),
        (&[0x81, 1], &[0x9f, 1, 0xff], Ok(1)),
        (&[0x82, 1, 2], &[0x9f, 1, 2, 0xff], Ok(2)),
        (&[0x83, 1, 2, 3], &[0x9f, 1, 2, 3, 0xff], wrong(3)),
    ] {
        assert_eq!(count(told, 1..=2), expected);
        assert_eq!(count(untold, 1..=2), expected);
    }
    assert_eq!(count(&[0x9f, 1], 1..=2), Err(SyntaxRefusal::Truncated { item: ITEM }));
    assert_eq!(count(&[0x82, 1], 1..=2), Err(SyntaxRefusal::Truncated { item: ITEM }));
    // A break where an array told its length.
    assert_eq!(
        count(&[0x82, 1, 0xff], 1..=2),
        Err(SyntaxRefusal::NotWellFormed { item: ITEM, initial_byte: 0xff })
    );
    assert_eq!(count(&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255], 1..=2), wrong(u64::MAX));
}

#[test]
fn one_tag_may_be_skipped_and_no_other() {
    let mut reader = Reader::new(&[0xd2, 0xd2, 0x01]);
    reader.skip_tag(18, ITEM).unwrap();
    assert_eq!(reader.unsigned(ITEM), Err(SyntaxRefusal::UnexpectedTag { item: ITEM, tag: 18 }));
    let mut reader = Reader::new(&[0x01]);
    reader.skip_tag(18, ITEM).unwrap();
    assert_eq!(reader.unsigned(ITEM), Ok(1));
    let mut reader = Reader::new(&[0xd8, 0x12, 0x01]);
    assert_eq!(reader.skip_tag(18, ITEM), Err(SyntaxRefusal::NotShortest { item: ITEM }));
}

#[test]
fn no_input_of_three_bytes_makes_the_reader_panic() {
    for first in 0..=255 {
        for second in 0..=255 {
            for third in [0x00, 0x17, 0x18, 0x41, 0x5f, 0x80, 0xf6, 0xff] {
                let input = [first, second, third];
                let _ = (unsigned(&input), bytes(&input, 9), count(&input, 0..=9));
                let _ = (Reader::new(&input).text(ITEM, 0..=9), Reader::new(&input).definite_map(ITEM));
            }
        }
    }
}
