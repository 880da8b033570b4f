//! A folder of a job on its way to the master: offers of what there is, and then the bytes that lack. What came before a cut is not
//! sent again.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atlas_core::JobId;
use atlas_core::files::{Found, What};
use atlas_proto::CHUNK;
use atlas_proto::convert::ship::path_of;
use atlas_proto::wire::{self, ship_answer::Answer, ship_request::Message};
use atlas_runtime::storage;
use bytes::Bytes;
use futures::SinkExt;
use futures::channel::mpsc;
use indicatif::ProgressBar;
use tonic::{Status, Streaming};

use super::Error as Wrong;
use crate::connect::Master;
use crate::error::Error;

/// Things of one offer.
const OFFERED: usize = 1_000;
/// Messages on their way.
const IN_FLIGHT: usize = 4;

/// What is sent, and from where.
pub struct Folder<'a> {
    pub job: JobId,
    /// Of the job: outputs, log, ….
    pub name: &'a str,
    /// The folder of the job in the export, and where below it this one lies.
    pub root: &'a Path,
    pub below: &'a Path,
    /// All that is in it.
    pub things: &'a [Found],
    pub bar: &'a ProgressBar,
}

impl Folder<'_> {
    fn path(&self, thing: &Path) -> PathBuf {
        self.root.join(self.below).join(thing)
    }
}

/// Sends a folder, again while the connection breaks and comes back.
pub async fn ship(master: &Master, folder: &Folder<'_>) -> Result<(), Error> {
    let mut patience = master.patience();
    loop {
        match once(master, folder).await {
            Err(Error::Master(error)) => patience.wait(error).await?,
            shipped => return shipped,
        }
    }
}

struct Sending<'a> {
    master: &'a Master,
    to: mpsc::Sender<wire::ShipRequest>,
    replies: Streaming<wire::ShipReply>,
}

async fn once(master: &Master, folder: &Folder<'_>) -> Result<(), Error> {
    let (mut to, requests) = mpsc::channel(IN_FLIGHT);
    let start = wire::ImportStart { job: folder.job.to_string(), folder: folder.name.into() };
    let first = wire::ShipRequest { message: Some(Message::Import(start)) };
    // The channel is open as long as `requests` is here.
    drop(to.send(first).await);
    let replies = master.import_files(requests).await?;
    let mut sending = Sending { master, to, replies };
    for things in folder.things.chunks(OFFERED) {
        let items = things.iter().map(Into::into).collect();
        sending.say(Message::Offer(wire::ShipOffer { items })).await?;
        let answers = sending.reply(folder).await?.answers;
        for (Found { path, what }, answer) in things.iter().zip(answers) {
            match (answer.answer, what) {
                (Some(Answer::There(wire::ShipThere {})), _) => {}
                (Some(Answer::From(from)), What::File(_)) => {
                    sending.file(folder, path, from).await?;
                }
                (Some(Answer::Refused(why)), _) => {
                    return Err(Wrong::NotTaken { path: folder.path(path), why }.into());
                }
                (Some(Answer::From(_)) | None, _) => return Err(sending.strange()),
            }
        }
    }
    sending.say(Message::End(wire::ShipEnd { all_offered: true })).await?;
    sending.reply(folder).await.map(drop)
}

impl Sending<'_> {
    async fn say(&mut self, message: Message) -> Result<(), Error> {
        let sent = self.to.send(wire::ShipRequest { message: Some(message) }).await;
        if sent.is_ok() {
            return Ok(());
        }
        // The master has ended it, and its last word says why.
        match self.replies.message().await {
            Err(status) => Err(self.master.broken(&status).into()),
            Ok(_) => Err(self.strange()),
        }
    }

    async fn reply(&mut self, folder: &Folder<'_>) -> Result<wire::ShipReply, Error> {
        let reply = self.replies.message().await.map_err(|it| self.master.broken(&it))?;
        let reply = reply.ok_or_else(|| self.strange())?;
        match reply.left.first() {
            None => Ok(reply),
            Some(wire::ShipLeft { path, why }) => {
                let (path, why) = (folder.path(&path_of(path)), why.clone());
                Err(Wrong::NotTaken { path, why }.into())
            }
        }
    }

    async fn file(&mut self, folder: &Folder<'_>, path: &Path, from: u64) -> Result<(), Error> {
        let (named, below) = (folder.path(path), folder.below.join(path));
        let opened = File::open(folder.root).and_then(|it| storage::open(it.as_fd(), &below));
        let file = Arc::new(opened.map_err(Wrong::read(&named))?);
        let end = file.metadata().map_err(Wrong::read(&named))?.len();
        let mut offset = from;
        loop {
            let data = piece(file.clone(), offset, end).await.map_err(Wrong::read(&named))?;
            offset += data.len() as u64;
            folder.bar.inc(data.len() as u64);
            let last = offset >= end;
            self.say(Message::Piece(wire::ShipPiece { data, last })).await?;
            if last {
                return Ok(());
            }
        }
    }

    fn strange(&self) -> Error {
        self.master.broken(&Status::unavailable("it ended the shipment before its end")).into()
    }
}

async fn piece(file: Arc<File>, offset: u64, end: u64) -> io::Result<Bytes> {
    let left = end.saturating_sub(offset);
    let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
    let read = tokio::task::spawn_blocking(move || {
        let mut data = vec![0; length];
        file.read_exact_at(&mut data, offset)?;
        Ok(Bytes::from(data))
    });
    read.await.map_err(io::Error::other)?
}
