//! Whether a stream is an archive of the kind that bundles are (`docs/using/bundle-format.md`), told block by block as it goes
//! by. Names are the concern of whoever unpacks; this keeps out what no reader should meet: foreign kinds of entries, and names
//! that are held in memory and have no end.

const BLOCK: usize = 512;
/// The longest path or target of a link, with its zero byte.
const LONGEST_NAME: u64 = 4096;

/// Where in an archive a stream is.
#[derive(Debug)]
pub(super) struct Framing {
    /// The part of a header that has come.
    header: Vec<u8>,
    state: State,
    entries: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    /// Content and padding still to come.
    Content(u64),
    End,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self { header: Vec::with_capacity(BLOCK), state: State::Header, entries: 0 }
    }

    /// The next bytes of the stream.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            match self.state {
                State::Content(0) => self.state = State::Header,
                State::Content(left) => {
                    let length =
                        usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    self.state = State::Content(left - length as u64);
                    bytes = &bytes[length..];
                }
                State::Header => {
                    let (head, rest) = bytes.split_at(bytes.len().min(BLOCK - self.header.len()));
                    self.header.extend_from_slice(head);
                    bytes = rest;
                    if self.header.len() == BLOCK {
                        self.state = after(&self.header)?;
                        // The end is a block of zeros; long names belong to the entry that follows them.
                        let is_name = matches!(self.header[156], b'K' | b'L');
                        self.entries += u64::from(self.state != State::End && !is_name);
                        self.header.clear();
                    }
                }
                State::End if bytes.iter().all(|it| *it == 0) => return Ok(()),
                State::End => return Err("there is something behind the end of the archive"),
            }
        }
        Ok(())
    }

    /// The stream has ended; so many files, folders and links were in it.
    pub(super) fn end(&self) -> Result<u64, &'static str> {
        if self.state == State::End { Ok(self.entries) } else { Err("the archive ends too early") }
    }
}

fn after(block: &[u8]) -> Result<State, &'static str> {
    if block.iter().all(|it| *it == 0) {
        return Ok(State::End);
    }
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(block);
    let sum: u32 = block[..148].iter().chain(&block[156..]).map(|it| u32::from(*it)).sum::<u32>()
        + 8 * u32::from(b' ');
    if &block[257..265] != b"ustar  \0" || header.cksum().ok() != Some(sum) {
        return Err("a header is not that of a GNU tar");
    }
    let size = header.entry_size().map_err(|_| "a header without a size")?;
    let most = match block[156] {
        b'0' | 0 => u64::MAX - BLOCK as u64,
        b'2' | b'5' => 0,
        b'K' | b'L' => LONGEST_NAME,
        b'1' => return Err("it holds a hard link"),
        _ => return Err("it holds other things than files, folders and links"),
    };
    if size > most {
        return Err("an entry is larger than its kind can be");
    }
    Ok(State::Content(size.next_multiple_of(BLOCK as u64)))
}
