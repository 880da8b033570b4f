//! `git.diff` of a job: what was not committed when it was submitted.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use atlas_core::JobId;
use atlas_core::spec::GitDiff;
use atlas_runtime::process::write_atomic;
use atlas_runtime::storage;

use super::shipping::run;
use super::{Error, Service};
use crate::archive::tree::{self, Entry};
use crate::submission::diff;

pub(super) const NAME: &str = "git.diff";

impl Service {
    /// Before these jobs are in the queue, so that none is there without it.
    pub(super) async fn keep_changes(&self, jobs: &[JobId], text: String) -> Result<(), Error> {
        let folders: Vec<PathBuf> = jobs.iter().map(|it| self.archive.job(*it)).collect();
        let top = self.archive.jobs();
        let keep = move || keep(&folders, &top, &text);
        run(&self.storage.appends, "keep git.diff of the job", keep).await
    }

    /// The job was refused. A master that dies in between leaves it to nobody, or to the same submission again.
    pub(super) async fn forget_changes(&self, job: JobId) {
        // Sent twice at the same time: the other one made it.
        let Ok(None) = self.store.job(job).await else { return };
        let folder = self.archive.job(job);
        let forget = move || {
            fs::remove_file(folder.join(NAME))?;
            fs::remove_dir(folder)
        };
        if let Err(error) = run(&self.storage.appends, "remove git.diff", forget).await {
            tracing::warn!(job.id = %job, "git.diff of a job that was refused stays: {error}");
        }
    }

    /// As they were submitted; `None` = they are not there any more, or are something else.
    pub(super) async fn kept_changes(
        &self,
        job: JobId,
        submitted: GitDiff,
    ) -> Result<Option<String>, Error> {
        let folder = self.archive.job(job);
        let text =
            run(&self.storage.looks, "read git.diff of the job", move || read(&folder)).await?;
        Ok(text.filter(|it| diff::measure(it) == submitted))
    }
}

/// Under its name it is whole, also after a death and when it is sent twice. Jobs that share it have one file by many names: for
/// thousands of them writing it each time would take minutes.
fn keep(folders: &[PathBuf], top: &Path, text: &str) -> io::Result<()> {
    let mut paths = Vec::<PathBuf>::with_capacity(folders.len());
    for folder in folders {
        fs::create_dir_all(folder)?;
        let path = folder.join(NAME);
        let is_linked = paths.first().is_some_and(|first| fs::hard_link(first, &path).is_ok());
        if !is_linked {
            write_atomic(&path, text.as_bytes(), 0o644, false)?;
        }
        paths.push(path);
    }
    storage::sync_below(top, &paths)
}

fn read(folder: &Path) -> io::Result<Option<String>> {
    let file = match tree::look(folder, Path::new(NAME))? {
        Some(Entry::File { file, .. }) => file,
        _ => return Ok(None),
    };
    let mut text = Vec::new();
    file.take(diff::LONGEST + 1).read_to_end(&mut text)?;
    Ok(String::from_utf8(text).ok())
}
