//! `atlas get job CONFIG JOB`

use std::io;
use std::path::{Path, PathBuf};

use atlas_proto::wire::{FileEntry, FileKind};
use futures::TryStreamExt;
use indicatif::ProgressBar;
use tokio_util::io::{StreamReader, SyncIoBridge};
use tonic::Status;

use crate::connect::{self, Master};
use crate::error::Error;
use crate::exit::Exit;
use crate::fetch::{self, Beneath, Fetched, untar};
use crate::output;
use crate::say::Say;
use crate::target::{Target, connect};
use crate::views::JobView;

/// Fetch a job's files into ./<id>/: what was submitted, what it left, its log and checkpoints; goes on where it was
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "atlas get job [OPTIONS] CONFIG JOB",
    after_help = "Examples:\n  atlas get job scheduler 4554\n  atlas get job --source_dir outputs --save_dir results scheduler 4554\n\n\
        Files that are there with the same size and time are not fetched again. Works on running jobs too."
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Folder to put ./<id>/ into
    #[arg(long = "save_dir", alias = "save-dir", value_name = "D", default_value = ".")]
    save_dir: PathBuf,
    /// Only this folder or file of the job, as `atlas ls` shows it [default: all of it]
    #[arg(
        long = "source_dir",
        alias = "source-dir",
        value_name = "S",
        default_value = "",
        hide_default_value = true
    )]
    source_dir: String,
    /// Configuration of the cluster (left out when --config names it)
    #[arg(value_name = "CONFIG")]
    first: String,
    /// Id of the job, or a unique beginning of 4 digits and more
    #[arg(value_name = "JOB")]
    rest: Vec<String>,
}

/// So few files are fetched one by one; of more the whole folder comes again, and what is there passes by.
const ONE_BY_ONE: usize = 32;
/// A job that runs writes on; more often one does not run after it.
const PASSES: u32 = 3;

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, save_dir, source_dir, first, rest } = args;
    let (config, jobs) = target.split_jobs("get job", first, rest)?;
    let [job] = jobs.as_slice() else {
        return Err(Error::usage("`atlas get job` fetches one job at a time"));
    };
    let master = connect(Some(&config), say).await?;
    let JobView { id, removal, .. } = master.job(job).await?.into();
    let into = save_dir.join(&id);
    let fetch =
        Fetch { master: &master, id: &id, source: source_dir.trim_matches('/'), into: &into, say };
    keep_apart(&into)?;
    fetch.all().await?;
    if let Some(removal) = removal.filter(|_| fetch.source.is_empty()) {
        say.warn(format_args!("What job {id} wrote was {removal}: the rest of it was fetched."));
    }
    say.info(format_args!("Successfully retrieved Job {id} into {}", into.display()));
    Ok(Exit::SUCCESS)
}

/// What was fetched into a job directory travels with no job of it, and is nothing that git has to know.
fn keep_apart(into: &Path) -> Result<(), Error> {
    let folder = Beneath::open(into)?;
    for name in [".gitignore", ".atlasignore"] {
        if into.join(name).symlink_metadata().is_err() {
            folder.file(Path::new(name), &mut &b"*\n"[..], false, None)?;
        }
    }
    Ok(())
}

/// Files of a job on their way into a folder.
pub(super) struct Fetch<'a> {
    pub master: &'a Master,
    pub id: &'a str,
    /// Below the job's archive; empty = all of it.
    pub source: &'a str,
    pub into: &'a Path,
    pub say: Say,
}

/// What the master has and the folder has not.
#[derive(Default)]
struct Missing {
    files: u64,
    bytes: u64,
    /// The first of them.
    paths: Vec<String>,
}

