//! `git.diff` of a job: what was not committed when it was submitted.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::path::Path;

use atlas_core::JobId;
use atlas_core::spec::GitDiff;
use atlas_runtime::storage;

use super::shipping::run;
use super::{Error, Service};
use crate::archive::tree::{self, Entry};
use crate::submission::diff;

const NAME: &str = "git.diff";

impl Service {
    /// Before the job is in the queue, so that none is there without it.
    pub(super) async fn keep_changes(&self, job: JobId, text: String) -> Result<(), Error> {
        let (folder, top) = (self.archive.job(job), self.archive.jobs());
        let keep = move || keep(&folder, &top, &text);
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

/// Under its name it is whole, also after a death and when it is sent twice.
fn keep(folder: &Path, top: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let part = folder.join(storage::part_name(RandomState::new().hash_one(())));
    let path = folder.join(NAME);
    let written = File::create_new(&part)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&part, &path));
    if let Err(error) = written {
        // Nothing that can be done about it.
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    storage::sync_below(top, &[path])
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
