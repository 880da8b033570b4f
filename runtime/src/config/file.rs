//! One YAML file of options: flat keys, each with the line it stands on.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Spanned, UserMessageFormatter};

use super::{Error, Origin, nearest};

/// No configuration is longer; what is longer is the wrong file.
const LONGEST: u64 = 1 << 20;

/// The options in a file and the line of each key.
pub(super) struct Parsed<T> {
    pub options: T,
    pub lines: Vec<(String, u64)>,
}

/// Reads and checks the file at `path`; `fields` are the keys it may have.
pub(super) fn read<T: DeserializeOwned>(
    path: &Path,
    fields: &[&'static str],
) -> Result<Parsed<T>, Error> {
    let text = text(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let Keys(lines) = parse(&text).map_err(|error| fault(path, &[], &error))?;
    for (key, line) in &lines {
        if !fields.contains(&key.as_str()) {
            let origin = Origin::File { path: path.to_owned(), line: *line };
            let nearest = nearest(key, fields.iter().copied());
            return Err(Error::UnknownKey { key: key.clone(), origin, nearest });
        }
    }
    let empty = if lines.is_empty() { "{}" } else { &text };
    let options = parse(empty).map_err(|error| fault(path, &lines, &error))?;
    Ok(Parsed { options, lines })
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(text)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    // No snippets: the lines around a mistake may hold a secret.
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { with_snippet: false })
}

/// Names the key that an error stands at: the last one that begins on its line or before.
fn fault(path: &Path, lines: &[(String, u64)], error: &serde_saphyr::Error) -> Error {
    let line = error.location().map_or(1, |location| location.line());
    let origin = Origin::File { path: path.to_owned(), line };
    let reason = error.render_with_formatter(&UserMessageFormatter);
    // The origin says where.
    let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |it| it.0).to_owned();
    match lines.iter().rfind(|(_, begins)| *begins <= line) {
        Some((field, _)) => Error::Invalid { field: field.clone(), origin, reason },
        None => Error::Syntax { origin, reason },
    }
}

/// The keys of a mapping with their lines; the values are looked at later. An empty file has no keys.
struct Keys(Vec<(String, u64)>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys and values such as `http: 127.0.0.1:5555`")
    }

    fn visit_unit<E>(self) -> Result<Keys, E> {
        Ok(Keys(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut lines = Vec::new();
        while let Some((key, IgnoredAny)) = map.next_entry::<Spanned<String>, _>()? {
            lines.push((key.value, key.referenced.line()));
        }
        Ok(Keys(lines))
    }
}
