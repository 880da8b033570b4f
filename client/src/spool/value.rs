//! Words of a command line as values: what Python's `int`, `float` and `json` make of them.

use atlas_core::run::{Scalar, Value, limits};

/// A metric's value: a number, else text.
pub fn number(text: &str) -> Result<Scalar, String> {
    let word = text.trim();
    let digits = word.strip_prefix('+').filter(|it| !it.starts_with('-')).unwrap_or(word);
    match integer(digits)? {
        Some(integer) => Ok(integer),
        None => Ok(word.parse().map_or_else(|_| Scalar::Text(text.to_owned()), Scalar::Float)),
    }
}

/// `None` = it is no integer.
fn integer(text: &str) -> Result<Option<Scalar>, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Ok(None);
    }
    match Scalar::integer(text) {
        Some(integer) => Ok(Some(integer)),
        None => Err(format!("an integer has more than {} digits", limits::DIGITS)),
    }
}

/// A parameter's value: JSON, else text.
pub fn json(text: &str) -> Result<Value, String> {
    match serde_json::from_str(&marked(text)?) {
        Ok(value) => Ok(value),
        Err(error) if error.is_data() => {
            Err(format!("lists and maps lie more than {} deep in one another", limits::DEPTH))
        }
        Err(_) => Ok(Scalar::Text(text.to_owned()).into()),
    }
}

/// The same JSON with marks on the numbers that a parser would round or not know: integers beyond 64 bits, NaN, infinities.
fn marked(text: &str) -> Result<String, String> {
    let mut found = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string(rest),
            it if is_of_word(it) => rest.find(|it| !is_of_word(it)).unwrap_or(rest.len()),
            it => it.len_utf8(),
        };
        let (word, behind) = rest.split_at(length);
        found.push_str(&mark(word)?);
        rest = behind;
    }
    Ok(found)
}

fn mark(word: &str) -> Result<String, String> {
    let float = match word {
        "NaN" => "nan",
        "Infinity" => "inf",
        "-Infinity" => "-inf",
        _ if is_infinite(word) => {
            if word.starts_with('-') {
                "-inf"
            } else {
                "inf"
            }
        }
        _ => {
            return Ok(match integer(word)? {
                Some(Scalar::BigInt(digits)) => format!(r#"{{"$int":"{digits}"}}"#),
                _ => word.to_owned(),
            });
        }
    };
    Ok(format!(r#"{{"$float":"{float}"}}"#))
}

/// What is beyond the largest of floats, as Python reads it.
fn is_infinite(word: &str) -> bool {
    let is_number =
        word.ends_with(|it: char| it.is_ascii_digit()) && word.contains(['e', 'E', '.']);
    is_number && word.parse::<f64>().is_ok_and(f64::is_infinite)
}

fn is_of_word(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '+' | '-' | '.')
}

/// Bytes of the JSON text that this begins with, its quotes included.
fn string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, it) in text.char_indices().skip(1) {
        match it {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &Value) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn a_word_is_the_number_that_it_says_or_text() {
        for (word, value) in [
            ("4", "4"),
            (" -7 ", "-7"),
            ("+5", "5"),
            ("0.25", "0.25"),
            ("1e3", "1000.0"),
            ("nan", r#"{"$float":"nan"}"#),
            ("-Infinity", r#"{"$float":"-inf"}"#),
            ("99999999999999999999", r#"{"$int":"99999999999999999999"}"#),
            ("1_000", r#""1_000""#),
            ("+-5", r#""+-5""#),
            (" fine ", r#"" fine ""#),
            ("", r#""""#),
        ] {
            assert_eq!(shown(&number(word).unwrap().into()), value, "{word:?}");
        }
        assert!(number(&"9".repeat(1001)).unwrap_err().contains("more than 1000 digits"));
    }

    #[test]
    fn a_parameter_is_json_or_text_and_no_integer_is_rounded() {
        for (word, value) in [
            ("[1, 2.0]", "[1,2.0]"),
            (
                r#"{"a": [NaN, -Infinity, null]}"#,
                r#"{"a":[{"$float":"nan"},{"$float":"-inf"},null]}"#,
            ),
            ("[88888888888888888888]", r#"[{"$int":"88888888888888888888"}]"#),
            (r#"["NaN \" 88888888888888888888"]"#, r#"["NaN \" 88888888888888888888"]"#),
            ("adam", r#""adam""#),
            ("[1,", r#""[1,""#),
            ("\"open", r#""\"open""#),
            ("[-1e400]", r#"[{"$float":"-inf"}]"#),
        ] {
            assert_eq!(shown(&json(word).unwrap()), value, "{word:?}");
        }
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(json(&nested(32)).is_ok());
        assert!(json(&nested(33)).unwrap_err().contains("more than 32 deep"));
        assert!(json(&format!("[{}]", "9".repeat(1001))).is_err());
    }
}
