//! Tokens as a query, by recursive descent.

use atlas_runtime::config::nearest;

use super::field::{Field, KEYED, Kind, Stat};
use super::lexer::{Spanned, Token, is_reserved, tokens};
use super::value::Value;
use super::{DEEPEST, Expr, Holds, Invalid, KEYS, Key, LONGEST, Op, Query, TESTS, Test};

type Result<T> = std::result::Result<T, Invalid>;

pub struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    /// Characters of the whole text.
    length: usize,
    depth: usize,
    tests: usize,
}

impl Parser {
    pub fn new(text: &str) -> Result<Self> {
        if text.len() > LONGEST {
            let why = format!("the text is longer than {LONGEST} bytes");
            return Err(Invalid { column: 1, why });
        }
        let (tokens, length) = (tokens(text)?, text.chars().count());
        Ok(Self { tokens, at: 0, length, depth: 0, tests: 0 })
    }

    pub fn query(mut self) -> Result<Query> {
        let filter = match self.peek() {
            None => None,
            Some(_) if self.is_word("sort") => None,
            Some(_) => Some(self.any()?),
        };
        let sort = if self.takes_word("sort") { self.keys()? } else { Vec::new() };
        match self.peek() {
            None => Ok(Query { filter, sort }),
            Some(Token::Close) => Err(self.wrong("this ) has no ( before it")),
            Some(_) => Err(self.wrong("here should be and, or, sort or the end")),
        }
    }

    pub fn keys_alone(mut self) -> Result<Vec<Key>> {
        if self.peek().is_none() {
            return Ok(Vec::new());
        }
        let keys = self.keys()?;
        match self.peek() {
            None => Ok(keys),
            Some(_) => Err(self.wrong("here should be a comma or the end")),
        }
    }

    pub fn keys_of_runs(mut self) -> Result<Vec<Field>> {
        let mut keys = Vec::new();
        while self.peek().is_some() {
            let at = self.at;
            let (field, _) = self.field(false)?;
            if !field.is_keyed() {
                self.at = at;
                return Err(self.wrong("columns are tags.KEY, params.KEY or metrics.KEY"));
            }
            field.add_to(&mut keys);
            if self.peek().is_some() {
                self.expect(&Token::Comma, "here should be a comma or the end")?;
            }
        }
        Ok(keys)
    }

    fn any(&mut self) -> Result<Expr> {
        self.joined("or", Self::all, Expr::Any)
    }

    fn all(&mut self) -> Result<Expr> {
        self.joined("and", Self::one, Expr::All)
    }

    fn joined(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Expr>,
        join: fn(Vec<Expr>) -> Expr,
    ) -> Result<Expr> {
        let first = part(self)?;
        if !self.is_word(word) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.takes_word(word) {
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    fn one(&mut self) -> Result<Expr> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong(format!("this is more than {DEEPEST} levels deep")));
        }
        let one = if self.takes_word("not") {
            Expr::Not(Box::new(self.one()?))
        } else if self.takes(&Token::Open) {
            let inner = self.any()?;
            self.expect(&Token::Close, "here should be and, or or )")?;
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(one)
    }

    fn test(&mut self) -> Result<Expr> {
        self.tests += 1;
        if self.tests > TESTS {
            return Err(self.wrong(format!("these are more than {TESTS} comparisons")));
        }
        let (field, _) = self.field(false)?;
        let negated = self.takes_word("not");
        let holds = if self.takes_word("exists") {
            Holds::Exists
        } else if self.takes_word("in") {
            self.list(&field)?
        } else if let (Some(Token::Op(op)), false) = (self.peek(), negated) {
            let op = *op;
            self.check(&field, op)?;
            self.at += 1;
            Holds::Is(op, self.value(&field, op)?)
        } else if negated {
            return Err(self.wrong("after not should be in or exists"));
        } else {
            let why = format!(
                "after {field} should be one of = != < <= > >= ~ in exists, and here is {}",
                self.shown()
            );
            return Err(self.wrong(why));
        };
        let test = Expr::Test(Test { field, holds });
        Ok(if negated { Expr::Not(Box::new(test)) } else { test })
    }

    /// Whether these values can be compared so.
    fn check(&self, field: &Field, op: Op) -> Result<()> {
        let why = match (field.kind(), op) {
            (Kind::Word, op) if op.orders() => "has no order; use = != in or ~",
            (Kind::Number | Kind::Time | Kind::Duration, Op::Contains) => {
                "is no text; use = != < <= > or >="
            }
            _ => return Ok(()),
        };
        Err(self.wrong(format!("{field} {why}")))
    }

    fn list(&mut self, field: &Field) -> Result<Holds> {
        self.expect(&Token::Open, "after in should be a list: (a, b)")?;
        let mut values = vec![self.value(field, Op::Equal)?];
        while self.takes(&Token::Comma) {
            values.push(self.value(field, Op::Equal)?);
        }
        self.expect(&Token::Close, "here should be a comma or )")?;
        Ok(Holds::In(values))
    }

    fn value(&mut self, field: &Field, op: Op) -> Result<Value> {
        let (text, quoted) = match self.peek() {
            Some(Token::Word(word)) if !is_reserved(word) => (word.clone(), false),
            Some(Token::Quoted(text)) => (text.clone(), true),
            _ => {
                let why =
                    format!("here should be a value for {field}, and here is {}", self.shown());
                return Err(self.wrong(why));
            }
        };
        let value = if op == Op::Contains {
            Ok(Value::Text(text))
        } else {
            Value::of(field, &text, quoted)
        };
        let value = value.map_err(|why| self.wrong(why))?;
        self.at += 1;
        Ok(value)
    }

