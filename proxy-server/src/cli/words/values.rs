//! Words that become something else when they are read.

use std::{fmt, str::FromStr, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    policy::{WorkloadName, check_name},
    store::UnixMs,
};

/// A workload's name.
pub(in crate::cli) type WorkloadPath = WorkloadName;

/// `workload/measurement`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct MeasurementPath {
    pub(in crate::cli) workload: WorkloadName,
    pub(in crate::cli) name: String,
}

impl FromStr for MeasurementPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (workload, name) = text.split_once('/').ok_or("expected WORKLOAD/NAME, as payments/v1.2")?;
        let workload = workload.parse().map_err(|error| format!("the workload: {error}"))?;
        check_name(name).map_err(|error| format!("the measurement: {error}"))?;
        Ok(Self { workload, name: name.to_owned() })
    }
}

impl fmt::Display for MeasurementPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.workload, self.name)
    }
}

/// An id as the lists print it: hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct ShortId(String);

impl FromStr for ShortId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if digits && (16..=32).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected an id as the list prints it: 16 to 32 hexadecimal digits")
        }
    }
}

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A time span: `500ms`, `10s`, `5m`, `12h`, `90d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Span(Duration);

impl Span {
    pub(in crate::cli) fn duration(self) -> Duration {
        self.0
    }

    pub(in crate::cli) fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(NOT_A_SPAN.to_owned()),
        };
        let number: u64 = number.parse().map_err(|_| NOT_A_SPAN)?;
        number.checked_mul(millis).map(Duration::from_millis).map(Self).ok_or_else(|| NOT_A_SPAN.to_owned())
    }
}

/// As short as it can be said.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.millis() {
            millis if millis.is_multiple_of(1_000) => write!(f, "{}s", millis / 1_000),
            millis => write!(f, "{millis}ms"),
        }
    }
}

/// A moment: RFC 3339, or a time span from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Moment {
    At(OffsetDateTime),
    By(Span),
}

impl Moment {
    /// RFC 3339, as the API takes it; a span is from now on.
    pub(in crate::cli) fn ahead(self, now: UnixMs) -> String {
        self.written(|span| now.0.saturating_add(span))
    }

    /// The same; a span is how long ago.
    pub(in crate::cli) fn ago(self, now: UnixMs) -> String {
        self.written(|span| now.0.saturating_sub(span).max(0))
    }

    fn written(self, place: impl FnOnce(i64) -> i64) -> String {
        match self {
            // The parts came from RFC 3339, so they can be written that way again.
            Self::At(at) => at.format(&Rfc3339).unwrap_or_default(),
            Self::By(span) => UnixMs(place(i64::try_from(span.millis()).unwrap_or(i64::MAX))).to_string(),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = text.parse() {
            return Ok(Self::By(span));
        }
        let at = OffsetDateTime::parse(text, &Rfc3339);
        at.map(Self::At)
            .map_err(|_| "expected a time as 2026-11-22T03:04:05Z (RFC 3339), or a span as 90d".to_owned())
    }
}

/// `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Label {
    pub(in crate::cli) key: String,
    pub(in crate::cli) value: String,
}

impl FromStr for Label {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err("expected KEY=VALUE, as team=payments"),
        }
    }
}

const NOT_A_SPAN: &str = "expected a number and a unit, as 500ms, 10s, 5m, 12h or 90d";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_has_a_workload_and_a_name() {
        let path = "payments/v1.2".parse::<MeasurementPath>().unwrap();
        assert_eq!((path.workload.as_str(), path.name.as_str()), ("payments", "v1.2"));
        for bad in ["payments", "/v1", "payments/", "a/b/c", "", "a/B", "A/b", "a/..%2f", "a/b?c", "a/b c"] {
            assert!(bad.parse::<MeasurementPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_have_a_unit() {
        for (text, millis) in
            [("0s", 0), ("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("90d", 7_776_000_000)]
        {
            assert_eq!(text.parse::<Span>().unwrap().millis(), millis, "{text}");
        }
        for bad in [
            "",
            "1",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1s1",
            "99999999999999999999s",
            "18446744073709551615d",
            "+1s",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        assert_eq!("1500ms".parse::<Span>().unwrap().to_string(), "1500ms");
        assert_eq!("2m".parse::<Span>().unwrap().to_string(), "120s");
    }

    #[test]
    fn moments_are_absolute_or_a_span_away() {
        let moment = |text: &str| text.parse::<Moment>().unwrap();
        assert_eq!(moment("1d").ahead(UnixMs(0)), "1970-01-02T00:00:00.000Z");
        assert_eq!(moment("1s").ago(UnixMs(3_000)), "1970-01-01T00:00:02.000Z");
        assert_eq!(moment("2026-11-22T03:04:05+01:00").ago(UnixMs(0)), "2026-11-22T03:04:05+01:00");
        for bad in ["", "tomorrow", "2026-11-22", "2026-11-22T03:04:05", "2026-02-30T00:00:00Z"] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_and_ids() {
        let label = "a=b=c".parse::<Label>().unwrap();
        assert_eq!((label.key.as_str(), label.value.as_str()), ("a", "b=c"));
        assert!("=b".parse::<Label>().is_err() && "ab".parse::<Label>().is_err());
        assert!("0123456789abcdef".parse::<ShortId>().is_ok());
        for bad in ["", "0123456789abcde", "0123456789ABCDEF", "../../../../workloads", &"0".repeat(33)] {
            assert!(bad.parse::<ShortId>().is_err(), "{bad}");
        }
    }
}
