//! The entries of a bundle's archive, checked one by one while it streams by.

use std::ffi::OsStr;
use std::io::{self, BufRead};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Error, Refusal};

const BLOCK: usize = 512;
/// The longest path or target of a link, without its zero byte.
const MAX_PATH: u64 = 4095;
/// The longest part of a path.
const MAX_PART: usize = 255;

/// An entry whose name is safe below any directory, and greater than all before it.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    File { size: u64, executable: bool },
    Folder,
    Link { target: Vec<u8> },
}

/// Reads an archive; after a file its [`Self::content`] has to be taken.
pub(super) struct Entries<R> {
    stream: R,
    left: u64,
    previous: Vec<u8>,
}

impl<R: BufRead> Entries<R> {
    pub(super) fn new(stream: R, most: u64) -> Self {
        Self { stream, left: most, previous: Vec::new() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>, Error> {
        let (mut name, mut target) = (None, None);
        loop {
            let block = self.block()?;
            if block == [0; BLOCK] && name.is_none() && target.is_none() {
                return Ok(None);
            }
            let header = self.checked(&block)?;
            let size = header.entry_size().map_err(|_| self.refused(Refusal::Header))?;
            match block[156] {
                b'L' if name.is_none() => name = Some(self.long(size)?),
                b'K' if target.is_none() => target = Some(self.long(size)?),
                _ => {
                    let name = name.unwrap_or_else(|| text(&block[..100]).to_vec());
                    let target = target.unwrap_or_else(|| text(&block[157..257]).to_vec());
                    return self.entry(name, target, &header, size).map(Some);
                }
            }
        }
    }

    /// Hands on the content of the file that came last.
    pub(super) fn content(
        &mut self,
        size: u64,
        mut write: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut left = size;
        while left > 0 {
            let length = self.take(left, &mut write)?;
            left -= length;
        }
        self.skip_padding(size)
    }

    /// Reads up to the end of the stream, where only zeros may be.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        if self.rest(|bytes| bytes.iter().all(|it| *it == 0))? {
            Ok(())
        } else {
            Err(self.refused(Refusal::Trailing))
        }
    }

    /// The stream, after reading up to its end.
    pub(super) fn into_rest(mut self) -> Result<R, Error> {
        self.rest(|_| true)?;
        Ok(self.stream)
    }

    /// Reads on while what is read is right; says whether that was all.
    fn rest(&mut self, right: impl Fn(&[u8]) -> bool) -> Result<bool, Error> {
        loop {
            let bytes =
                fill(&mut self.stream).map_err(|error| read_error(&self.previous, error))?;
            if bytes.is_empty() || !right(bytes) {
                return Ok(bytes.is_empty());
            }
            let length = bytes.len();
            self.stream.consume(length);
        }
    }

    fn entry(
        &mut self,
        name: Vec<u8>,
        target: Vec<u8>,
        header: &tar::Header,
        size: u64,
    ) -> Result<Entry, Error> {
        let refused = |why| Error::refused(&name, why);
        let kind = match header.as_bytes()[156] {
            b'0' | 0 => {
                let mode = header.mode().map_err(|_| refused(Refusal::Header))?;
                Kind::File { size, executable: mode & 0o100 != 0 }
            }
            b'5' => Kind::Folder,
            b'2' => Kind::Link { target },
            b'1' => return Err(refused(Refusal::HardLink)),
            b'3' | b'4' | b'6' => return Err(refused(Refusal::Device)),
            _ => return Err(refused(Refusal::Kind)),
        };
        check_name(&name, matches!(kind, Kind::Folder)).map_err(refused)?;
        match &kind {
            Kind::Link { target } if target.is_empty() || target.contains(&0) => {
                return Err(refused(Refusal::Name));
            }
            Kind::Link { .. } | Kind::Folder if size != 0 => return Err(refused(Refusal::Header)),
            Kind::File { .. } | Kind::Folder | Kind::Link { .. } => {}
        }
        if name <= self.previous {
            return Err(refused(Refusal::Order));
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| refused(Refusal::TooManyEntries))?;
        self.previous.clone_from(&name);
        Ok(Entry { name, kind })
    }

    /// A header whose magic and checksum are right.
    fn checked(&self, block: &[u8; BLOCK]) -> Result<tar::Header, Error> {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(block);
        let sum: u32 =
            block[..148].iter().chain(&block[156..]).map(|it| u32::from(*it)).sum::<u32>()
                + 8 * u32::from(b' ');
        if &block[257..265] != b"ustar  \0" || header.cksum().ok() != Some(sum) {
            return Err(self.refused(Refusal::Header));
        }
        Ok(header)
    }

    /// A name that did not fit into its header, in a block of its own.
    fn long(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        if size > MAX_PATH + 1 {
            return Err(self.refused(Refusal::Name));
        }
        let mut name = Vec::new();
        self.content(size, |bytes| {
            name.extend_from_slice(bytes);
            Ok(())
        })?;
        match name.pop() {
            Some(0) => Ok(name),
            Some(_) | None => Err(self.refused(Refusal::Name)),
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Error> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            self.take((BLOCK - filled) as u64, |bytes| {
                block[filled..filled + bytes.len()].copy_from_slice(bytes);
                filled += bytes.len();
                Ok(())
            })?;
        }
        Ok(block)
    }

    fn skip_padding(&mut self, size: u64) -> Result<(), Error> {
        let mut left = size.next_multiple_of(BLOCK as u64) - size;
        while left > 0 {
            left -= self.take(left, |_| Ok(()))?;
        }
        Ok(())
    }

    /// Hands on what is in the buffer, at most `most` bytes.
    fn take(
        &mut self,
        most: u64,
        write: impl FnOnce(&[u8]) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let bytes = fill(&mut self.stream).map_err(|error| read_error(&self.previous, error))?;
        if bytes.is_empty() {
            return Err(self.refused(Refusal::Truncated));
        }
        let length = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
        write(&bytes[..length])?;
        self.stream.consume(length);
        Ok(length as u64)
    }

    /// Refused after the entry that came last.
    fn refused(&self, why: Refusal) -> Error {
        Error::refused(&self.previous, why)
    }
}

pub(super) fn path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

fn fill<R: BufRead>(stream: &mut R) -> io::Result<&[u8]> {
    // Twice, since a borrow that is returned in one arm of a loop lasts for all of it.
    while let Err(error) = stream.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    stream.fill_buf()
}

fn read_error(after: &[u8], error: io::Error) -> Error {
    match error.downcast::<Refusal>() {
        Ok(why) => Error::refused(after, why),
        Err(error) => Error::Read(error),
    }
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|it| *it == 0).next().unwrap_or(field)
}

fn check_name(name: &[u8], folder: bool) -> Result<(), Refusal> {
    if name.is_empty() || name.contains(&0) {
        return Err(Refusal::Name);
    }
    if name[0] == b'/' {
        return Err(Refusal::Absolute);
    }
    let path = match (name.strip_suffix(b"/"), folder) {
        (Some(path), true) => path,
        (None, false) => name,
        (Some(_), false) | (None, true) => return Err(Refusal::Slash),
    };
    for part in path.split(|it| *it == b'/') {
        match part {
            b"" | b"." | b".." => return Err(Refusal::Dots),
            _ if part.len() > MAX_PART => return Err(Refusal::Name),
            _ => {}
        }
    }
    Ok(())
}
