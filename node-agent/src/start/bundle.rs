//! Where a bundle comes from: the shared storage, or the master for a node without it.

use std::fs;
use std::io::{self, Read, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use atlas_core::BundleId;
use atlas_proto::wire;
use atlas_runtime::backoff::{Backoff, Policy};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::cache::{Cache, Held, Item, Name};
use crate::keyed::Keyed;
use crate::paths::{Data, Shared};
use crate::storage::{Remote, Storage};

/// Bundles fetched at the same time.
const FETCHES: usize = 4;
/// A master that is away is waited for: nobody else could say that the job is not to start.
const RETRY: Policy =
    Policy { first: Duration::from_millis(200), max: Duration::from_secs(10), attempts: None };

/// How the file of a bundle that has not come whole ends.
const PART: &str = "part";

/// The way to bundles.
pub struct Bundles {
    source: Source,
    /// Jobs that want the same one wait for one fetch.
    one_each: Keyed<BundleId>,
    fetches: Semaphore,
}

enum Source {
    Shared(Shared),
    Master { remote: Remote, folder: PathBuf, cache: Cache },
}

/// A bundle's file. Nothing is believed of what it holds. As long as this lives, it stays.
#[derive(Debug)]
pub struct Located {
    pub path: PathBuf,
    /// `None` = it is not this node's to remove.
    _held: Option<Held>,
}

/// Why a bundle is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the master did not give bundle {bundle}: {}", status.message())]
    Fetch { bundle: BundleId, status: Box<tonic::Status> },
    #[error("could not keep bundle {bundle} in {}", path.display())]
    Keep { bundle: BundleId, path: PathBuf, source: io::Error },
    #[error("fetching bundle {0} was ended")]
    Cancelled(BundleId),
}

impl Bundles {
    pub fn new(storage: &Storage, data: &Data, cache: &Cache) -> Self {
        let source = match storage {
            Storage::Mounted(shared) => Source::Shared(shared.clone()),
            Storage::Master(remote) => Source::Master {
                remote: remote.clone(),
                folder: data.bundles(),
                cache: cache.clone(),
            },
        };
        Self { source, one_each: Keyed::default(), fetches: Semaphore::new(FETCHES) }
    }

    pub async fn locate(
        &self,
        bundle: BundleId,
        cancel: &CancellationToken,
    ) -> Result<Located, Error> {
        match &self.source {
            Source::Shared(shared) => Ok(Located { path: shared.bundle(bundle), _held: None }),
            Source::Master { remote, folder, cache } => {
                let name = name(bundle);
                let (path, held) = (folder.join(&name), cache.hold(Name::from(&name)));
                let fetched = cancel.run_until_cancelled(async {
                    let _alone = self.one_each.lock(bundle).await;
                    if touch(&path) {
                        return Ok(());
                    }
                    let _turn = self.fetches.acquire().await.expect("it is never closed");
                    let part = path.with_extension(PART);
                    // What was begun is kept like what is whole: whoever wants it next goes on with it.
                    let _coming = Name::of(&part).map(|it| cache.hold(it));
                    fetch(remote, bundle, &part, &path).await?;
                    cache.grew();
                    Ok(())
                });
                fetched.await.unwrap_or(Err(Error::Cancelled(bundle)))?;
                Ok(Located { path, _held: Some(held) })
            }
        }
    }

    /// What was fetched is not what it is called: the next one fetches again.
    pub fn distrust(&self, bundle: BundleId) {
        if let Source::Master { folder, .. } = &self.source {
            // It may be gone by now, and then there is nothing to distrust.
            let _ = fs::remove_file(folder.join(name(bundle)));
        }
    }
}

fn name(bundle: BundleId) -> String {
    format!("{bundle}.tar.zst")
}

