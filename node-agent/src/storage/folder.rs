//! Where the files of an attempt go: offers of some, each answered with how far they have come, and then the bytes that lack.

use std::path::PathBuf;

use atlas_core::files::{Found, What};
use atlas_proto::convert::ship::path_of;
use atlas_proto::wire::{self, ship_answer, ship_request};
use atlas_runtime::storage::shipment::{self, Answer, Left, Reply};
use atlas_runtime::storage::{Keeper, Others, Owner, Shipment};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::{Error, Progress, Remote};
use crate::paths::AttemptId;

/// Messages on their way to the master, beside what the connection itself holds.
const IN_FLIGHT: usize = 2;

/// What is shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    Outputs,
    /// What the job saved, while it runs.
    Artifacts,
    /// And whom jobs run as.
    Checkpoints(Owner),
}

/// A folder of the archive that is filled. All of it blocks. Begin anew after an error.
pub enum Destination {
    Mounted { to: PathBuf, shipment: Box<Shipment> },
    Master(Box<Shipping>),
}

/// The way to a folder through the master. It is opened with the first offer.
pub struct Shipping {
    remote: Remote,
    start: wire::ShipStart,
    cancel: CancellationToken,
    stream: Option<Stream>,
    /// Things and bytes that are there or on their way.
    at: u64,
    progress: Progress,
}

struct Stream {
    to: mpsc::Sender<wire::ShipRequest>,
    replies: Streaming<wire::ShipReply>,
}

impl Destination {
    pub(super) fn mounted(to: PathBuf, top: PathBuf) -> Self {
        let shipment = Shipment::new(Keeper::new(to.clone(), top), u64::MAX);
        Self::Mounted { to, shipment: Box::new(shipment) }
    }

    pub(super) fn master(
        remote: Remote,
        id: AttemptId,
        folder: Folder,
        cancel: CancellationToken,
        progress: Progress,
    ) -> Self {
        let (folder, owner) = match folder {
            Folder::Outputs => (wire::ShipFolder::Outputs, Owner { uid: 0, gid: 0 }),
            Folder::Artifacts => (wire::ShipFolder::Artifacts, Owner { uid: 0, gid: 0 }),
            Folder::Checkpoints(owner) => (wire::ShipFolder::Checkpoints, owner),
        };
        let start = wire::ShipStart {
            holder: Some(remote.holder(id)),
            folder: folder.into(),
            uid: owner.uid,
            gid: owner.gid,
        };
        Self::Master(Box::new(Shipping { remote, start, cancel, stream: None, at: 0, progress }))
    }

    /// One answer for each. Of those that are wanted the pieces come next, in this order.
    pub fn offer(&mut self, items: Vec<Found>) -> Result<Reply, Error> {
        match self {
            Self::Mounted { to, shipment } => shipment.offer(items).map_err(failed(to)),
            Self::Master(shipping) => shipping.offer(&items),
        }
    }

    /// The next bytes of the first wanted file.
    pub fn piece(&mut self, data: Vec<u8>, last: bool) -> Result<(), Error> {
        match self {
            Self::Mounted { to, shipment } => shipment.piece(&data, last).map_err(failed(to)),
            Self::Master(shipping) => {
                let length = data.len() as u64;
                let piece = wire::ShipPiece { data: Bytes::from(data), last };
                shipping.send(ship_request::Message::Piece(piece))?;
                shipping.moved(length);
                Ok(())
            }
        }
    }

    /// The rest of the first wanted file will never come.
    pub fn abandon(&mut self) -> Result<(), Error> {
        match self {
            Self::Mounted { to, shipment } => shipment.abandon().map_err(failed(to)),
            Self::Master(shipping) => {
                shipping.send(ship_request::Message::Abandon(wire::ShipAbandon {}))
            }
        }
    }

    /// Everything is there, and survives the death of the storage's machine.
    pub fn end(self, others: Others) -> Result<Vec<Left>, Error> {
        match self {
            Self::Mounted { to, shipment } => shipment.end(others).map_err(failed(&to)),
            Self::Master(mut shipping) => {
                let all_offered = others == Others::Go;
                shipping.send(ship_request::Message::End(wire::ShipEnd { all_offered }))?;
                shipping.reply().map(|it| it.left)
            }
        }
    }
}

fn failed(to: &std::path::Path) -> impl FnOnce(shipment::Error) -> Error {
    |error| match error {
        shipment::Error::Refused(why) => Error::Refused(why),
        shipment::Error::Storage(source) => Error::Write { path: to.to_owned(), source },
    }
}

impl Shipping {
    fn offer(&mut self, found: &[Found]) -> Result<Reply, Error> {
        let items = found.iter().map(wire::ShipItem::from).collect();
        self.send(ship_request::Message::Offer(wire::ShipOffer { items }))?;
        let reply = self.reply()?;
        if reply.answers.len() != found.len() {
            return Err(Error::OutOfOrder);
        }
        for (found, answer) in found.iter().zip(&reply.answers) {
            self.moved(match (answer, &found.what) {
                (Answer::There, What::File(meta)) => meta.bytes.saturating_add(1),
                (Answer::From(from), _) => from.saturating_add(1),
                _ => 1,
            });
        }
        Ok(reply)
    }

    fn moved(&mut self, by: u64) {
        self.at = self.at.saturating_add(by);
        self.progress.reached(self.at);
    }

    fn send(&mut self, message: ship_request::Message) -> Result<(), Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.stream.insert(open(&self.remote, &self.start, &self.cancel)?),
        };
        let request = wire::ShipRequest { message: Some(message) };
        let sent =
            self.remote.wait(&self.cancel, async { Ok(stream.to.send(request).await.is_ok()) });
        if sent? {
            return Ok(());
        }
        // The master closed it, and says why.
        self.reply().and(Err(Error::OutOfOrder))
    }

    fn reply(&mut self) -> Result<Reply, Error> {
        let stream = self.stream.as_mut().ok_or(Error::OutOfOrder)?;
        let reply = self.remote.wait(&self.cancel, stream.replies.message())?;
        let wire::ShipReply { answers, left } = reply.ok_or(Error::OutOfOrder)?;
        let answers: Option<Vec<Answer>> = answers.into_iter().map(answer).collect();
        let left =
            left.into_iter().map(|wire::ShipLeft { path, why }| Left { path: path_of(&path), why });
        Ok(Reply { answers: answers.ok_or(Error::OutOfOrder)?, left: left.collect() })
    }
}

fn open(
    remote: &Remote,
    start: &wire::ShipStart,
    cancel: &CancellationToken,
) -> Result<Stream, Error> {
    let (to, requests) = mpsc::channel(IN_FLIGHT);
    let first = ship_request::Message::Start(start.clone());
    let first = wire::ShipRequest { message: Some(first) };
    to.try_send(first).map_err(|_| Error::OutOfOrder)?;
    let mut client = remote.client();
    let request = remote.signed(ReceiverStream::new(requests));
    let replies = remote.wait(cancel, client.ship(request))?.into_inner();
    Ok(Stream { to, replies })
}

fn answer(answer: wire::ShipAnswer) -> Option<Answer> {
    Some(match answer.answer? {
        ship_answer::Answer::There(wire::ShipThere {}) => Answer::There,
        ship_answer::Answer::From(from) => Answer::From(from),
        ship_answer::Answer::Refused(why) => Answer::Refused(why),
    })
}

/// What came from the wire, checked.
pub(super) fn parse(item: wire::ShipItem) -> Result<Found, Error> {
    item.try_into().map_err(|_| Error::OutOfOrder)
}
