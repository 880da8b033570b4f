//! Parameters: a JSON object, kept as the text it is, so that no number loses a digit on its way.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Invalid;
use super::given::{Given, shown};
use super::yaml::{Node, Value};

/// Bytes of the text.
const LONGEST: usize = 1024 * 1024;
/// Readers in the job and here stop at about a hundred.
const DEEPEST: usize = 64;

/// The text of the object, when it is one.
pub fn check(given: &Given<String>) -> Result<String, Invalid> {
    let text = given.value.trim();
    if text.len() > LONGEST {
        return Err(given.refuse(format!("are longer than {LONGEST} bytes; put them into a file")));
    }
    if !text.starts_with('{') {
        return Err(given.refuse(format!("{} is not a JSON object", shown(text))));
    }
    serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text)
        .map_err(|error| given.refuse(format!("are not a JSON object: {error}")))?;
    if depth(text) > DEEPEST {
        return Err(given.refuse(format!("are nested more than {DEEPEST} deep")));
    }
    Ok(text.to_owned())
}

/// The object with those of `given` in the place of, or beside, its own.
pub fn over(below: Option<&str>, given: &Given<String>) -> Result<String, Invalid> {
    type Object = BTreeMap<String, Box<RawValue>>;
    let above = check(given)?;
    let read = |text: &str| serde_json::from_str::<Object>(text).expect("it was checked");
    let mut object = below.map(read).unwrap_or_default();
    object.extend(read(&above));
    let text = serde_json::to_string(&object).expect("texts are JSON");
    check(&given.with(text))
}

/// Of valid JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The JSON of a YAML mapping. Words that other readers of YAML take for true or false are noticed.
pub fn from_yaml(node: &Node<'_>, notices: &mut Vec<String>) -> Result<Given<String>, Invalid> {
    let mut text = String::new();
    if !matches!(node.value, Value::Map(_)) {
        return Err(node.expected("a mapping of names to values"));
    }
    write(node, &mut text, notices)?;
    Ok(node.given(text))
}

fn write(node: &Node<'_>, to: &mut String, notices: &mut Vec<String>) -> Result<(), Invalid> {
    match &node.value {
        Value::Nothing => to.push_str("null"),
        Value::Bool(value) => to.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => *to += &digits(node.raw).unwrap_or_else(|| number.to_string()),
        Value::Text(text) => {
            if node.is_plain() && is_yes_or_no(text) {
                notices.push(format!(
                    "{}: {text} is kept as text; write true or false for a truth value, or \"{text}\" to say that it is text.",
                    node.field
                ));
            }
            *to += &quoted(text);
        }
        Value::List(items) => {
            to.push('[');
            for (at, item) in items.iter().enumerate() {
                to.push_str(if at > 0 { ", " } else { "" });
                write(item, to, notices)?;
            }
            to.push(']');
        }
        Value::Map(entries) => {
            to.push('{');
            for (at, (key, value)) in entries.iter().enumerate() {
                to.push_str(if at > 0 { ", " } else { "" });
                *to += &quoted(key);
                to.push_str(": ");
                write(value, to, notices)?;
            }
            to.push('}');
        }
    }
    Ok(())
}

/// Digit for digit, where JSON writes numbers the same way; zeros in front are no digits.
fn digits(raw: &str) -> Option<String> {
    let (sign, number) = raw.strip_prefix('-').map_or(("", raw), |it| ("-", it));
    let whole = number.bytes().all(|it| it.is_ascii_digit());
    let significant = number.trim_start_matches('0');
    let number = match (whole, significant) {
        (true, "") => "0",
        (true, _) => significant,
        (false, _) => number,
    };
    let text = format!("{sign}{number}");
    serde_json::from_str::<IgnoredAny>(&text).is_ok().then_some(text)
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text always has a JSON form")
}

fn is_yes_or_no(text: &str) -> bool {
    ["yes", "no", "on", "off"].iter().any(|it| it.eq_ignore_ascii_case(text))
}
