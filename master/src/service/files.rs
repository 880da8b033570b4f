//! Everything that is kept of a job as one tree: `source/` (as submitted), and then `work/` (as it is now, through the job's node)
//! while it runs, or `outputs/`, `log/`, `artifacts/`, `checkpoints/` … from the archive.

use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use atlas_core::BundleId;
use atlas_proto::CHUNK;
use atlas_proto::wire::{FileEntry, FileKind};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::wanted::Wanted;
use super::{Error, Service};
use crate::archive::tree::{self, Entry};
use crate::proxy::Host;
use crate::turns::Turns;

/// Pieces on their way to one reader.
pub(super) const IN_FLIGHT: usize = 4;
pub(super) const SOURCE: &str = "source";
pub(super) const WORK: &str = "work";

/// What a reader gets, piece by piece.
pub type Files<T> = mpsc::Receiver<Result<T, Error>>;

impl Service {
    pub async fn list_files(
        self: Arc<Self>,
        job: &str,
        path: &str,
    ) -> Result<Files<FileEntry>, Error> {
        let wanted = self.wanted(job, path).await?;
        let (to, files) = mpsc::channel(64);
        let service = self.clone();
        self.tasks.spawn("list-files", async move {
            let listed = tokio::select! {
                listed = service.list_all(wanted, &to) => listed,
                () = to.closed() => return,
            };
            if let Err(error) = listed {
                drop(to.send(Err(error)).await);
            }
        });
        Ok(files)
    }

    /// A tar of everything at or below `path`, in pieces.
    pub async fn read_files(self: Arc<Self>, job: &str, path: &str) -> Result<Files<Bytes>, Error> {
        let wanted = self.wanted(job, path).await?;
        let (to, pieces) = mpsc::channel(IN_FLIGHT);
        let service = self.clone();
        self.tasks.spawn("read-files", async move {
            let read = tokio::select! {
                read = service.read_all(wanted, &to) => read,
                () = to.closed() => return,
            };
            if let Err(error) = read {
                drop(to.send(Err(error)).await);
            }
        });
        Ok(pieces)
    }

    async fn list_all(
        &self,
        wanted: Wanted,
        to: &mpsc::Sender<Result<FileEntry, Error>>,
    ) -> Result<(), Error> {
        if let Some(below) = wanted.below(SOURCE) {
            let (bundles, sender) = (self.bundles.clone(), to.clone());
            blocking(&self.storage.listings, "list the bundle", move || {
                each_of_bundle(&bundles, wanted.bundle, &below, &mut |path, entry| {
                    let header = entry.header();
                    let (kind, target) = match header.entry_type() {
                        tar::EntryType::Directory => (FileKind::Folder, String::new()),
                        tar::EntryType::Symlink => (FileKind::Link, link_target(entry)?),
                        _ => (FileKind::File, String::new()),
                    };
                    let bytes = entry.size();
                    let path = Path::new(SOURCE).join(path).display().to_string();
                    send(
                        &sender,
                        FileEntry { path, bytes, modified_ms: 0, kind: kind.into(), target },
                    )
                })
            })
            .await?;
        }
        if let (Some(below), Some(host)) = (wanted.below(WORK), &wanted.host) {
            let mut entries = self.proxy.list_files(host, &below.display().to_string()).await?;
            while let Some(mut entry) = entries.message().await.map_err(|it| broken(host, it))? {
                entry.path = Path::new(WORK).join(entry.path).display().to_string();
                if to.send(Ok(entry)).await.is_err() {
                    return Ok(());
                }
            }
        }
        let (Some(below), sender) = (wanted.below_kept(), to.clone()) else { return Ok(()) };
        blocking(&self.storage.listings, "list the archive", move || {
            let parts = wanted.parts(below)?;
            let mut visit = |path: &Path, entry: Entry| {
                let path = path.display().to_string();
                let (kind, bytes, modified_ms, target) = match entry {
                    Entry::Folder { modified_ms } => {
                        (FileKind::Folder, 0, modified_ms, String::new())
                    }
                    Entry::File { bytes, modified_ms, .. } => {
                        (FileKind::File, bytes, modified_ms, String::new())
                    }
                    Entry::Link { target, modified_ms } => {
                        (FileKind::Link, 0, modified_ms, target.display().to_string())
                    }
                };
                send(&sender, FileEntry { path, bytes, modified_ms, kind: kind.into(), target })
            };
            parts.iter().try_for_each(|it| if_there(tree::walk(&wanted.kept, it, &mut visit)))
        })
        .await
    }

