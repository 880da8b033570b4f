//! Copies of files for the run, so that what follows cannot change them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Error;
use crate::say::Say;

/// A file or folder that somebody wants kept.
pub struct Source {
    path: PathBuf,
    /// Its own, as text on one line.
    pub name: String,
    pub is_folder: bool,
}

/// What lies below the folder of the spool's files.
pub struct Copy {
    pub path: String,
    pub bytes: u64,
}

impl Source {
    pub fn of(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let found = fs::metadata(path).map_err(failed)?;
        if !found.is_file() && !found.is_dir() {
            return Err(Error::NoFile(path.to_owned()));
        }
        // `.` and what ends in `..` have no name of their own.
        let name = match path.file_name() {
            Some(name) => tidy(name),
            None => path.canonicalize().map_err(failed)?.file_name().map(tidy).unwrap_or_default(),
        };
        let name = if name.is_empty() { "artifact".into() } else { name };
        Ok(Self { path: path.to_owned(), name, is_folder: found.is_dir() })
    }
}

/// The same on every system.
fn tidy(name: &OsStr) -> String {
    let odd = |it: char| it.is_control() || it == '\\';
    name.to_string_lossy().replace(odd, "_")
}

/// Returns when the copy is whole; of one that is not, nothing is left.
pub fn keep(source: &Source, files: &Path, say: Say) -> Result<Copy, Error> {
    let below = uuid::Uuid::new_v4().simple().to_string()[..16].to_owned();
    let holder = files.join(&below);
    let failed = |source| Error::Write { path: holder.clone(), source };
    fs::create_dir_all(&holder).map_err(failed)?;
    let real = holder.canonicalize().map_err(failed)?;
    let to = holder.join(&source.name);
    let copied = Copying { say, above: vec![real] }.copy(&source.path, &to);
    if copied.is_err() {
        // What stays is in nobody's way: no line names it.
        let _ = fs::remove_dir_all(&holder);
    }
    Ok(Copy { bytes: copied?, path: format!("{below}/{}", source.name) })
}

struct Copying {
    say: Say,
    /// Folders that what is copied lies in.
    above: Vec<PathBuf>,
}

impl Copying {
    /// A file, or a folder with all that it leads to; links are followed. Its bytes.
    fn copy(&mut self, from: &Path, to: &Path) -> Result<u64, Error> {
        let unread = |source| Error::Read { path: from.to_owned(), source };
        let unwritten = |source| Error::Write { path: to.to_owned(), source };
        let found = fs::metadata(from).map_err(unread)?;
        if found.is_file() {
            // Not with its mode: the agent, which may be somebody else, has to read it.
            let mut input = File::open(from).map_err(unread)?;
            let mut output = File::create_new(to).map_err(unwritten)?;
            return io::copy(&mut input, &mut output).map_err(unwritten);
        }
        let real = from.canonicalize().map_err(unread)?;
        if !found.is_dir() || self.above.contains(&real) {
            let what = if found.is_dir() { "a folder that it lies in" } else { "no file" };
            self.leave_out(from, what);
            return Ok(0);
        }
        fs::create_dir(to).map_err(unwritten)?;
        self.above.push(real);
        let bytes = self.copy_inner(from, to)?;
        self.above.pop();
        Ok(bytes)
    }

    fn copy_inner(&mut self, from: &Path, to: &Path) -> Result<u64, Error> {
        let unread = |source| Error::Read { path: from.to_owned(), source };
        let entries = fs::read_dir(from).map_err(unread)?;
        let names: io::Result<Vec<_>> = entries.map(|it| Ok(it?.file_name())).collect();
        let mut names = names.map_err(unread)?;
        names.sort();
        let mut bytes = 0;
        for name in names {
            let inner = from.join(&name);
            if inner.is_symlink() && !inner.exists() {
                self.leave_out(&inner, "a link to nothing");
                continue;
            }
            bytes += self.copy(&inner, &to.join(&name))?;
        }
        Ok(bytes)
    }

    fn leave_out(&self, path: &Path, what: &str) {
        let path = path.display();
        self.say.warn(format_args!("{path} was left out of the artifact: it is {what}"));
    }
}
