//! Values as people write them: `5m`, `1h30m`, `1.5h`, `20GB`.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A length of time with its unit: `30s`, `5m`, `1h30m`, `1.5h`, `250ms`. Shown in whole numbers.
///
/// ```
/// use atlas_core::units::Duration;
/// let lease: Duration = "90s".parse().unwrap();
/// assert_eq!(lease.as_secs(), 90); // a std::time::Duration in all but its text
/// assert_eq!(lease.to_string(), "1m30s");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

impl Duration {
    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(time::Duration::from_secs(secs))
    }
}

/// Nanoseconds of each unit, the longest first.
const TIMES: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl FromStr for Duration {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let invalid =
            || InvalidUnit { text: text.to_owned(), wanted: "a time such as 30s, 5m or 1h30m" };
        let mut rest = text;
        let mut nanos = 0u128;
        let mut allowed = &TIMES[..]; // each unit once, in falling order
        if text.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let (number, unit, after) = leading(rest).ok_or_else(invalid)?;
            let at = allowed.iter().position(|(name, _)| *name == unit).ok_or_else(invalid)?;
            nanos += scaled(number, allowed[at].1).ok_or_else(invalid)?;
            (rest, allowed) = (after, &allowed[at + 1..]);
        }
        let secs = u64::try_from(nanos / 1_000_000_000).map_err(|_| invalid())?;
        let nanos = u32::try_from(nanos % 1_000_000_000).expect("less than a second");
        Ok(Self(time::Duration::new(secs, nanos)))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, unit) in TIMES {
            if rest >= unit {
                write!(f, "{}{name}", rest / unit)?;
            }
            rest %= unit;
        }
        Ok(())
    }
}

impl Deref for Duration {
    type Target = time::Duration;

    fn deref(&self) -> &time::Duration {
        &self.0
    }
}

impl From<time::Duration> for Duration {
    fn from(duration: time::Duration) -> Self {
        Self(duration)
    }
}

impl From<Duration> for time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

/// A number of bytes: `20GB` and `512MB` count in thousands, `4GiB` in 1024, a bare number is bytes.
///
/// ```
/// use atlas_core::units::Size;
/// assert_eq!("1.5GB".parse::<Size>().unwrap().bytes(), 1_500_000_000);
/// assert_eq!(Size::new(4 << 30).to_string(), "4GiB");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let invalid =
            || InvalidUnit { text: text.to_owned(), wanted: "a size such as 512MB, 20GB or 4GiB" };
        let (number, unit) = text
            .split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
        let unit = unit.trim_start();
        let unit = if unit.is_empty() { "B" } else { unit };
        let (_, unit) =
            SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(invalid)?;
        let bytes = scaled(number, u128::from(*unit)).ok_or_else(invalid)?;
        u64::try_from(bytes).map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit: &u64| self.0 >= *unit && self.0.is_multiple_of(*unit);
        match SIZES.iter().find(|(_, unit)| fits(unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => f.write_str("0B"),
        }
    }
}

/// A text that is no time or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct InvalidUnit {
    text: String,
    wanted: &'static str,
}

/// So many units of a decimal number. Digits behind the ninth after its point do not count.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = u128::from(whole.parse::<u64>().ok()?);
    let fraction = &fraction[..fraction.len().min(9)];
    let parts = u128::from(fraction.parse::<u64>().ok()?) * unit;
    Some(whole * unit + parts / 10u128.pow(u32::try_from(fraction.len()).ok()?))
}

/// Splits `1h30m` into `1`, `h` and `30m`.
fn leading(text: &str) -> Option<(&str, &str, &str)> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let after = text[unit..].find(|c: char| c.is_ascii_digit()).map_or(text.len(), |at| unit + at);
    Some((&text[..unit], &text[unit..after], &text[after..]))
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Option<time::Duration> {
        text.parse::<Duration>().ok().map(Into::into)
    }

    fn size(text: &str) -> Option<u64> {
        text.parse::<Size>().ok().map(Size::bytes)
    }

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(time("5m"), Some(time::Duration::from_secs(300)));
        assert_eq!(time("1h30m"), Some(time::Duration::from_secs(5400)));
        assert_eq!(time("250ms"), Some(time::Duration::from_millis(250)));
        assert_eq!(time("1.5h"), Some(time::Duration::from_secs(5400)));
        assert_eq!(time("0.30000000000000004s"), Some(time::Duration::from_millis(300)));
        assert_eq!(time("0s"), Some(time::Duration::ZERO));
    }

    #[test]
    fn a_time_without_unit_or_with_a_wrong_one_is_refused() {
        let huge = format!("{}d", u64::MAX);
        for text in [
            "",
            "5",
            "m",
            "-5m",
            "5 m",
            "5x",
            ".5h",
            "1.h",
            "1.5.5h",
            "1e3s",
            "30m1h",
            "1m1m",
            "5µs",
            "5m!",
            huge.as_str(),
        ] {
            assert_eq!(time(text), None, "{text:?}");
        }
        let error = "5".parse::<Duration>().unwrap_err().to_string();
        assert_eq!(error, r#""5" is not a time such as 30s, 5m or 1h30m"#);
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(size("20GB"), Some(20_000_000_000));
        assert_eq!(size("20 gb"), Some(20_000_000_000));
        assert_eq!(size("4GiB"), Some(4 << 30));
        assert_eq!(size("0.5KiB"), Some(512));
        assert_eq!(size("1048576"), Some(1 << 20));
    }

    #[test]
    fn a_size_that_is_ambiguous_negative_or_too_large_is_refused() {
        for text in ["", "GB", "20G", "-1GB", "1.GB", ".5GB", "1.5.5GB", "1e9", "99999999TB"] {
            assert_eq!(size(text), None, "{text:?}");
        }
    }

    #[test]
    fn both_read_back_what_they_show() {
        for nanos in [0, 1, 999, 1_000, 90_000_000_000, 86_399_999_999_999, u64::MAX] {
            let duration = Duration(time::Duration::from_nanos(nanos));
            assert_eq!(duration.to_string().parse(), Ok(duration));
        }
        for bytes in [0, 1, 1000, 1024, 1_500_000_000, 4 << 30, u64::MAX] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
    }
}
