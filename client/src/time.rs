//! Times as people and programs read them.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// `2026-11-20T10:00:00.123Z`
pub fn rfc3339(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    format!("{time:.3}")
}

/// `12s ago`, `3h ago`; a clock that is behind says `now`.
pub fn ago(now_ms: u64, then_ms: u64) -> String {
    match now_ms.saturating_sub(then_ms) {
        0..1000 => "now".into(),
        ms => format!("{} ago", coarse(ms)),
    }
}

/// The largest unit alone: `12s`, `3h`, `5d`.
pub fn coarse(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

/// How long something took: `340ms`, `12.3s`, `3m 20s`, `5h 3m`, `2d 1h`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// From where on a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Bytes from its beginning.
    Offset(u64),
    /// So long before now.
    Ago(Duration),
    /// Milliseconds since 1970.
    At(u64),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(offset) = text.parse() {
            return Ok(Self::Offset(offset));
        }
        if let Ok(ago) = text.parse::<atlas_runtime::config::Duration>() {
            return Ok(Self::Ago(ago.into()));
        }
        let time = text.parse::<Timestamp>().or_else(|_| local(text));
        time.ok().and_then(|it| u64::try_from(it.as_millisecond()).ok()).map(Self::At).ok_or_else(|| {
            format!(
                "{text:?} is no place in a log: bytes (4096), a time ago (10m, 1h30m) or a time \
                 (2026-11-20T10:00, 2026-11-20T10:00:00Z)"
            )
        })
    }
}

/// A time without a zone is meant as the clock on the wall shows it.
fn local(text: &str) -> Result<Timestamp, jiff::Error> {
    let time: DateTime = text.parse()?;
    Ok(time.to_zoned(TimeZone::system())?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_for_programs_has_milliseconds_and_its_zone() {
        assert_eq!(rfc3339(1_795_168_800_120), "2026-11-20T10:00:00.120Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-12-30"));
    }

    #[test]
    fn a_time_for_people_is_short() {
        for (ms, text) in [
            (999, "now"),
            (59_999, "59s ago"),
            (60_000, "1m ago"),
            (7_200_000, "2h ago"),
            (200_000_000, "2d ago"),
        ] {
            assert_eq!(ago(1_000_000_000, 1_000_000_000 - ms), text);
        }
        assert_eq!(ago(5, 1000), "now", "a clock that is behind");
    }

    #[test]
    fn a_span_has_two_units_at_most() {
        for (ms, text) in [
            (340, "340ms"),
            (12_340, "12.3s"),
            (200_000, "3m 20s"),
            (18_180_000, "5h 3m"),
            (176_400_000, "2d 1h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn a_place_in_a_log_is_bytes_or_a_time() {
        let at = |ms| Ok(Since::At(ms));
        assert_eq!("4096".parse(), Ok(Since::Offset(4096)));
        assert_eq!("1h30m".parse(), Ok(Since::Ago(Duration::from_secs(5400))));
        assert_eq!("2026-11-20T10:00:00Z".parse(), at(1_795_168_800_000));
        assert_eq!("2026-11-20T12:00+02".parse(), at(1_795_168_800_000));
        for text in ["2026-11-20T10:00", "2026-11-20 10:00:00", "2026-11-20"] {
            assert!(matches!(text.parse(), Ok(Since::At(_))), "{text}");
        }
        for text in ["", "-5", "yesterday", "1960-01-01T00:00Z"] {
            let error = text.parse::<Since>().unwrap_err();
            assert!(error.contains("is no place in a log"), "{error}");
        }
    }
}