    /// One tar made of up to three: the parts of the last two are written without their ends.
    async fn read_all(
        &self,
        wanted: Wanted,
        to: &mpsc::Sender<Result<Bytes, Error>>,
    ) -> Result<(), Error> {
        if let Some(below) = wanted.below(SOURCE) {
            let (bundles, sender) = (self.bundles.clone(), to.clone());
            blocking(&self.storage.reads, "read the bundle", move || {
                let mut tar = tar::Builder::new(Pieces::new(sender));
                each_of_bundle(&bundles, wanted.bundle, &below, &mut |path, entry| {
                    let mut header = entry.header().clone();
                    let path = Path::new(SOURCE).join(path);
                    match header.entry_type() {
                        tar::EntryType::Symlink => {
                            let target = link_target(entry)?;
                            tar.append_link(&mut header, path, target)
                        }
                        _ => tar.append_data(&mut header, path, entry),
                    }
                })?;
                unfinished(tar)
            })
            .await?;
        }
        if let (Some(below), Some(host)) = (wanted.below(WORK), &wanted.host) {
            self.tar_of_node(host, &below, to).await?;
        }
        let (below, sender) = (wanted.below_kept(), to.clone());
        blocking(&self.storage.reads, "read the archive", move || {
            let mut tar = tar::Builder::new(Pieces::new(sender));
            if let Some(below) = below {
                for part in wanted.parts(below)? {
                    if_there(tree::append(&mut tar, &wanted.kept, &part, Path::new("")))?;
                }
            }
            tar.into_inner()?.flush()
        })
        .await
    }

    /// The node's tar, its paths moved below `work/`.
    async fn tar_of_node(
        &self,
        host: &Host,
        below: &Path,
        to: &mpsc::Sender<Result<Bytes, Error>>,
    ) -> Result<(), Error> {
        let mut chunks = self.proxy.read_files(host, &below.display().to_string()).await?;
        let (feed, pieces) = mpsc::channel(IN_FLIGHT);
        let sender = to.clone();
        let rewriting = blocking(&self.storage.reads, "read the job's folder", move || {
            let mut source = tar::Archive::new(crate::pieces::Reader::new(pieces));
            let mut tar = tar::Builder::new(Pieces::new(sender));
            for entry in source.entries()? {
                let mut entry = entry?;
                let mut header = entry.header().clone();
                let path = Path::new(WORK).join(clean_entry(&entry.path()?)?);
                match header.entry_type() {
                    tar::EntryType::Symlink => {
                        let target = link_target(&mut entry)?;
                        tar.append_link(&mut header, path, target)?;
                    }
                    _ => tar.append_data(&mut header, path, &mut entry)?,
                }
            }
            unfinished(tar)
        });
        let feeding = async move {
            while let Some(chunk) = chunks.message().await.map_err(|it| broken(host, it))? {
                if feed.send(chunk.data).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let (fed, written) = tokio::join!(feeding, rewriting);
        fed.and(written)
    }
}

/// Calls `visit` for each entry of a stored bundle at or below a path.
pub(super) fn each_of_bundle(
    bundles: &crate::bundles::Bundles,
    id: BundleId,
    below: &Path,
    visit: &mut dyn FnMut(&Path, &mut tar::Entry<'_, crate::bundles::TarReader>) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = tar::Archive::new(bundles.read_tar(id)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = clean_entry(&entry.path()?)?;
        if path.starts_with(below) {
            visit(&path, &mut entry)?;
        }
    }
    Ok(())
}

fn link_target<R: io::Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<String> {
    let target = entry.link_name()?.ok_or_else(|| io::Error::other("a link without a target"))?;
    Ok(target.display().to_string())
}

/// A path that a tar holds: the same rule, whoever made the tar.
pub(super) fn clean_entry(path: &Path) -> io::Result<PathBuf> {
    let plain = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !path.components().all(|it| plain(&it)) {
        return Err(io::Error::other(format!("{} leaves the tree", path.display())));
    }
    Ok(path.components().filter(|it| matches!(it, Component::Normal(_))).collect())
}

/// What a job never made is not there, and that is all.
fn if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn broken(host: &Host, status: tonic::Status) -> Error {
    crate::proxy::Error::Refused { node: host.node.clone(), source: Box::new(status) }.into()
}

pub(super) async fn blocking(
    turns: &Turns,
    what: &'static str,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), Error> {
    let done = turns.run(work).await.map_err(|it| Error::Unavailable(it.to_string()))?;
    match done {
        // The reader went away.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Error::io(what)),
    }
}

fn send<T>(to: &mpsc::Sender<Result<T, Error>>, value: T) -> io::Result<()> {
    to.blocking_send(Ok(value)).map_err(|_| io::ErrorKind::BrokenPipe.into())
}

/// Ends a part of a tar without the two empty blocks that end a whole one.
fn unfinished(mut tar: tar::Builder<Pieces>) -> io::Result<()> {
    let pieces = tar.get_mut();
    pieces.flush()?;
    pieces.close();
    Ok(())
}

/// Cuts what is written into pieces for a channel.
pub(super) struct Pieces {
    buffer: Vec<u8>,
    to: Option<mpsc::Sender<Result<Bytes, Error>>>,
}

impl Pieces {
    pub fn new(to: mpsc::Sender<Result<Bytes, Error>>) -> Self {
        Self { buffer: Vec::with_capacity(CHUNK), to: Some(to) }
    }

    /// What is written from here on goes nowhere: `tar` writes its end when it is dropped.
    fn close(&mut self) {
        self.to = None;
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = Bytes::copy_from_slice(&self.buffer);
        self.buffer.clear();
        match &self.to {
            Some(to) if !piece.is_empty() => send(to, piece),
            _ => Ok(()),
        }
    }
}
