//! Every text once, with a short number in its place.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Bytes of a text that are looked at: what is longer is compared as if it ended there.
pub const LOOKED_AT: usize = 1000;

/// The number of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextId(NonZeroU32);

/// Texts and how often each is used; one that is not used any more goes.
#[derive(Debug, Default)]
pub struct Texts {
    entries: Vec<Entry>,
    ids: HashMap<Arc<str>, TextId>,
    free: Vec<TextId>,
}

#[derive(Debug)]
struct Entry {
    text: Arc<str>,
    uses: u32,
}

impl Texts {
    /// Uses a text once more.
    pub fn take(&mut self, text: &str) -> TextId {
        let text = looked_at(text);
        if let Some(id) = self.ids.get(text).copied() {
            self.entries[id.index()].uses += 1;
            return id;
        }
        let text: Arc<str> = text.into();
        let entry = Entry { text: text.clone(), uses: 1 };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id.index()] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                let number = u32::try_from(self.entries.len()).expect("memory ends before");
                TextId(NonZeroU32::new(number).expect("there is one"))
            }
        };
        self.ids.insert(text, id);
        id
    }

    /// Uses it once less.
    pub fn give_back(&mut self, id: TextId) {
        let entry = &mut self.entries[id.index()];
        entry.uses -= 1;
        if entry.uses == 0 {
            self.ids.remove(&entry.text);
            entry.text = "".into();
            self.free.push(id);
        }
    }

    /// The number of a text that somebody uses.
    pub fn find(&self, text: &str) -> Option<TextId> {
        self.ids.get(looked_at(text)).copied()
    }

    pub fn text(&self, id: TextId) -> &str {
        &self.entries[id.index()].text
    }

    /// No number of a text is as high.
    pub fn bound(&self) -> usize {
        self.entries.len()
    }
}

impl TextId {
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    pub fn to_bits(self) -> u64 {
        self.0.get().into()
    }

    /// Of what [`to_bits`](Self::to_bits) gave.
    pub fn from_bits(bits: u64) -> Self {
        let number = u32::try_from(bits).ok().and_then(NonZeroU32::new);
        Self(number.expect("it was the number of a text"))
    }
}

pub fn looked_at(text: &str) -> &str {
    &text[..text.floor_char_boundary(LOOKED_AT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_as_long_as_it_is_used() {
        let mut texts = Texts::default();
        let (ada, bob) = (texts.take("ada"), texts.take("bob"));
        assert_eq!((texts.take("ada"), texts.text(bob)), (ada, "bob"));
        texts.give_back(ada);
        assert_eq!(texts.find("ada"), Some(ada));
        texts.give_back(ada);
        assert_eq!(texts.find("ada"), None);
        assert_eq!((texts.take("eve"), texts.bound()), (ada, 2));
    }

    #[test]
    fn a_long_text_is_looked_at_in_part() {
        let mut texts = Texts::default();
        let long = texts.take(&"ä".repeat(600));
        assert_eq!(texts.text(long).len(), LOOKED_AT);
        assert_eq!(texts.find(&"ä".repeat(501)), Some(long));
    }
}
