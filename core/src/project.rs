//! What people wrote of a project. The project itself is what its jobs say they belong to.

use serde::{Deserialize, Serialize};

use crate::retention::Retention;
use crate::time::Timestamp;

/// Bytes of a description.
pub const DESCRIPTION: usize = 64 << 10;
/// Bytes of a note.
pub const NOTE: usize = 16 << 10;
/// Bytes of the name of who wrote one.
const AUTHOR: usize = 128;
/// Notes of a project.
pub const NOTES: usize = 1_000;
/// Bytes of everything: it is written whole with each change.
pub const WEIGHT: usize = 1 << 20;

/// Written whole with every change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// In Markdown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Of all notes that there ever were: no number is used twice.
    pub last_note: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// Something that somebody had to say, in Markdown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub number: u64,
    pub author: String,
    pub at: Timestamp,
    pub text: String,
}

/// What is changed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Describe(String),
    AddNote {
        author: String,
        text: String,
    },
    RemoveNote(u64),
    /// All that was written of it in another cluster.
    Restore {
        description: String,
        notes: Vec<Note>,
    },
    /// `None` keeps everything.
    Retain(Option<Retention>),
}

/// A change that is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("has {bytes} bytes; {most} are the most")]
    TooLong { bytes: usize, most: usize },
    #[error("is empty")]
    Empty,
    #[error("has characters that are neither text nor line breaks")]
    NoText,
    #[error("the project has {NOTES} notes, and no more are kept; delete some")]
    TooMany,
    #[error("what was written of the project has more than {WEIGHT} bytes; delete some notes")]
    TooMuch,
    #[error("there is no note {0}")]
    NoNote(u64),
    #[error("the notes are not in the order of their numbers, or one is by nobody")]
    NoNotes,
    #[error("something else is written of the project already")]
    Written,
}

impl About {
    /// Makes it, or leaves everything as it was.
    pub fn change(&mut self, now: Timestamp, change: Change) -> Result<(), Refused> {
        match change {
            Change::Describe(text) => {
                check(&text, DESCRIPTION)?;
                self.weigh(text.len().saturating_sub(self.description.len()))?;
                self.description = text;
            }
            Change::AddNote { author, text } => {
                if text.trim().is_empty() {
                    return Err(Refused::Empty);
                }
                check(&text, NOTE)?;
                if self.notes.len() >= NOTES {
                    return Err(Refused::TooMany);
                }
                self.weigh(author.len() + text.len())?;
                self.last_note += 1;
                self.notes.push(Note { number: self.last_note, author, at: now, text });
            }
            Change::RemoveNote(number) => {
                let at = self.notes.iter().position(|it| it.number == number);
                self.notes.remove(at.ok_or(Refused::NoNote(number))?);
            }
            Change::Restore { description, notes } => self.restore(now, description, notes)?,
            Change::Retain(rule) => self.retention = rule,
        }
        Ok(())
    }

    /// As if all of it had been written here. The same again changes nothing.
    fn restore(
        &mut self,
        now: Timestamp,
        description: String,
        notes: Vec<Note>,
    ) -> Result<(), Refused> {
        let mut restored = Self::default();
        restored.change(now, Change::Describe(description))?;
        for Note { number, author, at, text } in notes {
            check(&author, AUTHOR)?;
            if number <= restored.last_note || author.trim().is_empty() {
                return Err(Refused::NoNotes);
            }
            restored.last_note = number - 1;
            restored.change(at, Change::AddNote { author, text })?;
        }
        restored.retention = self.retention;
        let nobody_wrote = Self { retention: None, ..self.clone() }.is_nothing();
        if !nobody_wrote
            && (&self.description, &self.notes) != (&restored.description, &restored.notes)
        {
            return Err(Refused::Written);
        }
        *self = restored;
        Ok(())
    }

    /// Whether nobody ever wrote anything.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn weigh(&self, more: usize) -> Result<(), Refused> {
        let notes = self.notes.iter().map(|it| it.author.len() + it.text.len());
        let bytes = self.description.len() + notes.sum::<usize>();
        if bytes + more > WEIGHT { Err(Refused::TooMuch) } else { Ok(()) }
    }
}

