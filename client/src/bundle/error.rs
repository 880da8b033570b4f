//! Why a job directory could not be made into a bundle.

use std::io;
use std::path::PathBuf;

use super::Rule;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the job directory {} is not a directory", dir.display())]
    NotADirectory { dir: PathBuf },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} lies more than {limit} folders deep: leave it out with .atlasignore", path.display())]
    TooDeep { path: PathBuf, limit: usize },
    #[error(
        "{} holds more than {limit} files: leave folders out with .atlasignore or pass large data by a volume",
        dir.display()
    )]
    TooMany { dir: PathBuf, limit: usize },
    #[error("the path {} is longer than {limit} bytes", path.display())]
    TooLong { path: PathBuf, limit: usize },
    #[error(
        "{} is named in the command but stays behind by {rule}: change that rule, write an .atlasignore (it takes the place \
         of .gitignore) or use --no-ignore",
        path.display()
    )]
    Ignored { path: PathBuf, rule: Rule },
    #[error("{} changed while it was being packed: submit again when nothing writes to it", path.display())]
    Changed { path: PathBuf },
    #[error("cannot write the bundle")]
    Write(#[source] io::Error),
    #[error("cannot write the bundle to a temporary file in {} (set TMPDIR to a folder with room)", dir.display())]
    Temp { dir: PathBuf, source: io::Error },
}
