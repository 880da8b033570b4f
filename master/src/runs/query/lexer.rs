//! A text as tokens.

use super::{Invalid, Op};

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// Neither quoted nor a sign.
    Word(String),
    Quoted(String),
    Op(Op),
    Open,
    Close,
    Comma,
}

/// A token and the characters that it covers, counted from 0; `end` is behind its last.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned {
    pub token: Token,
    pub begin: usize,
    pub end: usize,
}

/// Whether a character ends a word.
fn ends_word(c: char) -> bool {
    c.is_whitespace() || "\"'(),=!<>~".contains(c)
}

/// Words of the language: as text they are quoted.
const RESERVED: [&str; 6] = ["and", "or", "not", "in", "exists", "sort"];

pub fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|it| word.eq_ignore_ascii_case(it))
}

/// Whether a text can stand without quotes, as far as characters go.
pub fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| ends_word(c) || c.is_control())
}

pub fn tokens(text: &str) -> Result<Vec<Spanned>, Invalid> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let (token, end) = match c {
            '(' => (Token::Open, at + 1),
            ')' => (Token::Close, at + 1),
            ',' => (Token::Comma, at + 1),
            '"' | '\'' => quoted(&chars, at)?,
            '=' | '!' | '<' | '>' | '~' => sign(&chars, at)?,
            _ => {
                let rest = &chars[at..];
                let length = rest.iter().position(|it| ends_word(*it)).unwrap_or(rest.len());
                (Token::Word(rest[..length].iter().collect()), at + length)
            }
        };
        tokens.push(Spanned { token, begin: at, end });
        at = end;
    }
    Ok(tokens)
}

/// Between two quotes of one kind; a backslash takes the next character as it is.
fn quoted(chars: &[char], begin: usize) -> Result<(Token, usize), Invalid> {
    let quote = chars[begin];
    let mut text = String::new();
    let mut at = begin + 1;
    loop {
        match chars.get(at) {
            Some(&c) if c == quote => return Ok((Token::Quoted(text), at + 1)),
            Some('\\') if at + 1 < chars.len() => {
                text.push(chars[at + 1]);
                at += 2;
            }
            Some(&c) => {
                text.push(c);
                at += 1;
            }
            None => {
                let why = format!("the quote {quote} that begins here has no end");
                return Err(Invalid { column: begin + 1, why });
            }
        }
    }
}

fn sign(chars: &[char], at: usize) -> Result<(Token, usize), Invalid> {
    let (op, length) = match (chars[at], chars.get(at + 1)) {
        ('=', Some('=')) => (Op::Equal, 2),
        ('!', Some('=')) => (Op::Unequal, 2),
        ('<', Some('=')) => (Op::AtMost, 2),
        ('>', Some('=')) => (Op::AtLeast, 2),
        ('=', _) => (Op::Equal, 1),
        ('<', _) => (Op::Less, 1),
        ('>', _) => (Op::More, 1),
        ('~', _) => (Op::Contains, 1),
        _ => {
            let why = "! stands alone; write != for \"is not\", and not before a condition";
            return Err(Invalid { column: at + 1, why: why.into() });
        }
    };
    Ok((Token::Op(op), at + length))
}