fn check(text: &str, most: usize) -> Result<(), Refused> {
    if text.len() > most {
        return Err(Refused::TooLong { bytes: text.len(), most });
    }
    let is_text = |it: char| matches!(it, '\n' | '\r' | '\t') || !it.is_control();
    if text.chars().all(is_text) { Ok(()) } else { Err(Refused::NoText) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Change {
        Change::AddNote { author: "ada".into(), text: text.into() }
    }

    #[test]
    fn notes_keep_their_numbers_and_none_is_used_twice() {
        let mut about = About::default();
        for (at, text) in [(1, "one"), (2, "two")] {
            about.change(Timestamp(at), note(text)).unwrap();
        }
        about.change(Timestamp(3), Change::RemoveNote(2)).unwrap();
        about.change(Timestamp(4), note("three\n")).unwrap();
        let notes: Vec<_> = about.notes.iter().map(|it| (it.number, it.at.0, &*it.text)).collect();
        assert_eq!(notes, [(1, 1, "one"), (3, 4, "three\n")]);
        let gone = about.change(Timestamp(5), Change::RemoveNote(2));
        assert_eq!(gone, Err(Refused::NoNote(2)));
    }

    #[test]
    fn what_was_written_elsewhere_comes_as_it_was_and_replaces_nothing() {
        let mut from = About::default();
        for change in
            [Change::Describe("# It".into()), note("one"), note("two"), Change::RemoveNote(1)]
        {
            from.change(Timestamp(7), change).unwrap();
        }
        let restore = |about: &About| Change::Restore {
            description: about.description.clone(),
            notes: about.notes.clone(),
        };
        let mut to = About::default();
        for _ in 0..2 {
            to.change(Timestamp(9), restore(&from)).unwrap();
            assert_eq!(to, from);
        }
        to.change(Timestamp(9), note("mine")).unwrap();
        assert_eq!(to.change(Timestamp(9), restore(&from)), Err(Refused::Written));
        for wrong in [0, 2] {
            let mut wild = from.clone();
            wild.notes.push(Note { number: wrong, ..wild.notes[0].clone() });
            let refused = About::default().change(Timestamp(9), restore(&wild));
            assert_eq!(refused, Err(Refused::NoNotes), "{wrong}");
        }
    }

    #[test]
    fn what_is_too_much_changes_nothing() {
        let mut about = About::default();
        about.change(Timestamp(1), Change::Describe("# What it is".into())).unwrap();
        let before = about.clone();
        let too_long = "x".repeat(DESCRIPTION + 1);
        for (change, refused) in [
            (
                Change::Describe(too_long),
                Refused::TooLong { bytes: DESCRIPTION + 1, most: DESCRIPTION },
            ),
            (Change::Describe("a\0b".into()), Refused::NoText),
            (note(" \n"), Refused::Empty),
            (note(&"x".repeat(NOTE + 1)), Refused::TooLong { bytes: NOTE + 1, most: NOTE }),
        ] {
            assert_eq!(about.change(Timestamp(2), change), Err(refused));
            assert_eq!(about, before);
        }
        let full = (0..).find_map(|_| about.change(Timestamp(3), note(&"x".repeat(NOTE))).err());
        assert_eq!(full, Some(Refused::TooMuch));
        assert_eq!(about.notes.len(), (WEIGHT - 12) / (NOTE + 3));
        let mut many = About::default();
        let full = (0..).find_map(|_| many.change(Timestamp(3), note("x")).err());
        assert_eq!((full, many.notes.len()), (Some(Refused::TooMany), NOTES));
        many.change(Timestamp(4), Change::RemoveNote(1)).unwrap();
        many.change(Timestamp(4), note("x")).unwrap();
    }

    #[test]
    fn a_rule_is_set_and_taken_back_and_nobody_had_one_before() {
        let mut about = About::default();
        let rule = Retention { outputs: crate::time::Millis(90_000) };
        about.change(Timestamp(1), Change::Retain(Some(rule))).unwrap();
        assert_eq!(about.retention, Some(rule));
        assert!(!about.is_nothing());
        about.change(Timestamp(2), Change::Retain(None)).unwrap();
        assert!(about.is_nothing());
    }
}
