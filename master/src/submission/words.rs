//! Commands and entrypoints: lists of words, as a process gets them.

use super::Invalid;
use super::given::{Given, shown};

/// Linux takes no longer word.
const WORD: usize = 128 * 1024 - 1;
const WORDS: usize = 10_000;
/// Beside it the environment must fit.
const TOTAL: usize = 1024 * 1024;

/// Splits a text as a shell does, without expanding anything.
pub fn split(given: &Given<String>) -> Result<Given<Vec<String>>, Invalid> {
    let refuse = || given.refuse(format!("{} has a quote that is not closed", shown(&given.value)));
    Ok(given.with(shlex::split(&given.value).ok_or_else(refuse)?))
}

/// At least one word, the first of which is something.
pub fn check(given: &Given<Vec<String>>) -> Result<(), Invalid> {
    let words = &given.value;
    match words.first() {
        None => return Err(given.refuse("is empty")),
        Some(first) if first.trim().is_empty() => {
            return Err(given.refuse("begins with an empty word"));
        }
        Some(_) => {}
    }
    if words.iter().any(|it| it.contains('\0')) {
        return Err(given.refuse("holds a zero byte"));
    }
    if words.iter().any(|it| it.len() > WORD) {
        return Err(
            given.refuse(format!("has a word of more than {WORD} bytes; put it into a file"))
        );
    }
    if words.len() > WORDS || words.iter().map(String::len).sum::<usize>() > TOTAL {
        let why = format!("has more than {WORDS} words or {TOTAL} bytes; put them into a file");
        return Err(given.refuse(why));
    }
    Ok(())
}
