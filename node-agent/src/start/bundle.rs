//! Where a bundle comes from: the shared storage, or the master for a node without it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use atlas_core::BundleId;
use atlas_proto::wire;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::transport::Uri;

use crate::master::{self, Token};
use crate::paths::{Data, Shared};

/// Bundles fetched at the same time.
const FETCHES: usize = 4;
/// Bytes of fetched bundles that are kept for the next job; the ones used longest ago go first.
const CACHE: u64 = 20_000_000_000;

/// The way to bundles.
pub struct Bundles {
    source: Source,
    fetches: Semaphore,
}

enum Source {
    Shared(Shared),
    Master { master: Uri, token: Token, cache: PathBuf },
}

/// Why a bundle is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not reach the master at {master} for bundle {bundle}")]
    Connect { bundle: BundleId, master: String, source: tonic::transport::Error },
    #[error("the master did not give bundle {bundle}: {}", source.message())]
    Fetch { bundle: BundleId, source: Box<tonic::Status> },
    #[error("could not keep bundle {bundle} in {}", path.display())]
    Keep { bundle: BundleId, path: PathBuf, source: io::Error },
    #[error("fetching bundle {0} was ended")]
    Cancelled(BundleId),
}

impl Bundles {
    pub fn new(shared: Option<&Shared>, data: &Data, master: &Uri, token: &Token) -> Self {
        let source = match shared {
            Some(shared) => Source::Shared(shared.clone()),
            None => Source::Master {
                master: master.clone(),
                token: token.clone(),
                cache: data.bundles(),
            },
        };
        Self { source, fetches: Semaphore::new(FETCHES) }
    }

    /// The bundle's file. Nothing is believed of what it holds.
    pub async fn locate(
        &self,
        bundle: BundleId,
        cancel: &CancellationToken,
    ) -> Result<PathBuf, Error> {
        match &self.source {
            Source::Shared(shared) => Ok(shared.bundle(bundle)),
            Source::Master { master, token, cache } => {
                let path = cache.join(format!("{bundle}.tar.zst"));
                if touch(&path) {
                    return Ok(path);
                }
                let fetched = cancel.run_until_cancelled(async {
                    let _turn = self.fetches.acquire().await.expect("it is never closed");
                    fetch(master, token, bundle, &path).await
                });
                fetched.await.unwrap_or(Err(Error::Cancelled(bundle)))?;
                Ok(path)
            }
        }
    }

    /// What was fetched is not what it is called: the next one fetches again.
    pub fn distrust(&self, bundle: BundleId) {
        if let Source::Master { cache, .. } = &self.source {
            // It may be gone by now, and then there is nothing to distrust.
            let _ = fs::remove_file(cache.join(format!("{bundle}.tar.zst")));
        }
    }
}

async fn fetch(master: &Uri, token: &Token, bundle: BundleId, to: &Path) -> Result<(), Error> {
    let refused = |source| Error::Fetch { bundle, source: Box::new(source) };
    let keep = |source| Error::Keep { bundle, path: to.to_owned(), source };
    let mut client = master::connect(master).await.map_err(|source| Error::Connect {
        bundle,
        master: master.to_string(),
        source,
    })?;
    let request = token.with(wire::FetchBundleRequest { bundle: bundle.to_string() });
    let mut chunks = client.fetch_bundle(request).await.map_err(refused)?.into_inner();
    let part = to.with_extension(format!("{}.part", uuid::Uuid::new_v4()));
    let written = async {
        if let Some(folder) = to.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(keep)?;
        }
        let mut file = File::create_new(&part).await.map_err(keep)?;
        while let Some(wire::FilesChunk { data }) = chunks.message().await.map_err(refused)? {
            file.write_all(&data).await.map_err(keep)?;
        }
        file.flush().await.map_err(keep)?;
        tokio::fs::rename(&part, to).await.map_err(keep)
    };
    let written = written.await;
    if written.is_err() {
        let _ = tokio::fs::remove_file(&part).await; // what failed is the news
    }
    written?;
    let (folder, kept) = (to.parent().map(Path::to_owned), to.to_owned());
    let swept =
        tokio::task::spawn_blocking(move || folder.map(|it| sweep(&it, &kept, CACHE))).await;
    if let Ok(Some(Err(error))) = swept {
        tracing::warn!("could not make room among the fetched bundles: {error}");
    }
    Ok(())
}

/// Marks a fetched bundle as used now. False = there is none.
fn touch(path: &Path) -> bool {
    let touched = fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
    touched.is_ok()
}

/// Removes what was used longest ago until the rest fits. A job that is reading one goes on doing so.
fn sweep(folder: &Path, keep: &Path, most: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        files.push((meta.modified()?, meta.len(), entry.path()));
    }
    files.sort();
    let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in files {
        if total > most && path != keep {
            fs::remove_file(path)?;
            total -= length;
        }
    }
    Ok(())
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_bundles_used_longest_ago_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, age: u64| {
            let path = folder.path().join(name);
            fs::write(&path, [0; 10]).unwrap();
            let time = SystemTime::now() - Duration::from_secs(age);
            fs::File::open(&path).unwrap().set_modified(time).unwrap();
            path
        };
        let (old, new, kept) = (file("old", 100), file("new", 1), file("kept", 1000));
        sweep(folder.path(), &kept, 20).unwrap();
        assert_eq!([&old, &new, &kept].map(|it| it.exists()), [false, true, true]);
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
