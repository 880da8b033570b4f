//! Folders that a job uploads and any job downloads: `synced/<key>/` of the job. A version replaces the one before as a whole;
//! only content that is in neither of them travels.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use atlas_core::{BundleId, Identity};
use atlas_runtime::storage::incoming::Announced;
use atlas_runtime::storage::{self, version};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::incoming::{Failed, below};
use super::{Error, Received, Service};
use crate::reactor;

const SYNCED: &str = "synced";
/// The file in each folder that says what is in it, by hash.
const NOTE: &str = ".atlas-synced.json";
/// Files of one folder, and folders of one job.
const MOST_FILES: usize = 10_000;
const MOST_KEYS: usize = atlas_core::run::limits::SYNCED;
/// Bytes of the file that says what is in it.
const LONGEST_NOTE: u64 = 32 << 20;

/// A file of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncedFile {
    pub path: String,
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

/// What is in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When it was uploaded, in milliseconds since 1970; `None` = never.
    pub at_ms: Option<u64>,
    pub files: Vec<SyncedFile>,
}

impl Service {
    /// What is in a folder of a job by now.
    pub async fn synced(&self, job: &str, key: &str) -> Result<Version, Error> {
        let job = self.find(job).await?;
        let key = plain(key)?;
        if let Some(removal) = job.status.state.removal() {
            return Err(Error::removed(job.id, removal));
        }
        let all = self.archive.job(job.id).join(SYNCED);
        let read = move || Ok(current(&all, &key)?.unwrap_or_default());
        let there = async { Ok(()) };
        self.alone(&self.archive.job(job.id).join(SYNCED), there, "read the folder", read).await
    }

    /// Makes these files the content of a folder. Of those that are returned the content is not there; then nothing has changed.
    pub async fn put_synced(
        &self,
        who: &Identity,
        job: &str,
        key: &str,
        files: Vec<SyncedFile>,
    ) -> Result<Vec<String>, Error> {
        let job = self.running(who, job).await?;
        let key = plain(key)?;
        check(&files, self.max_output)?;
        let (all, top) = (self.archive.job(job).join(SYNCED), self.archive.jobs());
        let next = Version { at_ms: Some(reactor::now().wall.0), files };
        let replace = {
            let all = all.clone();
            move || commit(&all, &top, &key, &next)
        };
        self.alone(&all, self.goes_on(job), "replace the folder", replace).await
    }

    /// Takes in a piece of content for a folder of the job.
    pub async fn put_synced_content(
        &self,
        who: &Identity,
        job: &str,
        (sha256, bytes): (&str, u64),
        offset: u64,
        data: Bytes,
    ) -> Result<Received, Error> {
        let job = self.running(who, job).await?;
        let path = Path::new(version::COMING).join(sha256);
        let file = Announced { path, bytes, sha256: digest(sha256)? };
        self.receive(job, SYNCED, file, offset, data).await
    }
}

/// The content that lacks; where none does, the folder is another one now. Blocks.
fn commit(all: &Path, top: &Path, key: &str, next: &Version) -> Result<Vec<String>, Failed> {
    let before = current(all, key)?;
    if before.is_none() && keys(all)? >= MOST_KEYS {
        let why =
            format!("would be the job's folder number {}; {MOST_KEYS} are the most", MOST_KEYS + 1);
        return Err(Failed::Invalid("key", why));
    }
    let known: BTreeMap<(&str, u64), PathBuf> = before
        .iter()
        .flat_map(|it| &it.files)
        .map(|it| ((&*it.sha256, it.bytes), Path::new(key).join(&it.path)))
        .collect();
    let (mut placed, mut came, mut lacks) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for SyncedFile { path, bytes, sha256 } in &next.files {
        let coming = Path::new(version::COMING).join(sha256);
        let from = match known.get(&(&**sha256, *bytes)) {
            Some(from) => from.clone(),
            None if is_there(all, &coming, *bytes)? => coming.clone(),
            None => {
                lacks.insert(sha256.clone());
                continue;
            }
        };
        came.insert(coming);
        placed.push(version::Placed { path: path.into(), from });
    }
    if !lacks.is_empty() {
        return Ok(lacks.into_iter().collect());
    }
    let text = serde_json::to_vec(next).map_err(io::Error::other)?;
    version::replace(all, top, key, &placed, (NOTE, &text))?;
    version::forget(all, &came.into_iter().collect::<Vec<_>>())?;
    Ok(Vec::new())
}

/// `None` = none was uploaded, or what says what is in it cannot be read: then all is sent again. Blocks.
fn current(all: &Path, key: &str) -> io::Result<Option<Version>> {
    version::mend(all, key)?;
    let Some(note) = open(all, &Path::new(key).join(NOTE))? else { return Ok(None) };
    let mut text = Vec::new();
    note.take(LONGEST_NOTE).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

fn is_there(all: &Path, path: &Path, bytes: u64) -> io::Result<bool> {
    Ok(match open(all, path)? {
        Some(file) => file.metadata()?.len() == bytes,
        None => false,
    })
}

fn open(all: &Path, path: &Path) -> io::Result<Option<File>> {
    let opened = File::open(all).and_then(|it| storage::open(it.as_fd(), path));
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

fn keys(all: &Path) -> io::Result<usize> {
    match std::fs::read_dir(all) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        entries => Ok(entries?
            .flatten()
            .filter(|it| !storage::is_part(it.file_name().as_encoded_bytes()))
            .count()),
    }
}

/// The name of a folder that a key has.
fn plain(key: &str) -> Result<String, Error> {
    below("key", Path::new(key))?;
    if key.len() > atlas_core::run::limits::KEY || key.contains('/') {
        return Err(Error::invalid("key", "is too long, or no plain name"));
    }
    Ok(key.to_owned())
}

fn check(files: &[SyncedFile], most: u64) -> Result<(), Error> {
    if files.len() > MOST_FILES {
        let why = format!("are {}; a folder has at most {MOST_FILES}", files.len());
        return Err(Error::invalid("files", why));
    }
    let mut paths = BTreeSet::new();
    for SyncedFile { path, bytes: _, sha256 } in files {
        below("files", Path::new(path))?;
        digest(sha256)?;
        if path == NOTE || !paths.insert(Path::new(path)) {
            return Err(Error::invalid("files", format!("{path:?} is there twice")));
        }
    }
    if let Some(within) = files
        .iter()
        .find(|it| Path::new(&it.path).ancestors().skip(1).any(|folder| paths.contains(folder)))
    {
        let why = format!("{:?} is in a folder that is also a file", within.path);
        return Err(Error::invalid("files", why));
    }
    let bytes = files.iter().fold(0_u64, |sum, it| sum.saturating_add(it.bytes));
    if bytes > most {
        let why = format!("hold {bytes} bytes; --max-output of the master allows {most}");
        return Err(Error::invalid("files", why));
    }
    Ok(())
}

/// 64 hexadecimal digits as bytes.
pub fn digest(text: &str) -> Result<[u8; 32], Error> {
    let id: Result<BundleId, _> = text.parse();
    id.map(BundleId::sha256)
        .map_err(|_| Error::invalid("sha256", "is not 64 lower-case hex digits"))
}
