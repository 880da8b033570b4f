//! The names in a folder, a batch at a time: what a job made may be one folder of millions of files.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::Dir;

/// Names of a batch: about a megabyte at most.
pub const BATCH: usize = 4096;

/// Batches of names. Those of one batch are in order: a folder of up to [`BATCH`] names comes in order, a larger one does not.
pub struct Names(Option<Dir>);

impl Names {
    /// Reads the folder from its beginning, on a descriptor of its own that is held until the last batch.
    pub fn of(folder: impl AsFd) -> io::Result<Self> {
        Ok(Self(Some(Dir::read_from(folder)?)))
    }
}

impl Iterator for Names {
    type Item = io::Result<Vec<Vec<u8>>>;

    fn next(&mut self) -> Option<Self::Item> {
        let dir = self.0.as_mut()?;
        let mut names = Vec::new();
        while names.len() < BATCH {
            match dir.read() {
                Some(Ok(entry)) => {
                    let name = entry.file_name().to_bytes();
                    if !matches!(name, b"." | b"..") {
                        names.push(name.to_vec());
                    }
                }
                Some(Err(error)) => {
                    self.0 = None;
                    return Some(Err(error.into()));
                }
                None => {
                    self.0 = None;
                    break;
                }
            }
        }
        names.sort_unstable();
        Some(Ok(names))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_huge_folder_comes_in_bounded_batches_and_a_small_one_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let batches = || {
            let names = Names::of(File::open(dir.path()).unwrap()).unwrap();
            names.map(Result::unwrap).collect::<Vec<_>>()
        };
        for name in ["b", "a", "c"] {
            File::create(dir.path().join(name)).unwrap();
        }
        assert_eq!(batches(), [[b"a", b"b", b"c"]]);
        for number in 0..2 * BATCH {
            File::create(dir.path().join(number.to_string())).unwrap();
        }
        let batches = batches();
        assert!(batches.iter().all(|it| it.len() <= BATCH && it.is_sorted()));
        let mut all = batches.concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 2 * BATCH + 3);
    }
}
