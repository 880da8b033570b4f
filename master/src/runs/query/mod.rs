//! The language that runs are found with, the same on the command line, in REST and in Python:
//!
//! ```text
//! status=failed and params.lr<=0.01 and metrics.loss.min<0.2 sort -metrics.acc.max
//! ```
//!
//! A text becomes a [`Query`], which prints itself as a text that means the same. What a user can write is in
//! `docs/using/finding-runs.md`.

mod field;
mod lexer;
mod parser;
mod print;
#[cfg(test)]
pub(super) mod tests;
mod value;

use atlas_core::Status;

pub use field::{Field, Kind, Stat};
pub use value::{KEPT, REMOVED, Read, Time, Value};

/// Bytes of the longest text.
pub const LONGEST: usize = 8192;
/// Parentheses and `not` within each other.
const DEEPEST: usize = 32;
/// Comparisons of one text: each looks at every run.
const TESTS: usize = 100;
/// Sort keys.
const KEYS: usize = 8;

/// Which runs, and in which order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Every run, if there is none.
    pub filter: Option<Expr>,
    /// What comes first decides first; the newest first where all are equal.
    pub sort: Vec<Key>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Two or more.
    All(Vec<Self>),
    /// Two or more.
    Any(Vec<Self>),
    Not(Box<Self>),
    Test(Test),
}

/// A condition on one field. A run that does not have the field fails it, whatever it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    pub field: Field,
    pub holds: Holds,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Holds {
    Exists,
    Is(Op, Value),
    /// One or more.
    In(Vec<Value>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
    /// Without regard to case.
    Contains,
}

/// A part of the order.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub field: Field,
    /// The largest first.
    pub falling: bool,
}

/// A text that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {why}")]
pub struct Invalid {
    /// Of the first character that is wrong; the text begins at 1.
    pub column: usize,
    pub why: String,
}

impl Query {
    /// A filter, an order (`sort …`), both or nothing.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        parser::Parser::new(text)?.query()
    }

    /// An order alone, without the word `sort`.
    pub fn parse_sort(text: &str) -> Result<Vec<Key>, Invalid> {
        parser::Parser::new(text)?.keys_alone()
    }

    /// Tags, parameters and metrics, with commas between them.
    pub fn parse_keys(text: &str) -> Result<Vec<Field>, Invalid> {
        parser::Parser::new(text)?.keys_of_runs()
    }

    /// The tags, parameters and metrics that it speaks of, each once.
    pub fn keys(&self) -> Vec<Field> {
        let mut keys = Vec::new();
        if let Some(filter) = &self.filter {
            filter.keys(&mut keys);
        }
        self.sort.iter().for_each(|it| it.field.clone().add_to(&mut keys));
        keys
    }

    /// The same, of this project alone.
    #[must_use]
    pub fn of_project(self, project: &str) -> Self {
        self.and(Field::Project, project)
    }

    /// The same, of this user alone.
    #[must_use]
    pub fn of_user(self, user: &str) -> Self {
        self.and(Field::User, user)
    }

    /// The same, with this status alone.
    #[must_use]
    pub fn with_status(self, status: Status) -> Self {
        self.and(Field::Status, status.word())
    }

    fn and(self, field: Field, text: &str) -> Self {
        let holds = Holds::Is(Op::Equal, Value::Text(text.to_owned()));
        let test = Expr::Test(Test { field, holds });
        let filter = match self.filter {
            None => test,
            Some(Expr::All(mut all)) => {
                all.push(test);
                Expr::All(all)
            }
            Some(other) => Expr::All(vec![other, test]),
        };
        Self { filter: Some(filter), ..self }
    }

    /// The project that every run found is of, if the filter names one for all.
    pub fn project(&self) -> Option<&str> {
        let all = match self.filter.as_ref()? {
            Expr::All(all) => all.as_slice(),
            one => std::slice::from_ref(one),
        };
        all.iter().find_map(|it| match it {
            Expr::Test(Test {
                field: Field::Project,
                holds: Holds::Is(Op::Equal, Value::Text(name)),
            }) => Some(name.as_str()),
            _ => None,
        })
    }
}

impl Expr {
    fn keys(&self, keys: &mut Vec<Field>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|it| it.keys(keys)),
            Self::Not(inner) => inner.keys(keys),
            Self::Test(Test { field, .. }) => field.clone().add_to(keys),
        }
    }
}

impl Op {
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::Contains => "~",
        }
    }

    /// Whether it needs an order of the values.
    pub fn orders(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::More | Self::AtLeast)
    }
}