impl Fetch<'_> {
    /// Fetches what is missing, again while the connection breaks and comes back, or ends before its time.
    pub(super) async fn all(&self) -> Result<(), Error> {
        let mut patience = self.master.patience();
        let mut passes = 0;
        loop {
            let left = match self.missing().await {
                Ok(missing) if missing.files == 0 || passes == PASSES => {
                    if missing.files > 0 {
                        self.say.warn(output::counted(
                            missing.files,
                            "file changed while it was fetched.",
                            "files changed while they were fetched.",
                        ));
                    }
                    return Ok(());
                }
                Ok(missing) => missing,
                Err(error) => {
                    patience.wait(connection(self.master, error)?).await?;
                    continue;
                }
            };
            match self.fetch(left).await {
                Ok(()) => {
                    patience.recovered();
                    passes += 1;
                }
                Err(error) => patience.wait(connection(self.master, error)?).await?,
            }
        }
    }

    async fn missing(&self) -> Result<Missing, Error> {
        let folder = Beneath::open(self.into)?;
        let mut entries = self.master.list_files(self.id, self.source).await?;
        let mut missing = Missing::default();
        while let Some(entry) = entries.message().await.map_err(|it| self.master.broken(&it))? {
            if !is_there(&entry, &folder) {
                missing.files += 1;
                missing.bytes += entry.bytes;
                if missing.paths.len() <= ONE_BY_ONE {
                    missing.paths.push(entry.path);
                }
            }
        }
        Ok(missing)
    }

    async fn fetch(&self, missing: Missing) -> Result<(), Error> {
        let bar = self.say.bar("Fetching", missing.bytes);
        let few = missing.paths.len() <= ONE_BY_ONE;
        let paths = if few { missing.paths } else { vec![self.source.to_owned()] };
        let mut skipped = 0;
        for path in paths {
            match self.fetch_one(&path, bar.clone()).await {
                Ok(fetched) => skipped += fetched.skipped,
                // A job that runs removes files, too.
                Err(Error::Master(connect::Error::NoSuch { .. })) if few => {}
                Err(error) => return Err(error),
            }
        }
        bar.finish_and_clear();
        if skipped > 0 {
            self.say.warn(output::counted(
                skipped,
                "entry is no file, folder or link and was left out.",
                "entries are no files, folders or links and were left out.",
            ));
        }
        Ok(())
    }

    /// Fetches one file or folder. Files are written on a thread that may block.
    async fn fetch_one(&self, path: &str, bar: ProgressBar) -> Result<Fetched, Error> {
        let chunks = self.master.read_files(self.id, path).await?;
        let data = chunks.map_ok(|it| it.data).map_err(io::Error::other);
        let tar = SyncIoBridge::new(StreamReader::new(data));
        let into = self.into.to_owned();
        let writing = tokio::task::spawn_blocking(move || {
            untar(tar, &Beneath::open(&into)?, |bytes| bar.inc(bytes))
        });
        Ok(writing.await.map_err(|it| Error::io("write the job's files")(it.into()))??)
    }
}

fn is_there(entry: &FileEntry, folder: &Beneath) -> bool {
    let path = Path::new(&entry.path);
    match entry.kind() {
        FileKind::Folder => folder.has_folder(path),
        FileKind::Link => folder.has_link(path, Path::new(&entry.target)),
        FileKind::File | FileKind::Unspecified => {
            let seconds = i64::try_from(entry.modified_ms / 1000).ok().filter(|it| *it > 0);
            folder.has_file(path, entry.bytes, seconds)
        }
    }
}

/// The failure of the connection behind an error, if that is what it is.
fn connection(master: &Master, error: Error) -> Result<connect::Error, Error> {
    match error {
        Error::Master(error) => Ok(error),
        Error::Fetch(fetch::Error::Read(ref source)) => match status(source) {
            Some(status) => Ok(master.broken(status)),
            None if source.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(master.broken(&Status::unavailable("it ended the archive before its end")))
            }
            None => Err(error),
        },
        other => Err(other),
    }
}

/// The status that a stream ended with, however deep readers have wrapped it.
fn status(error: &io::Error) -> Option<&Status> {
    let mut inner: &(dyn std::error::Error + 'static) = error;
    loop {
        if let Some(status) = inner.downcast_ref() {
            return Some(status);
        }
        let wrapped = inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner = match wrapped {
            Some(wrapped) => wrapped,
            None => inner.source()?,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_stream_is_found_in_what_readers_make_of_it() {
        let status_of = |error: &io::Error| status(error).map(Status::code);
        let broken = || io::Error::other(Status::unavailable("gone"));
        assert_eq!(status_of(&broken()), Some(tonic::Code::Unavailable));
        assert_eq!(status_of(&io::Error::other(broken())), Some(tonic::Code::Unavailable));
        assert_eq!(status_of(&io::Error::other("disk")), None);
        assert_eq!(status_of(&io::ErrorKind::UnexpectedEof.into()), None);
    }
}
