//! A moment, as both the documents and the callers write it.

use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z, the unit of a document's `timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// A moment from milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for UnixMillis {
    /// RFC 3339 in UTC, to the millisecond; years beyond 9999 as plain milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, in_day) = (self.0 / DAY_MS, self.0 % DAY_MS);
        let Some((year, month, day)) = civil_from_days(days) else {
            return write!(f, "{} ms after 1970", self.0);
        };
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, milli) = (in_day / 1_000 % 60, in_day % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// The moment a UTC calendar date and time of day name, or `None` when there is no such moment at or after 1970.
///
/// Leap seconds do not exist in X.509 times (RFC 5280 section 4.1.2.5), so `second` ends at 59.
pub(crate) fn from_civil(
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
) -> Option<UnixMillis> {
    if !(1970..=9999).contains(&year) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let lengths = month_lengths(year);
    let months_before = (month as usize).checked_sub(1)?;
    if day == 0 || day > *lengths.get(months_before)? {
        return None;
    }
    let in_year: u32 = lengths.iter().take(months_before).sum::<u32>() + day - 1;
    let days = days_before_year(year) + u64::from(in_year);
    let seconds = u64::from(hour * 3600 + minute * 60 + second);
    Some(UnixMillis(days * DAY_MS + seconds * 1000))
}

fn civil_from_days(days: u64) -> Option<(u32, u32, u32)> {
    if days >= days_before_year(10_000) {
        return None;
    }
    let mut year = 1970 + u32::try_from(days / 366).ok()?;
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    let mut day = u32::try_from(days - days_before_year(year)).ok()?;
    for (index, length) in (1..).zip(month_lengths(year)) {
        if day < length {
            return Some((year, index, day + 1));
        }
        day -= length;
    }
    None
}

/// Days from 1970-01-01 to the first of January of `year`.
fn days_before_year(year: u32) -> u64 {
    let leap_days = |y: u32| u64::from(y / 4 - y / 100 + y / 400);
    u64::from(year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
}

fn month_lengths(year: u32) -> [u32; 12] {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

const DAY_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_moments_name_each_other() {
        for (civil, millis, text) in [
            ((1970, 1, 1, 0, 0, 0), 0, "1970-01-01T00:00:00.000Z"),
            ((2000, 2, 29, 12, 0, 1), 951_825_601_000, "2000-02-29T12:00:01.000Z"),
            ((2026, 8, 3, 19, 19, 53), 1_785_784_793_000, "2026-08-03T19:19:53.000Z"),
            ((2049, 10, 28, 14, 28, 5), 2_519_044_085_000, "2049-10-28T14:28:05.000Z"),
            ((9999, 12, 31, 23, 59, 59), 253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
        ] {
            let (year, month, day, hour, minute, second) = civil;
            let moment = from_civil(year, month, day, hour, minute, second);
            assert_eq!(moment, Some(UnixMillis(millis)), "{text}");
            assert_eq!(UnixMillis(millis).to_string(), text);
        }
    }

    #[test]
    fn every_day_of_eighty_centuries_reads_back() {
        for days in 0..days_before_year(10_000) {
            let (year, month, day) = civil_from_days(days).unwrap();
            assert_eq!(from_civil(year, month, day, 0, 0, 0), Some(UnixMillis(days * DAY_MS)));
        }
        assert_eq!(civil_from_days(days_before_year(10_000)), None);
        assert_eq!(UnixMillis(u64::MAX).to_string(), "18446744073709551615 ms after 1970");
    }

    #[test]
    fn impossible_dates_are_none() {
        for (y, mo, d, h, mi, s) in [
            (1969, 12, 31, 0, 0, 0),
            (2023, 2, 29, 0, 0, 0),
            (2100, 2, 29, 0, 0, 0),
            (2024, 0, 1, 0, 0, 0),
            (2024, 13, 1, 0, 0, 0),
            (2024, 4, 31, 0, 0, 0),
            (2024, 1, 0, 0, 0, 0),
            (2024, 1, 1, 24, 0, 0),
            (2024, 1, 1, 0, 60, 0),
            (2024, 1, 1, 0, 0, 60),
            (10_000, 1, 1, 0, 0, 0),
        ] {
            assert_eq!(from_civil(y, mo, d, h, mi, s), None, "{y}-{mo}-{d} {h}:{mi}:{s}");
        }
    }
}
