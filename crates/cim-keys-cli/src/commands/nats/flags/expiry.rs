//! Until when something is good: a date, a time from now, or for ever.

use std::str::FromStr;

use cim_keys::time::Timestamp;
use clap::Args;

/// When a token ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It does not.
    Never,
    /// Then.
    At(Timestamp),
}

impl Expiry {
    /// The time, if there is one.
    pub(crate) const fn time(self) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::At(time) => Some(time),
        }
    }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("never") {
            return Ok(Self::Never);
        }
        if let Some(seconds) = seconds(text) {
            return from_now(seconds).map(Self::At);
        }
        let advice = "a date (2027-01-31), an RFC 3339 time, a time from now (30d, 12h, 15m), or never";
        Timestamp::parse_lenient(text).map(Self::At).map_err(|_| format!("{advice} is needed"))
    }
}

/// Until when an old key stays good beside the new one.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OverlapArgs {
    /// Let the old key be good for so long beside the new one: 24h, 7d; `nats due` ends it then [default: it ends at once]
    #[arg(long, value_name = "DURATION", value_parser = overlap, conflicts_with = "revoke_at")]
    overlap: Option<Timestamp>,
    /// Let the old key be good until then: a date or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_lenient)]
    revoke_at: Option<Timestamp>,
}

impl OverlapArgs {
    /// Until when, if at all.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.overlap.or(self.revoke_at)
    }
}

fn overlap(text: &str) -> Result<Timestamp, String> {
    from_now(seconds(text).ok_or("write it as 24h or 7d")?)
}

fn from_now(seconds: i64) -> Result<Timestamp, String> {
    let micros = seconds.checked_mul(1_000_000).and_then(|micros| Timestamp::now().unix_micros().checked_add(micros));
    micros.and_then(Timestamp::from_unix_micros).ok_or_else(|| "that is beyond the year 9999".to_owned())
}

/// A span of time that is some, in seconds.
pub(crate) fn span(text: &str) -> Result<u64, String> {
    let seconds = seconds(text).and_then(|seconds| u64::try_from(seconds).ok());
    seconds.filter(|seconds| *seconds > 0).ok_or_else(|| "write it as 90s, 15m or 8h".to_owned())
}

/// Seconds of a number with s, m, h, d, w or y.
fn seconds(text: &str) -> Option<i64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "y" => 365 * 86_400,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_from_now() {
        assert_eq!("never".parse(), Ok(Expiry::Never));
        assert_eq!(seconds("2w"), Some(14 * 86_400));
        assert!(matches!("2030-01-31".parse(), Ok(Expiry::At(_))));
        assert!(matches!("36h".parse(), Ok(Expiry::At(_))));
        for wrong in ["", "h", "3", "3x", "99999999999999999y", "tomorrow"] {
            assert!(wrong.parse::<Expiry>().is_err(), "{wrong}");
        }
    }
}
