//! Numbers of every size, compared exactly.

use std::cmp::Ordering;

/// A number that was logged or that a filter names.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    Float(f64),
    /// Digits of an integer that a float does not hold exactly, with a minus before them if it is negative.
    Big(String),
}

/// Up to here every integer is a float.
const EXACT: u64 = 1 << 53;

impl Number {
    pub fn of_int(int: i64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "no float loses such a small integer")]
        if int.unsigned_abs() <= EXACT {
            Self::Float(int as f64)
        } else {
            Self::Big(int.to_string())
        }
    }

    /// What a text says as Rust, JSON and Python write numbers: `1`, `-2.5`, `1e-3`, `nan`, `inf`.
    pub fn parse(text: &str) -> Option<Self> {
        let (minus, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => (text.starts_with('-'), digits),
            None => (false, text),
        };
        if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
            return text.parse().ok().map(Self::Float);
        }
        if let Ok(int) = text.parse() {
            return Some(Self::of_int(int));
        }
        let sign = if minus { "-" } else { "" };
        Some(Self::Big(format!("{sign}{}", digits.trim_start_matches('0'))))
    }

    /// The nearest float.
    pub fn float(&self) -> f64 {
        match self {
            Self::Float(float) => *float,
            Self::Big(digits) => digits.parse().expect("digits are a number"),
        }
    }

    /// `None` if one of them is not a number.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let order = self.float().partial_cmp(&other.float())?;
        Some(order.then_with(|| self.whole().cmp(&other.whole())))
    }

    /// To tell integers apart whose nearest float is the same; those beyond 128 bits are not.
    fn whole(&self) -> Option<i128> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float with a fraction is no big one"
        )]
        match self {
            Self::Float(float) => (float.abs() < 1.0e38).then_some(*float as i128),
            Self::Big(digits) => digits.parse().ok().filter(|_| self.float().abs() < 1.0e38),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap_or_else(|| panic!("{text} is no number"))
    }

    #[test]
    fn numbers_of_every_size_are_compared_exactly() {
        let rising = [
            "-inf",
            "-8888888888888888888889",
            "-8888888888888888888888",
            "-9007199254740993",
            "-9007199254740992",
            "-1",
            "0",
            "0.25",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "8888888888888888888888",
            "1e39",
            "inf",
        ];
        for (at, one) in rising.iter().enumerate() {
            for (than, other) in rising.iter().enumerate() {
                let compared = number(one).compare(&number(other));
                assert_eq!(compared, Some(at.cmp(&than)), "{one} and {other}");
            }
        }
    }

    #[test]
    fn one_number_has_many_texts() {
        for (one, other) in [("1", "1.0"), ("1e3", "1000"), ("+5", "005"), ("-0", "0")] {
            assert_eq!(number(one).compare(&number(other)), Some(Ordering::Equal));
        }
        assert_eq!(number("nan").compare(&number("nan")), None);
        for text in ["", "-", "1x", "0x10", "true", "--1"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }
}
