//! The bundles of the cluster: `bundles/<2 hex>/<sha256>.tar.zst` on the shared storage, and `bundles/incoming/` for those that
//! are on their way.
//!
//! A name in here is a promise: a file gets it by a rename, after its content was read to the end and had that hash. A file's
//! time of modification says when somebody last needed it, which is all that the collection goes by; it survives a restart and
//! holds for every master.
//!
//! All calls block; a share that is away can hold them up for long.

mod error;
mod framing;
mod measure;
mod upload;
mod verify;

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use atlas_core::BundleId;

pub use error::Error;
pub use measure::Measure;
pub use verify::TarReader;

/// A bundle is written down as needed again when that is older than this.
const REFRESH: Duration = Duration::from_secs(3600);
/// A day after the last need, which may be written down up to [`REFRESH`] late. So a bundle that is said to be known stays for
/// longer than the hour that clients have to refer to it.
const KEEP: Duration = Duration::from_secs(24 * 3600 + REFRESH.as_secs());
/// An upload that nobody continues.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// What a compressed byte may grow to. Source code and tables stay below; an archive of zeros does not.
const GROWTH: u64 = 20;

const SUFFIX: &str = ".tar.zst";

/// A bundle that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Compressed.
    pub bytes: u64,
    pub measure: Measure,
}

/// The store of bundles. Any number of threads may call it.
#[derive(Debug)]
pub struct Bundles {
    root: PathBuf,
    incoming: PathBuf,
    trash: PathBuf,
    largest: u64,
    /// Held while a bundle is found needed or unneeded, so that none goes after somebody was told that it is there.
    deciding: Mutex<()>,
    /// Shared while an upload is written to, alone to take it away from its writers.
    writing: RwLock<()>,
}

impl Bundles {
    /// Opens the store on the shared storage, which has to be there. No bundle may be larger than `largest` bytes, compressed.
    pub fn open(shared: &Path, largest: u64) -> Result<Self, Error> {
        let root = shared.join("bundles");
        let incoming = root.join("incoming");
        for folder in [&root, &incoming] {
            match fs::create_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(Error::io(folder))?,
            }
        }
        let (deciding, writing) = (Mutex::default(), RwLock::default());
        Ok(Self {
            root,
            incoming,
            trash: shared.join("trash").join("bundles"),
            largest,
            deciding,
            writing,
        })
    }

    /// A bundle that is there. It then stays for an hour at least, referred to or not. A file that does not say what it
    /// measures was not verified here, and is taken for none.
    pub fn known(&self, id: BundleId) -> Result<Option<Known>, Error> {
        let path = self.path(id);
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(metadata) = if_there(&path)? else { return Ok(None) };
        let read = File::open(&path).and_then(|file| Measure::read(&file));
        let Some(measure) = read.map_err(Error::io(&path))? else { return Ok(None) };
        refresh(&path, &metadata, SystemTime::now())?;
        Ok(Some(Known { bytes: metadata.len(), measure }))
    }

    /// Refuses a compressed size before anything is sent.
    pub fn admit(&self, bytes: u64) -> Result<(), Error> {
        if bytes > self.largest { Err(Error::TooLarge { limit: self.largest }) } else { Ok(()) }
    }

    /// What it occupies; nothing if it is not there. It is not thereby needed.
    pub fn bytes(&self, id: BundleId) -> Result<u64, Error> {
        Ok(if_there(&self.path(id))?.map_or(0, |it| it.len()))
    }

    /// The compressed file of a bundle, and how much of it its client sent.
    pub fn open_file(&self, id: BundleId) -> Result<(File, u64), Error> {
        let path = self.path(id);
        let open = || {
            let file = File::open(&path)?;
            let sent = Measure::sent(&file)?;
            Ok((file, sent))
        };
        open().map_err(Error::io(&path))
    }

    /// The archive of a bundle, for `tar::Archive`, which is thereby kept from entries that it would hold in memory.
    pub fn read_tar(&self, id: BundleId) -> io::Result<TarReader> {
        TarReader::new(File::open(self.path(id))?)
    }

    /// Moves to the trash what nobody has referred to for a day, and removes uploads that nobody continued.
    pub fn collect(
        &self,
        is_used: impl Fn(&BundleId) -> bool,
        now: SystemTime,
    ) -> Result<(), Error> {
        for shard in list(&self.root)? {
            if shard == self.incoming {
                continue;
            }
            for path in list(&shard)? {
                if let Some(id) = id_of(&path) {
                    self.collect_one(id, &path, &is_used, now)?;
                }
            }
        }
        for path in list(&self.incoming)? {
            if if_there(&path)?.is_some_and(|it| age(&it, now) >= STALE) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    fn collect_one(
        &self,
        id: BundleId,
        path: &Path,
        is_used: &impl Fn(&BundleId) -> bool,
        now: SystemTime,
    ) -> Result<(), Error> {
        let Some(metadata) = if_there(path)? else { return Ok(()) };
        if age(&metadata, now) < REFRESH {
            return Ok(());
        }
        if is_used(&id) {
            return refresh(path, &metadata, now);
        }
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked for since?
        if if_there(path)?.is_some_and(|it| age(&it, now) >= KEEP) {
            fs::create_dir_all(&self.trash).map_err(Error::io(&self.trash))?;
            fs::rename(path, self.trash.join(format!("{id}{SUFFIX}"))).map_err(Error::io(path))?;
            tracing::info!(bundle.id = %id, "bundle {id} went to the trash: no job has referred to it for a day");
        }
        Ok(())
    }

    fn path(&self, id: BundleId) -> PathBuf {
        self.root.join(id.shard()).join(format!("{id}{SUFFIX}"))
    }

    /// What a compressed file of this size may hold.
    fn most_unpacked(&self) -> u64 {
        self.largest.saturating_mul(GROWTH)
    }
}

fn id_of(path: &Path) -> Option<BundleId> {
    path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.parse().ok()
}

/// Writes down that a bundle is needed now.
fn refresh(path: &Path, metadata: &Metadata, now: SystemTime) -> Result<(), Error> {
    if age(metadata, now) < REFRESH {
        return Ok(());
    }
    let touched = File::open(path).and_then(|file| file.set_modified(now));
    touched.map_err(Error::io(path))
}

/// Nothing for a file of the future: clocks differ.
fn age(metadata: &Metadata, now: SystemTime) -> Duration {
    metadata.modified().ok().and_then(|it| now.duration_since(it).ok()).unwrap_or_default()
}

fn if_there(path: &Path) -> Result<Option<Metadata>, Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io(path)(source)),
    }
}

/// The paths in a folder; none where there is no folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(source) => return Err(Error::io(folder)(source)),
    };
    listing.map(|it| Ok(it.map_err(Error::io(folder))?.path())).collect()
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::io(path)),
    }
}

/// Reads until the buffer is full or there is no more.
fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
