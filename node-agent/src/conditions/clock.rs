//! Whether this machine's time of day is the master's: people read times of both side by side, and packages and tokens depend on it.

/// More than this apart is trouble, milliseconds.
const MOST: i64 = 60_000;

/// How far this clock is ahead of the master's at the least, milliseconds; negative = behind. The master read its own between two
/// readings of ours, however long the way was.
pub fn ahead(sent: u64, masters: u64, heard: u64) -> i64 {
    let behind = masters.saturating_sub(heard);
    let ahead = sent.saturating_sub(masters);
    ahead.cast_signed().saturating_sub(behind.cast_signed())
}

/// The trouble of a clock that is so far ahead.
pub fn trouble(ahead: i64) -> Option<String> {
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let seconds = ahead.unsigned_abs() / 1000;
    (ahead.saturating_abs() > MOST).then(|| {
        format!(
            "the clock of this machine is {seconds} s {side} the master's: set it, and keep both right with NTP (chrony, or timedatectl set-ntp true)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        assert_eq!(ahead(1_000, 50_000, 200_000), 0);
        assert_eq!(trouble(ahead(1_000, 50_000, 200_000)), None);
    }

    #[test]
    fn a_clock_that_is_more_than_a_minute_off_is_named_with_its_side() {
        assert_eq!(ahead(100_000, 200_000, 100_010), -99_990);
        assert!(trouble(-99_990).unwrap().contains("99 s behind the master's"));
        assert!(trouble(ahead(500_000, 400_000, 500_010)).unwrap().contains("100 s ahead of"));
        assert_eq!(trouble(60_000), None);
        assert!(trouble(i64::MIN).is_some());
    }
}
