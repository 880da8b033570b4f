//! One file of a job, any part of it: from the bundle, from the job's node while it runs, or from the archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::files::{Files, IN_FLIGHT, Pieces, SOURCE, WORK};
use super::files::{blocking, broken, clean_entry, each_of_bundle};
use super::wanted::Wanted;
use super::{Error, Service};
use crate::archive::tree::{self, Entry};
use crate::proxy::Host;

/// A file that was found. Its bytes come once it is said which of them.
pub struct Opened {
    pub bytes: u64,
    /// Milliseconds since 1970; 0 = not known, as in a bundle.
    pub modified_ms: u64,
    which: oneshot::Sender<Range<u64>>,
    pieces: Files<Bytes>,
}

impl Opened {
    /// These bytes of it. One that became shorter meanwhile ends in an error.
    pub fn read(self, part: Range<u64>) -> Files<Bytes> {
        // Who opened it has ended with an error then, which is among the pieces.
        drop(self.which.send(part));
        self.pieces
    }
}

/// What stands at a path.
enum Found {
    File { bytes: u64, modified_ms: u64 },
    Other(&'static str),
}

/// Waits with an open file for what is wanted of it.
struct Offer {
    tell: oneshot::Sender<Found>,
    which: oneshot::Receiver<Range<u64>>,
    to: mpsc::Sender<Result<Bytes, Error>>,
}

impl Offer {
    fn other(self, what: &'static str) -> io::Result<()> {
        // Nobody asks any more, then.
        drop(self.tell.send(Found::Other(what)));
        Ok(())
    }

    /// `skip` goes to where the part begins.
    fn file<R: Read>(
        self,
        (bytes, modified_ms): (u64, u64),
        mut content: R,
        skip: impl FnOnce(&mut R, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self { tell, which, to } = self;
        let gone = |()| io::Error::from(io::ErrorKind::BrokenPipe);
        tell.send(Found::File { bytes, modified_ms }).map_err(|_| gone(()))?;
        let Range { start, end } = which.blocking_recv().map_err(|_| gone(()))?;
        skip(&mut content, start)?;
        let mut pieces = Pieces::new(to);
        let sent = io::copy(&mut content.take(end - start), &mut pieces)?;
        pieces.flush()?;
        if sent < end - start {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        Ok(())
    }
}

fn read_past(content: &mut impl Read, bytes: u64) -> io::Result<()> {
    io::copy(&mut content.take(bytes), &mut io::sink()).map(drop)
}

fn seek_to(content: &mut File, offset: u64) -> io::Result<()> {
    content.seek(SeekFrom::Start(offset)).map(drop)
}

impl Service {
    /// Looks for a file; folders and links are refused.
    pub async fn open_file(self: Arc<Self>, job: &str, path: &str) -> Result<Opened, Error> {
        let wanted = self.wanted(job, path).await?;
        let (job, path) = (wanted.job, wanted.path.display().to_string());
        let (tell, told) = oneshot::channel();
        let (which, asked) = oneshot::channel();
        let (to, mut pieces) = mpsc::channel(IN_FLIGHT);
        let offer = Offer { tell, which: asked, to: to.clone() };
        let service = self.clone();
        self.tasks.spawn("read-file", async move {
            let read = tokio::select! {
                read = service.offer(wanted, offer) => read,
                () = to.closed() => return,
            };
            if let Err(error) = read {
                // Whoever reads is gone, or hears it.
                drop(to.send(Err(error)).await);
            }
        });
        match told.await {
            Ok(Found::File { bytes, modified_ms }) => {
                Ok(Opened { bytes, modified_ms, which, pieces })
            }
            Ok(Found::Other(what)) => Err(Error::NotAFile { job, path, what }),
            Err(_) => match pieces.recv().await {
                Some(Err(error)) => Err(error),
                Some(Ok(_)) | None => Err(Error::NoSuchPath { job, path }),
            },
        }
    }

    async fn offer(&self, wanted: Wanted, offer: Offer) -> Result<(), Error> {
        if wanted.path.as_os_str().is_empty() {
            drop(offer.other("folder"));
            return Ok(());
        }
        if let Some(below) = wanted.below(SOURCE) {
            let bundles = self.bundles.clone();
            return blocking(&self.storage.reads, "read the bundle", move || {
                let mut offer = Some(offer);
                let looked = each_of_bundle(&bundles, wanted.bundle, &below, &mut |path, entry| {
                    first_of(&mut offer, &below, path, entry)
                });
                ended(looked)
            })
            .await;
        }
        if let (Some(below), Some(host)) = (wanted.below(WORK), &wanted.host) {
            return self.offer_of_node(host, &below, offer).await;
        }
        blocking(&self.storage.reads, "read the archive", move || {
            match tree::look(&wanted.kept, &wanted.path) {
                Ok(Some(Entry::File { file, bytes, modified_ms, .. })) => {
                    offer.file((bytes, modified_ms), file, seek_to)
                }
                Ok(Some(Entry::Folder { .. })) => offer.other("folder"),
                Ok(Some(Entry::Link { .. })) => offer.other("link"),
                // Gone since it was looked for.
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// The node sends a tar of what is there; of a file that is the file.
    async fn offer_of_node(&self, host: &Host, below: &Path, offer: Offer) -> Result<(), Error> {
        let mut chunks = self.proxy.read_files(host, &below.display().to_string()).await?;
        let (feed, pieces) = mpsc::channel(IN_FLIGHT);
        let wanted = below.to_owned();
        let reading = blocking(&self.storage.reads, "read the job's file", move || {
            let mut offer = Some(offer);
            let mut archive = tar::Archive::new(crate::pieces::Reader::new(pieces));
            let looked = archive.entries()?.try_for_each(|entry| {
                let mut entry = entry?;
                let path = clean_entry(&entry.path()?)?;
                first_of(&mut offer, &wanted, &path, &mut entry)
            });
            ended(looked)
        });
        let feeding = async move {
            while let Some(chunk) = chunks.message().await.map_err(|it| broken(host, it))? {
                if feed.send(chunk.data).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let (fed, read) = tokio::join!(feeding, reading);
        fed.and(read)
    }
}

/// What the end of a look at an archive is: it stops at what it looked for.
const FOUND: io::ErrorKind = io::ErrorKind::Interrupted;

fn ended(looked: io::Result<()>) -> io::Result<()> {
    match looked {
        Err(error) if error.kind() == FOUND => Ok(()),
        other => other,
    }
}

/// Offers the entry if it is the one.
fn first_of<R: Read>(
    offer: &mut Option<Offer>,
    wanted: &Path,
    path: &Path,
    entry: &mut tar::Entry<'_, R>,
) -> io::Result<()> {
    let is_below = path.starts_with(wanted);
    let Some(offer) = offer.take_if(|_| is_below) else { return Ok(()) };
    let header = entry.header();
    let facts = (entry.size(), header.mtime().unwrap_or_default().saturating_mul(1000));
    match header.entry_type() {
        _ if path != wanted => offer.other("folder")?,
        tar::EntryType::Directory => offer.other("folder")?,
        tar::EntryType::Symlink => offer.other("link")?,
        _ => offer.file(facts, entry, read_past)?,
    }
    Err(FOUND.into())
}
