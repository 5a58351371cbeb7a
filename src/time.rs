//! Points in time, as events carry them: RFC 3339, UTC, exactly six decimals, `Z`.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in whole microseconds since 1970-01-01T00:00:00Z, between the years 0000 and 9999.
///
/// Its text is always `YYYY-MM-DDThh:mm:ss.ffffffZ` (27 bytes), so that text order is time order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text that is no timestamp: of the one form that events carry, or of those that people type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no timestamp: {wanted}", crate::text::visible(text))]
pub struct InvalidTimestamp {
    text: String,
    wanted: &'static str,
}

impl InvalidTimestamp {
    fn new(text: &str, wanted: &'static str) -> Self {
        Self { text: text.chars().take(64).collect(), wanted }
    }
}

/// What events carry.
const CANONICAL: &str = "RFC 3339 in UTC with six decimals is needed, such as 2026-01-31T09:30:00.000000Z";
/// What people type.
const LENIENT: &str = "a date is needed, such as 2026-01-31, or an RFC 3339 time, such as 2026-01-31T09:30:00Z";

const YEAR_0000: i64 = -62_167_219_200_000_000;
const YEAR_9999_END: i64 = 253_402_300_799_999_999;

impl Timestamp {
    /// The length of the text, in bytes.
    pub const TEXT_LEN: usize = 27;

    /// Now, by this machine's clock; a clock that is beyond the years 0000 to 9999 is taken to show their end.
    #[must_use]
    pub fn now() -> Self {
        Self::of(SystemTime::now())
    }

    fn of(time: SystemTime) -> Self {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let micros = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => micros(since),
            Err(error) => -micros(error.duration()),
        };
        Self(micros.clamp(YEAR_0000, YEAR_9999_END))
    }

    /// From microseconds since the Unix epoch; `None` outside the years 0000 to 9999.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Option<Self> {
        if micros >= YEAR_0000 && micros <= YEAR_9999_END { Some(Self(micros)) } else { None }
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Reads any RFC 3339 time with an offset (`2026-01-31T10:30:00+01:00`), or a bare date, which is its midnight in
    /// UTC. For what people type; events take the one canonical form only ([`FromStr`]).
    ///
    /// # Errors
    /// See [`InvalidTimestamp`].
    pub fn parse_lenient(text: &str) -> Result<Self, InvalidTimestamp> {
        let invalid = || InvalidTimestamp::new(text, LENIENT);
        if let Ok(date) = text.parse::<jiff::civil::Date>()
            && text.len() == 10
        {
            let midnight: jiff::Timestamp = format!("{date}T00:00:00Z").parse().map_err(|_| invalid())?;
            return Self::from_unix_micros(midnight.as_microsecond()).ok_or_else(invalid);
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
        Self::from_unix_micros(time.as_microsecond()).ok_or_else(invalid)
    }

    /// The day in UTC, `YYYY-MM-DD`.
    #[must_use]
    pub fn date(self) -> String {
        let mut text = self.to_string();
        text.truncate("YYYY-MM-DD".len());
        text
    }

    /// The canonical text, as bytes, without allocation.
    #[must_use]
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        let mut out = *b"0000-00-00T00:00:00.000000Z";
        let (days, of_day) = (self.0.div_euclid(86_400_000_000), self.0.rem_euclid(86_400_000_000));
        let (year, month, day) = civil_from_days(days);
        digits(&mut out[0..4], year);
        digits(&mut out[5..7], month);
        digits(&mut out[8..10], day);
        digits(&mut out[11..13], of_day / 3_600_000_000);
        digits(&mut out[14..16], of_day / 60_000_000 % 60);
        digits(&mut out[17..19], of_day / 1_000_000 % 60);
        digits(&mut out[20..26], of_day % 1_000_000);
        out
    }
}

fn digits(out: &mut [u8], mut value: i64) {
    for byte in out.iter_mut().rev() {
        // value is non-negative here, so the remainder is 0..=9.
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Days since 1970-01-01 to (year, month, day), by the era arithmetic of the proleptic Gregorian calendar.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// The reverse of [`Timestamp::to_text`], for any digits.
fn parse_canonical(text: &[u8]) -> Option<Timestamp> {
    if text.len() != Timestamp::TEXT_LEN {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        text.get(range)?
            .iter()
            .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
    };
    let days = days_from_civil(number(0..4)?, number(5..7)?, number(8..10)?);
    let seconds = (days * 24 + number(11..13)?) * 3_600 + number(14..16)? * 60 + number(17..19)?;
    Timestamp::from_unix_micros(seconds * 1_000_000 + number(20..26)?)
}

/// (year, month, day) to days since 1970-01-01: the reverse of [`civil_from_days`].
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let month_index = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month_index + 2) / 5 + day - 1;
    let year_of_era = year.rem_euclid(400);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_text();
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let invalid = || InvalidTimestamp::new(text, CANONICAL);
        let time = parse_canonical(text.as_bytes()).ok_or_else(invalid)?;
        // What is out of range, such as the 30th of February, comes back as another text.
        if time.to_text() == text.as_bytes() { Ok(time) } else { Err(invalid()) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_text();
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = crate::text::borrowed_or_owned(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_clock_that_is_far_off_still_shows_a_time() {
        let second = |seconds| Duration::from_secs(seconds);
        assert_eq!(Timestamp::of(UNIX_EPOCH + second(1)).to_string(), "1970-01-01T00:00:01.000000Z");
        assert_eq!(Timestamp::of(UNIX_EPOCH - second(1)).to_string(), "1969-12-31T23:59:59.000000Z");
        assert_eq!(Timestamp::of(UNIX_EPOCH + second(1 << 40)).to_string(), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn one_form_only() {
        let text = "2026-01-31T09:30:00.000250Z";
        assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        assert_eq!(text.parse::<Timestamp>().unwrap().date(), "2026-01-31");
        for bad in [
            "2026-01-31T09:30:00Z",
            "2026-01-31T09:30:00.00025Z",
            "2026-01-31t09:30:00.000250z",
            "2026-01-31T10:30:00.000250+01:00",
            "2026-02-30T09:30:00.000250Z",
            "2026-01-31T23:59:60.000000Z",
            "2026-01-31T24:00:00.000000Z",
            "2026-00-31T09:30:00.000250Z",
            "2026-13-31T09:30:00.000250Z",
            "2026-01-00T09:30:00.000250Z",
            "2026-01-31 09:30:00.000250Z",
            "2026-01-31T09:30:00,000250Z",
            "+026-01-31T09:30:00.000250Z",
            "",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn agrees_with_jiff_over_the_whole_range() {
        let mut micros = YEAR_0000;
        while micros < YEAR_9999_END {
            let ours = Timestamp::from_unix_micros(micros).unwrap().to_string();
            let theirs = jiff::Timestamp::from_microsecond(micros).unwrap();
            assert_eq!(ours, format!("{theirs:.6}"));
            assert_eq!(ours.parse::<Timestamp>().unwrap().unix_micros(), micros);
            micros += 86_400_000_000 * 13 + 3_661_000_001;
        }
    }

    #[test]
    fn people_may_type_dates_and_offsets() {
        assert_eq!(Timestamp::parse_lenient("2026-01-31").unwrap().to_string(), "2026-01-31T00:00:00.000000Z");
        assert_eq!(
            Timestamp::parse_lenient("2026-01-31T10:30:00+01:00").unwrap().to_string(),
            "2026-01-31T09:30:00.000000Z"
        );
    }
}
