//! Texts that become something else when they are read.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, RefOr, Schema, SchemaFormat,
        schema::{ObjectBuilder, Type},
    },
};

use crate::store::UnixMs;

/// A value that is written as text: read with [`FromStr`], written with `Display`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::admin) struct Text<T>(pub(in crate::admin) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        text.parse()
            .map(Self)
            .map_err(|error| D::Error::custom(format_args!("{error}; found {:?}", cut(&text))))
    }
}

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// A moment: RFC 3339, milliseconds, written in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) struct Moment(pub(in crate::admin) UnixMs);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| "expected a time as 2026-11-22T03:04:05Z (RFC 3339)".to_owned())?;
        match i64::try_from(at.unix_timestamp_nanos() / 1_000_000) {
            Ok(millis) if millis >= 0 => Ok(Self(UnixMs(millis))),
            _ => Err("expected a time from 1970 on".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Text::deserialize(from).map(|Text(moment)| moment)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl ToSchema for Moment {}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339; answers have milliseconds and UTC"))
            .into()
    }
}

/// Words of people: 1 to 500 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin) struct Prose(String);

impl Prose {
    pub(in crate::admin) fn into_string(self) -> String {
        self.0
    }
}

impl FromStr for Prose {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = !text.is_empty() && text.chars().take(PROSE + 1).count() <= PROSE;
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected 1 to 500 characters without control characters")
        }
    }
}

impl<'de> Deserialize<'de> for Prose {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Text::deserialize(from).map(|Text(prose)| prose)
    }
}

impl ToSchema for Prose {}

impl PartialSchema for Prose {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(PROSE))
            // Unicode's control characters (category Cc).
            .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]*$"))
            .into()
    }
}

/// A network, or one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin) struct NetworkText(pub(in crate::admin) IpNet);

impl FromStr for NetworkText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        network.map(Self).ok_or("expected an address or a network, as \"127.0.0.0/8\"")
    }
}

/// A whole number that some programs write as `60.0`: the same number in JSON
/// (RFC 8259 section 6), and an integer in JSON Schema.
pub(in crate::admin) fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<T, D::Error> {
    number(serde_json::Number::deserialize(from)?).ok_or_else(not_whole)
}

/// The same, or null.
pub(in crate::admin) fn whole_or_null<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let written = Option::<serde_json::Number>::deserialize(from)?;
    written.map(|written| number(written).ok_or_else(not_whole)).transpose()
}

fn number<T: TryFrom<u64>>(number: serde_json::Number) -> Option<T> {
    let as_float = number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..=EXACT).contains(float));
    let number = number.as_u64().or_else(|| as_float.map(|float| float as u64));
    number.and_then(|number| T::try_from(number).ok())
}

fn not_whole<E: Error>() -> E {
    E::custom("expected a whole number that is not negative and not too large")
}

/// Foreign text in an error, in its first characters.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Up to 2⁵³ every whole number is a float of its own (RFC 7493 section 2.2).
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A reason, a description.
const PROSE: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_milliseconds_and_an_offset() {
        let moment = |text: &str| text.parse::<Moment>().map(|Moment(at)| at.0);
        assert_eq!(moment("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(moment("2026-08-03T21:19:53.5+02:00"), Ok(1_785_784_793_500));
        assert_eq!(
            serde_json::to_string(&Moment(UnixMs(1_785_784_793_500))).unwrap(),
            "\"2026-08-03T19:19:53.500Z\""
        );
        for bad in ["", "2026-08-03", "1969-12-31T23:59:59Z", "2026-08-03T19:19:53", "2026-02-30T00:00:00Z"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_have_two_spellings_and_others_none() {
        let read = |text: &str| whole::<_, u32>(&mut serde_json::Deserializer::from_str(text)).ok();
        assert_eq!(
            (read("60"), read("60.0"), read("6e1"), read("0")),
            (Some(60), Some(60), Some(60), Some(0))
        );
        for bad in ["60.5", "-1", "-1.0", "4294967296", "1e300", "\"60\"", "null", "true"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn words_of_people_break_no_line() {
        assert!("a leaked key: Ünïcode is fine".parse::<Prose>().is_ok());
        for bad in ["", "a\nb", "\u{85}", "\0", &"x".repeat(501)] {
            assert!(bad.parse::<Prose>().is_err(), "{bad:?}");
        }
    }
}
