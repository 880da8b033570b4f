//! `atlas ls JOB [PATH]`

use std::collections::BTreeMap;

use atlas_proto::wire::FileEntry;

use crate::connect::Master;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::say::Say;
use crate::target::Target;
use crate::views::{FileView, JobView};

/// List the files that are kept of a job; of a running one, those on its node
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  atlas ls 4554\n  atlas ls 4554 outputs\n  atlas ls --recursive 4554 source\n\n\
    source/ is what was submitted, work/ what a running job sees, outputs/ what it left,\ncheckpoints/ what it may resume from."
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Also what is in folders
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Id of the job, or a unique beginning of 4 digits and more
    job: String,
    /// A folder or file of it
    #[arg(default_value = "", hide_default_value = true)]
    path: String,
    #[command(flatten)]
    output: Output,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, recursive, job, path, output } = args;
    let path = path.trim_matches('/').to_owned();
    let master = target.connect(say).await?;
    let mut listing = Listing {
        below: if path.is_empty() { path.clone() } else { format!("{path}/") },
        recursive,
        files: BTreeMap::new(),
    };
    read(&master, &job, &path, |entry| listing.take(entry)).await?;
    if path.is_empty()
        && let Some(removal) = JobView::from(master.job(&job).await?).removal
    {
        say.info(format_args!("What this job wrote was {removal}."));
    }
    let files: Vec<FileView> = listing.files.into_values().collect();
    output::list(output.output, &files).map_err(Error::Output)?;
    Ok(Exit::SUCCESS)
}

async fn read(
    master: &Master,
    job: &str,
    path: &str,
    mut take: impl FnMut(FileEntry),
) -> Result<(), Error> {
    let mut entries = master.list_files(job, path).await?;
    while let Some(entry) = entries.message().await.map_err(|it| master.broken(&it))? {
        take(entry);
    }
    Ok(())
}

/// What is shown. The master names everything below the path; a folder then stands for what is in it.
struct Listing {
    /// Empty, or ends with a slash.
    below: String,
    recursive: bool,
    files: BTreeMap<String, FileView>,
}

impl Listing {
    fn take(&mut self, entry: FileEntry) {
        let name = entry.path.strip_prefix(&self.below).unwrap_or(&entry.path);
        // The folder itself.
        if name.is_empty() || format!("{}/", entry.path) == self.below {
            return;
        }
        match name.split_once('/') {
            Some((folder, _)) if !self.recursive => {
                let path = format!("{}{folder}", self.below);
                let sum = self.files.entry(path.clone()).or_insert_with(|| FileView::folder(path));
                sum.bytes += entry.bytes;
            }
            _ => {
                let mut view = FileView::from(entry);
                // What is in a folder may have been named before the folder.
                view.bytes += self.files.get(&view.path).map_or(0, |it| it.bytes);
                self.files.insert(view.path.clone(), view);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_proto::wire::FileKind;

    fn listed(below: &str, recursive: bool) -> Vec<(String, u64)> {
        let mut listing = Listing { below: below.into(), recursive, files: BTreeMap::new() };
        for (path, bytes, kind) in [
            ("outputs", 0, FileKind::Folder),
            ("outputs/a", 0, FileKind::Folder),
            ("outputs/a/x", 10, FileKind::File),
            ("outputs/a/y", 5, FileKind::File),
            ("outputs/z", 1, FileKind::File),
        ] {
            if path.starts_with(below.trim_end_matches('/')) {
                listing.take(FileEntry {
                    path: path.into(),
                    bytes,
                    kind: kind.into(),
                    ..Default::default()
                });
            }
        }
        listing.files.into_values().map(|it| (it.path, it.bytes)).collect()
    }

    #[test]
    fn a_folder_stands_for_what_is_in_it() {
        assert_eq!(listed("", false), [("outputs".into(), 16)]);
        assert_eq!(listed("outputs/", false), [("outputs/a".into(), 15), ("outputs/z".into(), 1)]);
    }

    #[test]
    fn recursively_everything_is_named() {
        let names: Vec<_> = listed("outputs/", true).into_iter().map(|it| it.0).collect();
        assert_eq!(names, ["outputs/a", "outputs/a/x", "outputs/a/y", "outputs/z"]);
    }
}