/// Fetches until it is there or refused. What came stays when the connection is cut or the agent dies, and is gone on with.
async fn fetch(remote: &Remote, bundle: BundleId, part: &Path, to: &Path) -> Result<(), Error> {
    let keep = |source| Error::Keep { bundle, path: to.to_owned(), source };
    if let Some(folder) = to.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(keep)?;
    }
    let mut backoff = Backoff::new(RETRY);
    loop {
        let before = length(part).await;
        let cut = match fetch_rest(remote, bundle, part, before).await {
            Ok(()) => break,
            Err(Error::Fetch { status, .. }) if may_pass(&status) => status,
            Err(error) => return Err(error),
        };
        let there = length(part).await;
        tracing::warn!(
            "bundle {bundle} was cut after {there} bytes, going on from there: {}",
            cut.message()
        );
        if there > before {
            backoff.reset();
        }
        tokio::time::sleep(backoff.next().expect("it never gives up")).await;
    }
    tokio::fs::rename(part, to).await.map_err(keep)
}

async fn fetch_rest(
    remote: &Remote,
    bundle: BundleId,
    part: &Path,
    offset: u64,
) -> Result<(), Error> {
    let refused = |status| Error::Fetch { bundle, status: Box::new(status) };
    let keep = |source| Error::Keep { bundle, path: part.to_owned(), source };
    let request = wire::FetchBundleRequest { bundle: bundle.to_string(), offset };
    let chunks = remote.client().fetch_bundle(remote.signed(request)).await;
    let mut chunks = chunks.map_err(refused)?.into_inner();
    let file = open_at(part, offset).await.map_err(keep)?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let came = loop {
        match chunks.message().await {
            Ok(Some(wire::FilesChunk { data })) => file.write_all(&data).await.map_err(keep)?,
            Ok(None) => break Ok(()),
            Err(cut) => break Err(refused(cut)),
        }
    };
    file.flush().await.map_err(keep)?;
    came
}

/// Not to append: a write of a fetch that was ended may still come, and writes the same bytes to the same place.
async fn open_at(part: &Path, offset: u64) -> io::Result<File> {
    let mut file = File::options().write(true).create(true).truncate(false).open(part).await?;
    file.seek(SeekFrom::Start(offset)).await?;
    Ok(file)
}

async fn length(path: &Path) -> u64 {
    tokio::fs::metadata(path).await.map_or(0, |it| it.len())
}

/// The master or the way to it is away.
fn may_pass(status: &tonic::Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
    )
}

/// Marks a fetched bundle as used now. False = there is none.
fn touch(path: &Path) -> bool {
    let touched = fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
    touched.is_ok()
}

/// What was fetched, whole or begun, for the node's cache.
pub fn kept(folder: &Path) -> io::Result<Vec<Item>> {
    let mut items = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // One that goes at this moment is no trouble.
        let Ok(meta) = entry.metadata() else { continue };
        items.push(Item { used: meta.modified()?, bytes: meta.len(), path: entry.path() });
    }
    Ok(items)
}

/// A reader that ends when the job is not wanted any more.
pub(super) struct Cancellable<R> {
    pub inner: R,
    pub cancel: CancellationToken,
}

impl<R: Read> Read for Cancellable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("the job is not wanted any more"));
        }
        self.inner.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_of_a_fetch_that_was_ended_doubles_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("b.part");
        fs::write(&part, "ab").unwrap();
        for _ in ["ended", "goes on"] {
            let mut file = open_at(&part, 2).await.unwrap();
            file.write_all(b"cd").await.unwrap();
            file.flush().await.unwrap();
        }
        assert_eq!(fs::read_to_string(&part).unwrap(), "abcd");
    }

    #[test]
    fn a_bundle_that_is_used_counts_as_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b");
        assert!(!touch(&path));
        fs::write(&path, "").unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(1000);
        fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
        assert!(touch(&path));
        assert!(fs::metadata(&path).unwrap().modified().unwrap() > long_ago);
    }

    #[test]
    fn reading_ends_when_the_job_is_not_wanted_any_more() {
        let cancel = CancellationToken::new();
        let mut reader = Cancellable { inner: &b"abc"[..], cancel: cancel.clone() };
        assert_eq!(reader.read(&mut [0]).unwrap(), 1);
        cancel.cancel();
        assert!(reader.read(&mut [0]).is_err());
    }
}
