//! The folders that are open while a bundle is unpacked: the one that is being filled and those that it lies in.
//!
//! Entries come in an order in which all of a folder follows it, so each folder is opened once, and a name is resolved by no
//! more than its last part.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::Refusal;

/// Folders within folders; each is held open.
const MAX_DEPTH: usize = 128;

pub(super) struct Folders {
    root: OwnedFd,
    /// Each name begins with the one before it.
    open: Vec<(Vec<u8>, OwnedFd)>,
}

impl Folders {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root, open: Vec::new() }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The open folder that a name lies in, and the last part of the name. Closes those that it does not lie in.
    pub(super) fn parent_of<'a>(
        &mut self,
        name: &'a [u8],
    ) -> Result<(BorrowedFd<'_>, &'a [u8]), Refusal> {
        let rest = self.rest_of(name);
        if rest.contains(&b'/') {
            return Err(Refusal::NoFolder);
        }
        Ok((self.last(), rest))
    }

    /// The folder that a name lies in, which is there: opened again where it is closed, through no link.
    pub(super) fn reopen_parent_of<'a>(
        &mut self,
        name: &'a [u8],
    ) -> io::Result<(BorrowedFd<'_>, &'a [u8])> {
        let mut rest = self.rest_of(name);
        while let Some(slash) = rest.iter().position(|it| *it == b'/') {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = rustix::fs::openat(self.last(), &rest[..slash], flags, Mode::empty())?;
            rest = &rest[slash + 1..];
            self.open.push((name[..name.len() - rest.len()].to_vec(), folder));
        }
        Ok((self.last(), rest))
    }

    /// Remembers a folder that was made in the one returned last.
    pub(super) fn push(&mut self, name: &[u8], folder: OwnedFd) -> Result<(), Refusal> {
        if self.open.len() == MAX_DEPTH {
            return Err(Refusal::TooDeep);
        }
        self.open.push((name.to_vec(), folder));
        Ok(())
    }

    /// What of a name lies below the deepest open folder that it lies in, without the slash of a folder.
    fn rest_of<'a>(&mut self, name: &'a [u8]) -> &'a [u8] {
        while self.open.pop_if(|(folder, _)| !name.starts_with(folder)).is_some() {}
        let rest = &name[self.open.last().map_or(0, |(folder, _)| folder.len())..];
        rest.strip_suffix(b"/").unwrap_or(rest)
    }

    fn last(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(self.root.as_fd(), |(_, folder)| folder.as_fd())
    }
}
