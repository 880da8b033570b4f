//! Bundles on their way: one file per upload, whose length is the offset where it goes on. The client names the upload and keeps
//! the name over its tries; two clients that send the same bundle write to two files, and the later one finds it done.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::SystemTime;

use atlas_core::BundleId;

use super::verify::{self, Compression};
use super::{Bundles, Error, Measure, list, remove};

const MAX_UPLOADS: usize = 1_000;
const MAX_TOKEN: usize = 64;

impl Bundles {
    /// The bytes of an upload that have come. It begins with this call.
    pub fn offset(&self, id: BundleId, token: &str) -> Result<u64, Error> {
        let path = self.upload(id, token)?;
        if let Some(metadata) = super::if_there(&path)? {
            return Ok(metadata.len());
        }
        if list(&self.incoming)?.len() >= MAX_UPLOADS {
            return Err(Error::TooManyUploads { most: MAX_UPLOADS });
        }
        match create(&path) {
            Ok(_) => Ok(0),
            // The same client twice at once.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(0),
            Err(source) => Err(Error::io(&path)(source)),
        }
    }

    /// Appends to an upload; returns where it goes on.
    pub fn write(
        &self,
        id: BundleId,
        token: &str,
        offset: u64,
        chunk: &[u8],
    ) -> Result<u64, Error> {
        let path = self.upload(id, token)?;
        let end = offset.saturating_add(chunk.len() as u64);
        if end > self.largest {
            remove(&path)?;
            return Err(Error::TooLarge { limit: self.largest });
        }
        let _writing = self.writing.read().unwrap_or_else(PoisonError::into_inner);
        let file = self.begun(id, &path)?;
        let length = file.metadata().map_err(Error::io(&path))?.len();
        if length != offset {
            return Err(Error::Offset { expected: length, got: offset });
        }
        file.write_all_at(chunk, offset).map_err(Error::io(&path))?;
        Ok(end)
    }

    /// Reads an upload to its end. If it is what it should be, it has its name from now on, survives the machine's death, and
    /// its compressed size is returned. If it is not, it is gone.
    pub fn finish(&self, id: BundleId, token: &str) -> Result<u64, Error> {
        let path = self.upload(id, token)?;
        if let Some(known) = self.known(id)? {
            remove(&path)?;
            return Ok(known.bytes);
        }
        let taken = self.take(id, &path)?;
        let sent = fs::metadata(&taken).map_err(Error::io(&taken))?.len();
        match self.finish_taken(id, &taken) {
            Ok(size) => {
                remove(&taken)?;
                Ok(size)
            }
            Err(error) if error.is_clients_fault() => {
                remove(&taken)?;
                Err(error)
            }
            // The bytes are good as far as one knows: the client may try again without sending them.
            Err(error) => {
                let as_sent = OpenOptions::new().write(true).open(&taken);
                if as_sent.and_then(|file| file.set_len(sent)).is_ok() {
                    let _ = fs::rename(&taken, &path);
                }
                Err(error)
            }
        }
    }

    /// Gives an upload a name of its own, under which nobody else writes to it or takes its place.
    fn take(&self, id: BundleId, path: &Path) -> Result<PathBuf, Error> {
        let taken = path.with_extension(format!("{}.taken", uuid::Uuid::new_v4().simple()));
        let _alone = self.writing.write().unwrap_or_else(PoisonError::into_inner);
        match fs::rename(path, &taken) {
            Ok(()) => Ok(taken),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoUpload { bundle: id })
            }
            Err(source) => Err(Error::io(path)(source)),
        }
    }

    fn finish_taken(&self, id: BundleId, taken: &Path) -> Result<u64, Error> {
        let mut file = File::open(taken).map_err(Error::io(taken))?;
        match Compression::of(&mut file)? {
            Compression::Zstd => {
                let measure = verify::check(&file, id, self.most_unpacked())?;
                self.keep(id, taken, measure)
            }
            Compression::Gzip => {
                let zstd = taken.with_extension("zst");
                let to = create(&zstd).map_err(Error::io(&zstd))?;
                let kept = verify::convert(&file, id, self.most_unpacked(), &to)
                    .and_then(|measure| self.keep(id, &zstd, measure));
                remove(&zstd)?;
                kept
            }
        }
    }

    /// Makes a file last and gives it its name.
    fn keep(&self, id: BundleId, file: &Path, measure: Measure) -> Result<u64, Error> {
        let mut opened = OpenOptions::new().append(true).open(file).map_err(Error::io(file))?;
        measure
            .append(&mut opened)
            .and_then(|()| opened.set_modified(SystemTime::now()))
            .and_then(|()| opened.sync_all())
            .map_err(Error::io(file))?;
        let size = opened.metadata().map_err(Error::io(file))?.len();
        let path = self.path(id);
        let shard = self.root.join(id.shard());
        match fs::create_dir(&shard) {
            Ok(()) => sync(&self.root)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::io(&shard)(source)),
        }
        // Another upload may have been faster. Its file stays: a node may be reading it, and over NFS a file that is replaced
        // is lost to its readers.
        if let Some(known) = self.known(id)? {
            return Ok(known.bytes);
        }
        fs::rename(file, &path).map_err(Error::io(&path))?;
        sync(&shard)?;
        Ok(size)
    }

    fn begun(&self, id: BundleId, path: &Path) -> Result<File, Error> {
        let nofollow =
            i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("a flag of open(2)");
        match OpenOptions::new().write(true).custom_flags(nofollow).open(path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoUpload { bundle: id })
            }
            Err(source) => Err(Error::io(path)(source)),
        }
    }

    fn upload(&self, id: BundleId, token: &str) -> Result<PathBuf, Error> {
        let plain = token.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
        if token.is_empty() || token.len() > MAX_TOKEN || !plain {
            return Err(Error::Token);
        }
        Ok(self.incoming.join(format!("{id}-{token}.part")))
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)
}

/// Makes the names in a folder last.
fn sync(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|it| it.sync_all()).map_err(Error::io(folder))
}
