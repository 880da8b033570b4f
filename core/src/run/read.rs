//! How the pieces of a spool are taken in: what of one is new, up to where it was read, which segment its points go to. Whoever
//! commits the run after each piece, and answers with [`Run::offset`] then, counts every event once, whoever dies when: what was
//! not committed is read again from the offset that was.

use std::ops::ControlFlow;

use super::{Entry, Run, Segment, Spool, lines};
use crate::id::{Attempt, Epoch};

impl Run {
    /// Where what is new begins in a piece of this attempt's spool. `None` = nothing of it is, or something before it is missing.
    pub fn unread(&self, attempt: Attempt, offset: u64, length: usize) -> Option<usize> {
        let new = self.offset(attempt).checked_sub(offset)?;
        usize::try_from(new).ok().filter(|it| *it < length)
    }

    /// Reads on in this attempt's spool and gives each event to `take`, which puts it into the run or breaks before it. `last`:
    /// nothing follows this piece. `parse` reads the JSON of one event. Returns the bytes that were read.
    pub fn read<'a>(
        &mut self,
        attempt: Attempt,
        piece: &'a [u8],
        last: bool,
        parse: impl Fn(&'a [u8]) -> Option<Entry<'a>>,
        mut take: impl FnMut(&mut Self, Entry<'a>) -> ControlFlow<()>,
    ) -> usize {
        let skipping = self.attempts.get(&attempt).is_some_and(|it| it.skipping);
        let read = lines::read(piece, skipping, last, parse, |entry| take(self, entry));
        if read.consumed > 0 {
            self.left.unreadable += read.unreadable;
            let spool = self.attempts.entry(attempt).or_default();
            spool.offset += read.consumed as u64;
            spool.skipping = read.skipping;
        }
        read.consumed
    }
}

impl Spool {
    /// The one that the leader of this epoch writes to.
    pub fn segment_of(&mut self, epoch: Epoch) -> &mut Segment {
        if self.segments.last().is_none_or(|it| it.epoch != epoch) {
            self.segments.push(Segment { epoch, bytes: 0 });
        }
        self.segments.last_mut().expect("there is one now")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_piece_only_what_lies_behind_the_offset_is_new_and_nothing_behind_a_gap() {
        let mut run = Run::default();
        let attempt = Attempt(1);
        assert_eq!(run.unread(attempt, 0, 5), Some(0));
        assert_eq!(run.unread(attempt, 0, 0), None);
        run.attempts.entry(attempt).or_default().offset = 10;
        assert_eq!(run.unread(attempt, 4, 20), Some(6));
        assert_eq!(run.unread(attempt, 10, 1), Some(0));
        for (offset, length) in [(4, 6), (4, 2), (11, 5), (u64::MAX, 5)] {
            assert_eq!(run.unread(attempt, offset, length), None, "{offset} {length}");
        }
        assert_eq!(run.unread(Attempt(2), 10, 5), None);
    }
}
