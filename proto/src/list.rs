//! Lists that grow with what a node holds: cut into pieces that each fit into a message, and put together again.

use prost::Message;

use crate::{CHUNK, Invalid};

/// The most bytes of a whole list: many millions of entries.
const LONGEST: usize = 1 << 30;

/// Cuts a list into pieces; with each comes whether it is the last. An entry that is longer than a piece should be travels alone,
/// and an empty list is a piece, too.
pub fn pieces<T: Message>(
    entries: impl Iterator<Item = T>,
) -> impl Iterator<Item = (Vec<T>, bool)> {
    let mut entries = entries.peekable();
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        let (mut piece, mut bytes) = (Vec::new(), 0);
        while let Some(entry) =
            entries.next_if(|it| piece.is_empty() || bytes + it.encoded_len() <= CHUNK)
        {
            bytes += entry.encoded_len();
            piece.push(entry);
        }
        over = entries.peek().is_none();
        Some((piece, over))
    })
}

/// A list on its way. It is taken out when its last piece has come, never before.
#[derive(Debug)]
pub struct Gathering<T> {
    entries: Vec<T>,
    bytes: usize,
}

impl<T> Default for Gathering<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), bytes: 0 }
    }
}

impl<T> Gathering<T> {
    /// Takes a piece; gives the whole list with the last.
    pub fn add<W>(&mut self, piece: Vec<W>, last: bool) -> Result<Option<Vec<T>>, Invalid>
    where
        W: Message,
        T: TryFrom<W, Error = Invalid>,
    {
        for entry in piece {
            self.bytes += entry.encoded_len();
            if self.bytes > LONGEST {
                return Err(Invalid::new("list", format!("it is longer than {LONGEST} bytes")));
            }
            self.entries.push(entry.try_into()?);
        }
        Ok(last.then(|| std::mem::take(&mut self.entries)))
    }
}

#[cfg(test)]
mod tests {
    use atlas_core::agent::Report;
    use atlas_core::cluster::Held;
    use atlas_core::{Attempt, JobId};

    use super::*;
    use crate::wire;

    fn held(message: usize) -> wire::Held {
        let lost = wire::Lost { message: "x".repeat(message) };
        wire::Held { report: Some(wire::held::Report::Lost(lost)), ..wire::Held::default() }
    }

    fn cut(lengths: &[usize]) -> Vec<(usize, bool)> {
        let entries = lengths.iter().map(|it| held(*it));
        pieces(entries).map(|(piece, last)| (piece.len(), last)).collect()
    }

    #[test]
    fn a_list_is_cut_into_pieces_that_fit_and_the_last_says_so() {
        assert_eq!(cut(&[]), [(0, true)]);
        assert_eq!(cut(&[5]), [(1, true)]);
        assert_eq!(cut(&[CHUNK / 2, CHUNK / 3, CHUNK / 3]), [(2, false), (1, true)]);
        assert_eq!(cut(&[5, 2 * CHUNK, 5]), [(1, false), (1, false), (1, true)]);
    }

    #[test]
    fn a_list_is_given_out_whole_or_not_at_all() {
        let jobs: Vec<Held> = (0..3)
            .map(|n| Held {
                job: JobId::from_random([n; 16]),
                attempt: Attempt(1),
                report: Report::Starting,
            })
            .collect();
        let mut gathering = Gathering::<Held>::default();
        let piece = |range: std::ops::Range<usize>| -> Vec<wire::Held> {
            jobs[range].iter().map(Into::into).collect()
        };
        assert_eq!(gathering.add(piece(0..2), false).unwrap(), None);
        assert_eq!(gathering.add(piece(2..3), true).unwrap(), Some(jobs.clone()));
    }
}
