//! A small YAML document as a tree in which every value knows its line, its key and how it was written.

use std::fmt;

use atlas_runtime::config::nearest;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_saphyr::{Spanned, UserMessageFormatter};

use super::Invalid;
use super::given::{Given, shown};

/// How the file is called wherever it comes from.
pub const FILE: &str = "job.config.yaml";
/// Bytes of the document.
const LONGEST: usize = 64 * 1024;

/// A value of the document.
#[derive(Debug)]
pub struct Node<'a> {
    /// `job.config.yaml:4: worker.image`
    pub field: String,
    /// The keys that lead here, joined by dots; empty for the whole document.
    path: String,
    /// As it was written, where it is one unquoted word or number.
    pub raw: &'a str,
    pub value: Value<'a>,
}

#[derive(Debug)]
pub enum Value<'a> {
    Nothing,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node<'a>>),
    Map(Vec<(String, Node<'a>)>),
}

/// Reads one document; aliases and depth are bounded.
pub fn read(text: &str) -> Result<Node<'_>, Invalid> {
    if text.len() > LONGEST {
        let why =
            format!("is longer than {LONGEST} bytes; put large parameters into a file of the job");
        return Err(Invalid::new(FILE, why));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: 32, max_nodes: 20_000, max_documents: 8 },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 256,
            max_replay_stack_depth: 8,
        },
        strict_booleans: true,
        // The lines around a mistake may hold a secret.
        with_snippet: false,
    };
    let tree = serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options)
        .map_err(|it| fault(&it))?;
    Ok(Node::new(text, tree, String::new()))
}

fn fault(error: &serde_saphyr::Error) -> Invalid {
    let line = error.location().map_or(0, |it| it.line());
    Invalid::new(at(line), why(error))
}

fn why(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error {
        Error::AliasError { error, .. } => why(error),
        Error::MultipleDocuments { .. } => {
            "holds several documents; keep one, without `---` between them".into()
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => "refers to itself".into(),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "is nested too deeply or has too many values, counting those of references (`*name`)"
                .into()
        }
        other => {
            let text = other.render_with_formatter(&UserMessageFormatter);
            // The field says where.
            text.rsplit_once(" at line ").map_or(text.as_str(), |it| it.0).to_owned()
        }
    }
}

fn at(line: u64) -> String {
    if line == 0 { FILE.into() } else { format!("{FILE}:{line}") }
}

impl<'a> Node<'a> {
    fn new(source: &'a str, tree: Spanned<Raw>, path: String) -> Self {
        let span = tree.defined.span();
        let raw = span.byte_offset().zip(span.byte_len()).and_then(|(from, length)| {
            let from = usize::try_from(from).ok()?;
            source.get(from..from + usize::try_from(length).ok()?)
        });
        let value = match tree.value {
            Raw::Nothing => Value::Nothing,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Number(value) => Value::Number(value),
            Raw::Text(value) => Value::Text(value),
            Raw::List(items) => {
                let item = |(at, it)| Node::new(source, it, format!("{path}[{at}]"));
                Value::List(items.into_iter().enumerate().map(item).collect())
            }
            Raw::Map(entries) => {
                let dot = if path.is_empty() { "" } else { "." };
                let entry = |(key, value): (Spanned<String>, Spanned<Raw>)| {
                    let mut node = Node::new(source, value, format!("{path}{dot}{}", key.value));
                    // A value may begin lines below its key, or be nothing at all.
                    node.field = field(key.referenced.line(), &node.path);
                    (key.value, node)
                };
                Value::Map(entries.into_iter().map(entry).collect())
            }
        };
        let field = field(tree.referenced.line(), &path);
        Self { field, path, raw: raw.unwrap_or_default().trim(), value }
    }

    pub fn given<T>(&self, value: T) -> Given<T> {
        Given::new(&self.field, value)
    }

    /// Whether a text stands there without quotes.
    pub fn is_plain(&self) -> bool {
        matches!(&self.value, Value::Text(text) if text == self.raw)
    }

    pub fn expected(&self, what: &str) -> Invalid {
        let found = match &self.value {
            Value::Nothing => "nothing".into(),
            Value::Bool(_) | Value::Number(_) => shown(self.raw),
            Value::Text(text) => shown(text),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        };
        self.given(()).refuse(format!("expected {what}, found {found}"))
    }

    /// A text; a number or truth value counts as it is written.
    pub fn text(&self) -> Result<Given<String>, Invalid> {
        self.word().ok_or_else(|| self.expected("a text"))
    }

    /// What may be a number; whoever knows which ones are good says what is wrong with it.
    pub fn number(&self) -> Result<Given<String>, Invalid> {
        self.word().ok_or_else(|| self.expected("a number"))
    }

    fn word(&self) -> Option<Given<String>> {
        match &self.value {
            Value::Text(text) => Some(self.given(text.clone())),
            Value::Bool(_) | Value::Number(_) => Some(self.given(self.raw.to_owned())),
            Value::Nothing | Value::List(_) | Value::Map(_) => None,
        }
    }

    pub fn bool(&self) -> Result<bool, Invalid> {
        match &self.value {
            Value::Bool(value) => Ok(*value),
            _ => Err(self.expected("true or false")),
        }
    }

    pub fn list(&self) -> Result<&[Node<'a>], Invalid> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ => Err(self.expected("a list")),
        }
    }

    /// A mapping with any keys.
    pub fn map(&self) -> Result<&[(String, Node<'a>)], Invalid> {
        match &self.value {
            Value::Nothing => Ok(&[]),
            Value::Map(entries) => Ok(entries),
            _ => Err(self.expected("a mapping")),
        }
    }

    /// A mapping with these keys and no others. `elsewhere` are keys of other places, as whole paths.
    pub fn with_keys(&self, known: &[&str], elsewhere: &[&str]) -> Result<&Self, Invalid> {
        for (key, node) in self.map()? {
            if !known.contains(&key.as_str()) {
                return Err(unknown(key, node, known, elsewhere));
            }
        }
        Ok(self)
    }

    /// The value of a key, if there is one.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        let found = entries.iter().find(|it| it.0 == key).map(|it| &it.1);
        found.filter(|it| !matches!(it.value, Value::Nothing))
    }
}

fn unknown(key: &str, node: &Node<'_>, known: &[&str], elsewhere: &[&str]) -> Invalid {
    let elsewhere = elsewhere.iter().find(|it| it.rsplit('.').next() == Some(key));
    let parent = node.path.strip_suffix(key).unwrap_or_default();
    let hint = match (nearest(key, known.iter().copied()), elsewhere) {
        (Some(near), _) => format!("did you mean `{}{near}`?", parent.escape_debug()),
        (None, Some(path)) => format!("did you mean `{path}`?"),
        (None, None) => format!("known are {}", known.join(", ")),
    };
    let line = node.field.split_once(": ").map_or(node.field.as_str(), |it| it.0);
    let path: String = node.path.chars().take(60).collect();
    Invalid::new(line, format!("unknown key `{}`; {hint}", path.escape_debug()))
}

fn field(line: u64, path: &str) -> String {
    let path: String = path.chars().take(120).flat_map(char::escape_debug).collect();
    if path.is_empty() { at(line) } else { format!("{}: {path}", at(line)) }
}

/// What the parser hands over.
enum Raw {
    Nothing,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Raw, E> {
        Number::from_f64(value).map(Raw::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = from.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
