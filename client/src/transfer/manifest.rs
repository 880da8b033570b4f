//! files.json: everything that a job has in an export, by content.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use atlas_core::BundleId;
use atlas_core::files::{Found, What};
use atlas_runtime::storage;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Error;

/// Things of one job.
const MOST: usize = 1_000_000;
/// In the folder of a job, what it says of itself.
const ITS_OWN: [&str; 2] = ["job.json", "files.json"];

/// In the order of the paths.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest(pub Vec<Thing>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// Below the folder of the job.
    pub path: String,
    #[serde(flatten)]
    pub what: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    File { bytes: u64, sha256: String },
    Link { to: String },
    Folder,
}

impl Manifest {
    /// Of a folder of a job. Reads every file.
    pub fn of(job: &Path) -> Result<Self, Error> {
        let root = File::open(job).map_err(Error::read(job))?;
        let thing = |Found { path, what }: Found| {
            let what = match what {
                What::Folder { mode: _ } => Kind::Folder,
                What::Link(to) => Kind::Link { to: to.to_string_lossy().into_owned() },
                What::File(meta) => {
                    let named = job.join(&path);
                    let opened = storage::open(root.as_fd(), &path).map_err(Error::read(&named))?;
                    let sha256 = digest(opened).map_err(Error::read(&named))?;
                    let sha256 = BundleId::from_sha256(sha256).to_string();
                    Kind::File { bytes: meta.bytes, sha256 }
                }
            };
            Ok(Thing { path: path.to_string_lossy().into_owned(), what })
        };
        everything(job)?.into_iter().map(thing).collect::<Result<_, _>>().map(Self)
    }

    /// Says the first thing that is not what was written down.
    pub fn check(&self, found: &Self, job: &Path) -> Result<(), Error> {
        let mut written = self.0.iter().peekable();
        for thing in &found.0 {
            match written.next_if(|it| it.path <= thing.path) {
                Some(it) if it == thing => {}
                Some(it) if it.path == thing.path => {
                    return Err(Error::wrong(&job.join(&it.path), "is not what files.json says"));
                }
                Some(it) => return Err(Error::wrong(&job.join(&it.path), "is missing")),
                None => {
                    return Err(Error::wrong(&job.join(&thing.path), "is not in files.json"));
                }
            }
        }
        match written.next() {
            Some(it) => Err(Error::wrong(&job.join(&it.path), "is missing")),
            None => Ok(()),
        }
    }
}

/// All that lies in a folder of a job but for what it says of itself, ordered as text.
pub fn everything(job: &Path) -> Result<Vec<Found>, Error> {
    let listed = storage::list(job, MOST).map_err(Error::read(job))?;
    if !listed.is_all() {
        let why = format!("holds more than {MOST} files, or some too deep within each other");
        return Err(Error::wrong(job, why));
    }
    let is_its_own = |it: &Found| ITS_OWN.iter().any(|name| it.path == Path::new(name));
    let mut found: Vec<_> = listed.found.into_iter().filter(|it| !is_its_own(it)).collect();
    found.sort_by_cached_key(|it| it.path.to_string_lossy().into_owned());
    Ok(found)
}

/// The SHA-256 of all that comes.
pub fn digest(mut from: impl Read) -> io::Result<[u8; 32]> {
    let (mut digest, mut piece) = (Sha256::new(), vec![0; 256 << 10]);
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(digest.finalize().into()),
            Ok(read) => digest.update(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_is_what_was_written_down_or_the_first_difference_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let job = dir.path();
        fs::create_dir_all(job.join("files/outputs/empty")).unwrap();
        fs::write(job.join("files/outputs/a"), "abc").unwrap();
        symlink("/etc/passwd", job.join("files/outputs/l")).unwrap();
        fs::write(job.join("job.json"), "{}").unwrap();
        let written = Manifest::of(job).unwrap();
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), written);
        let check = || written.check(&Manifest::of(job).unwrap(), job).map_err(|it| it.to_string());
        assert_eq!(check(), Ok(()));
        let says = |end: &str| {
            let error = check().unwrap_err();
            assert!(error.ends_with(end), "{error}");
        };
        fs::write(job.join("files/outputs/a"), "abd").unwrap();
        says("a: is not what files.json says");
        fs::write(job.join("files/outputs/a"), "abc").unwrap();
        fs::write(job.join("files/new"), "").unwrap();
        says("files/new: is not in files.json");
        fs::remove_file(job.join("files/new")).unwrap();
        fs::remove_file(job.join("files/outputs/l")).unwrap();
        says("files/outputs/l: is missing");
        symlink("/etc/shadow", job.join("files/outputs/l")).unwrap();
        says("l: is not what files.json says");
    }
}