    fn keys(&mut self) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        loop {
            if keys.len() == KEYS {
                return Err(self.wrong(format!("these are more than {KEYS} sort keys")));
            }
            let (field, falling) = self.field(true)?;
            keys.push(Key { field, falling });
            if !self.takes(&Token::Comma) {
                return Ok(keys);
            }
        }
    }

    /// A field; of a sort key (`signed`) also whether a minus stands before it.
    fn field(&mut self, signed: bool) -> Result<(Field, bool)> {
        let Some(Token::Word(word)) = self.peek() else {
            let what = if signed { "a field to sort by" } else { "a condition" };
            return Err(self.wrong(format!("here should be {what}, and here is {}", self.shown())));
        };
        let (name, minus) = match word.strip_prefix('-') {
            Some(name) if signed => (name.to_owned(), true),
            _ => (word.clone(), false),
        };
        let field = match (name.strip_suffix('.'), self.quoted_key()) {
            (Some(of), Some(key)) if KEYED.contains(&of) => {
                self.at += 1;
                let stat = self.stat_behind();
                let field = self.keyed(of, &key, stat)?;
                self.at += usize::from(stat.is_some());
                field
            }
            _ => self.named(&name)?,
        };
        self.at += 1;
        Ok((field, minus))
    }

    /// The quoted text that follows this word without a space.
    fn quoted_key(&self) -> Option<String> {
        let end = self.tokens.get(self.at)?.end;
        match self.tokens.get(self.at + 1)? {
            Spanned { token: Token::Quoted(key), begin, .. } if *begin == end => Some(key.clone()),
            _ => None,
        }
    }

    /// `.min` directly behind the quoted key that stands here.
    fn stat_behind(&self) -> Option<Stat> {
        let end = self.tokens.get(self.at)?.end;
        match self.tokens.get(self.at + 1)? {
            Spanned { token: Token::Word(word), begin, .. } if *begin == end => {
                word.strip_prefix('.').and_then(Stat::of)
            }
            _ => None,
        }
    }

    /// A field that is one word.
    fn named(&self, name: &str) -> Result<Field> {
        if let Some(field) = Field::fixed(name) {
            return Ok(field);
        }
        let Some((of, key)) = name.split_once('.').filter(|it| KEYED.contains(&it.0)) else {
            return Err(self.unknown(name));
        };
        let parts = key.rsplit_once('.').filter(|it| of == "metrics" && !it.0.is_empty());
        match parts.and_then(|(key, stat)| Stat::of(stat).map(|stat| (key, stat))) {
            Some((key, stat)) => self.keyed(of, key, Some(stat)),
            None => self.keyed(of, key, None),
        }
    }

    fn keyed(&self, of: &str, key: &str, stat: Option<Stat>) -> Result<Field> {
        if key.is_empty() {
            return Err(self.wrong(format!("here should be a key: {of}.KEY")));
        }
        let wrong = || self.wrong("last, min, max and count are of metrics alone");
        Field::keyed(of, key, stat).ok_or_else(wrong)
    }

    fn unknown(&self, name: &str) -> Invalid {
        let (first, rest) =
            name.split_once('.').map_or((name, ""), |(first, _)| (first, &name[first.len()..]));
        let shown: String = name.chars().take(80).collect();
        let hint = match nearest(first, Field::names()) {
            Some(_) if KEYED.contains(&first) => format!("write {first}.KEY"),
            Some(near) if KEYED.contains(&near) && rest.is_empty() => format!("write {near}.KEY"),
            Some(near) if KEYED.contains(&near) => format!("did you mean {near}{rest}?"),
            Some(near) => format!("did you mean {near}?"),
            None => {
                let names: Vec<_> = Field::names().filter(|it| !KEYED.contains(it)).collect();
                let keyed = KEYED.map(|it| format!("{it}.KEY")).join(", ");
                format!("there are {}, {keyed}", names.join(", "))
            }
        };
        self.wrong(format!("there is no field {shown:?}; {hint}"))
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|it| &it.token)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(it)) if it.eq_ignore_ascii_case(word))
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let taken = self.is_word(word);
        self.at += usize::from(taken);
        taken
    }

    fn takes(&mut self, token: &Token) -> bool {
        let taken = self.peek() == Some(token);
        self.at += usize::from(taken);
        taken
    }

    fn expect(&mut self, token: &Token, why: &str) -> Result<()> {
        if self.takes(token) { Ok(()) } else { Err(self.wrong(why)) }
    }

    /// What stands here, for people.
    fn shown(&self) -> String {
        match self.peek() {
            None => "the end".into(),
            Some(Token::Word(text) | Token::Quoted(text)) => {
                format!("{:?}", text.chars().take(80).collect::<String>())
            }
            Some(Token::Op(op)) => op.sign().into(),
            Some(Token::Open) => "(".into(),
            Some(Token::Close) => ")".into(),
            Some(Token::Comma) => "a comma".into(),
        }
    }

    fn wrong(&self, why: impl Into<String>) -> Invalid {
        let begin = self.tokens.get(self.at).map_or(self.length, |it| it.begin);
        Invalid { column: begin + 1, why: why.into() }
    }
}
