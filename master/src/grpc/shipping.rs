//! Files and logs of nodes without the shared storage: streams on one side, turns at the storage on the other. A node that stalls
//! holds a few messages and no thread.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atlas_core::files::{Found, What};
use atlas_proto::CHUNK;
use atlas_proto::convert::ship::{Holder, bytes_of, path_of};
use atlas_proto::wire::{self, checkpoint_part, ship_answer, ship_request};
use atlas_runtime::storage::shipment::{Answer, Error as ShipmentError, Left, Reply};
use atlas_runtime::storage::{Others, Owner, Shipment};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tonic::Status;

use super::status::status;
use crate::service::{Error, Filling, Folder, LogFile, Service, Shipped};
use crate::tracker::{Files, Taken};

/// Messages of a node that are taken in one turn at the storage.
const TOGETHER: usize = 8;
/// A node that has nothing to say for so long begins anew.
const SILENT: Duration = Duration::from_mins(5);
/// Pieces on their way to a node.
const IN_FLIGHT: usize = 4;

/// Of a shipment.
pub trait Requests:
    Stream<Item = Result<wire::ShipRequest, Status>> + Send + Unpin + 'static
{
}

impl<S> Requests for S where
    S: Stream<Item = Result<wire::ShipRequest, Status>> + Send + Unpin + 'static
{
}

type Replies<T> = mpsc::Receiver<Result<T, Status>>;

pub async fn begin_attempt(
    service: &Service,
    holder: wire::Holder,
) -> Result<wire::BeginAttemptReply, Status> {
    let begun = service.begin_attempt(&parse(Some(holder))?).await;
    begun.map(|()| wire::BeginAttemptReply {}).map_err(|it| status(&it))
}

pub async fn append_log(
    service: &Service,
    request: wire::AppendLogRequest,
) -> Result<wire::AppendLogReply, Status> {
    let wire::AppendLogRequest { holder, file, offset, data } = request;
    let file = match wire::LogFile::try_from(file) {
        Ok(wire::LogFile::Text) => LogFile::Text,
        Ok(wire::LogFile::Index) => LogFile::Index,
        Err(_) => return Err(Status::invalid_argument("file: is none of a log's")),
    };
    let appended = service.append_log(&parse(holder)?, file, offset, data).await;
    appended.map(|length| wire::AppendLogReply { length }).map_err(|it| status(&it))
}

pub async fn sync_log(
    service: &Service,
    holder: wire::Holder,
) -> Result<wire::SyncLogReply, Status> {
    let synced = service.sync_log(&parse(Some(holder))?).await;
    synced.map(|()| wire::SyncLogReply {}).map_err(|it| status(&it))
}

pub async fn append_spool(
    service: &Service,
    request: wire::AppendSpoolRequest,
) -> Result<wire::AppendSpoolReply, Status> {
    let wire::AppendSpoolRequest { holder, offset, data, last, kept, missing } = request;
    let missing = missing.into_iter().map(|wire::MissingFile { path, why }| (path, why));
    let files = Files { kept: kept.into_iter().collect(), missing: missing.collect() };
    let taken = service.append_spool(&parse(holder)?, offset, data, last, files).await;
    let reply = |Taken { length, wanted }| wire::AppendSpoolReply { length, wanted };
    taken.map(reply).map_err(|it| status(&it))
}

/// A bundle from `offset` on.
pub async fn fetch_bundle(
    service: Arc<Service>,
    request: wire::FetchBundleRequest,
) -> Result<Replies<wire::FilesChunk>, Status> {
    let wire::FetchBundleRequest { bundle, mut offset } = request;
    let id = bundle.parse().map_err(|why: atlas_core::id::Invalid| {
        status(&Error::invalid("bundle", why.to_string()))
    })?;
    let mut source = service.open_bundle(id).await.map_err(|it| status(&it))?;
    let (to, chunks) = mpsc::channel(IN_FLIGHT);
    service.clone().tasks.spawn("fetch-bundle", async move {
        let pieces = async {
            loop {
                let data = match service.piece(source, offset).await {
                    Ok((_, data)) if data.is_empty() => return,
                    Ok((back, data)) => {
                        source = back;
                        data
                    }
                    Err(error) => return drop(to.send(Err(status(&error))).await),
                };
                offset += data.len() as u64;
                if to.send(Ok(wire::FilesChunk { data })).await.is_err() {
                    return;
                }
            }
        };
        until_it_stops(&service, &to, pieces).await;
    });
    Ok(chunks)
}

/// The checkpoints of the attempts before, behind what came in a try before.
pub async fn fetch_checkpoints(
    service: Arc<Service>,
    request: wire::FetchCheckpointsRequest,
) -> Result<Replies<wire::CheckpointPart>, Status> {
    let wire::FetchCheckpointsRequest { holder, after, offset, file, of_resumed } = request;
    let listed = service.checkpoints(&parse(holder)?, of_resumed).await;
    let (root, found) = listed.map_err(|it| status(&it))?;
    let after = path_of(&after);
    let rest = found.into_iter().filter(move |it| it.path > after);
    let (to, parts) = mpsc::channel(IN_FLIGHT);
    service.clone().tasks.spawn("fetch-checkpoints", async move {
        let files = async {
            let mut resume = file.map(|it| (it, offset));
            for found in rest {
                let item = wire::ShipItem::from(&found);
                let from = match (resume.take(), &item.kind) {
                    (Some((meta, offset)), Some(wire::ship_item::Kind::File(now)))
                        if meta == *now =>
                    {
                        offset
                    }
                    _ => 0,
                };
                let is_file = matches!(found.what, What::File(_));
                let head = wire::CheckpointItem { item: Some(item), offset: from };
                let head = wire::CheckpointPart { part: Some(checkpoint_part::Part::Item(head)) };
                if to.send(Ok(head)).await.is_err() {
                    return;
                }
                if is_file && !file_pieces(&service, &root, &found.path, from, &to).await {
                    return;
                }
            }
        };
        until_it_stops(&service, &to, files).await;
    });
    Ok(parts)
}

/// A master that stops says so: what ends without a word counts as whole.
async fn until_it_stops<T>(
    service: &Service,
    to: &mpsc::Sender<Result<T, Status>>,
    sending: impl Future<Output = ()>,
) {
    tokio::select! {
        () = sending => {}
        () = service.tasks.cancelled() => drop(to.send(Err(stopping())).await),
    }
}

fn stopping() -> Status {
    Status::unavailable("the master is stopping")
}

/// False = it cannot go on.
async fn file_pieces(
    service: &Service,
    root: &Path,
    path: &Path,
    mut offset: u64,
    to: &mpsc::Sender<Result<wire::CheckpointPart, Status>>,
) -> bool {
    let mut source = match service.open_below(root, path).await {
        Ok(source) => source,
        Err(error) => {
            drop(to.send(Err(status(&error))).await);
            return false;
        }
    };
    loop {
        let data = match service.piece(source, offset).await {
            Ok((_, data)) if data.is_empty() => return true,
            Ok((back, data)) => {
                source = back;
                data
            }
            Err(error) => {
                drop(to.send(Err(status(&error))).await);
                return false;
            }
        };
        offset += data.len() as u64;
        let part = wire::CheckpointPart { part: Some(checkpoint_part::Part::Data(data)) };
        if to.send(Ok(part)).await.is_err() {
            return false;
        }
    }
}

/// Receives files into the archive.
pub async fn ship(
    service: Arc<Service>,
    mut requests: impl Requests,
) -> Result<Replies<wire::ShipReply>, Status> {
    let Some(ship_request::Message::Start(start)) = first(&mut requests).await? else {
        return Err(Status::invalid_argument("the first message of a shipment says of what"));
    };
    let wire::ShipStart { holder, folder, uid, gid } = start;
    let holder = parse(holder)?;
    let folder = match wire::ShipFolder::try_from(folder) {
        Ok(wire::ShipFolder::Outputs) => Folder::Outputs,
        Ok(wire::ShipFolder::Artifacts) => Folder::Artifacts,
        Ok(wire::ShipFolder::Checkpoints) => Folder::Checkpoints(Owner { uid, gid }),
        Err(_) => return Err(Status::invalid_argument("folder: is none that is kept")),
    };
    receive(service, Shipped::Attempt { holder, folder }, requests).await
}

pub async fn first(requests: &mut impl Requests) -> Result<Option<ship_request::Message>, Status> {
    Ok(within(requests.next()).await?.transpose()?.and_then(|it| it.message))
}

/// What comes behind the first message.
pub async fn receive(
    service: Arc<Service>,
    of: Shipped,
    requests: impl Requests,
) -> Result<Replies<wire::ShipReply>, Status> {
    let (filling, shipment) = service.shipment(&of).await.map_err(|it| status(&it))?;
    let (to, replies) = mpsc::channel(IN_FLIGHT);
    let tasks = service.tasks.clone();
    tasks.spawn("ship", async move {
        let receiving = Receiving { service: &service, of, filling, to: &to };
        let received = tokio::select! {
            received = receiving.run(shipment, requests) => received,
            () = to.closed() => return,
            () = service.tasks.cancelled() => Err(stopping()),
        };
        if let Err(status) = received {
            drop(to.send(Err(status)).await); // whoever is gone ships again
        }
    });
    Ok(replies)
}

/// Some are gathered before they are taken.
fn small(request: Result<wire::ShipRequest, Status>) -> Result<wire::ShipRequest, Status> {
    match &request {
        Ok(wire::ShipRequest { message: Some(ship_request::Message::Piece(piece)) })
            if piece.data.len() > CHUNK =>
        {
            let why = format!("a piece of {} bytes; {CHUNK} are the most", piece.data.len());
            Err(Status::invalid_argument(why))
        }
        _ => request,
    }
}

/// A node that is gone without a word is not waited for for ever.
async fn within<T>(next: impl Future<Output = T>) -> Result<T, Status> {
    let silent = |_| Status::deadline_exceeded(format!("nothing came for {SILENT:?}"));
    tokio::time::timeout(SILENT, next).await.map_err(silent)
}

struct Receiving<'a> {
    service: &'a Service,
    of: Shipped,
    filling: Filling,
    to: &'a mpsc::Sender<Result<wire::ShipReply, Status>>,
}

impl Receiving<'_> {
    async fn run(self, mut shipment: Shipment, requests: impl Requests) -> Result<(), Status> {
        let mut requests = requests.map(small).ready_chunks(TOGETHER);
        while let Some(together) = within(requests.next()).await? {
            let mut messages = Vec::new();
            let mut ended = None;
            for request in together {
                match request {
                    Ok(wire::ShipRequest { message: Some(message) }) => messages.push(message),
                    Ok(_) => return Err(Status::invalid_argument("a message without content")),
                    // What came before the cut is not sent again.
                    Err(cut) => ended = Some(cut),
                }
            }
            let end = match messages.last() {
                Some(ship_request::Message::End(end)) => Some(*end),
                _ => None,
            };
            if end.is_some() {
                messages.pop();
            }
            if !messages.is_empty() {
                shipment = self.take(shipment, messages).await?;
            }
            if let Some(wire::ShipEnd { all_offered }) = end {
                let others = if all_offered { Others::Go } else { Others::Stay };
                return self.end(shipment, others).await;
            }
            if let Some(cut) = ended {
                return Err(cut);
            }
        }
        Ok(()) // broken off: it is shipped again
    }

    async fn take(
        &self,
        mut shipment: Shipment,
        messages: Vec<ship_request::Message>,
    ) -> Result<Shipment, Status> {
        let work = move || {
            let replies: Result<Vec<_>, _> =
                messages.into_iter().map(|it| message(&mut shipment, it)).collect();
            replies.map(|it| (shipment, it))
        };
        let (shipment, replies) = self.fill(work).await??;
        for reply in replies.into_iter().flatten() {
            let answers = reply.answers.into_iter().map(answer).collect();
            let reply = wire::ShipReply { answers, left: left(reply.left) };
            self.to.send(Ok(reply)).await.map_err(|_| Status::cancelled("the node is gone"))?;
        }
        Ok(shipment)
    }

    async fn end(&self, shipment: Shipment, others: Others) -> Result<(), Status> {
        let behind = self.fill(move || shipment.end(others)).await?.map_err(refused)?;
        let reply = wire::ShipReply { answers: Vec::new(), left: left(behind) };
        self.to.send(Ok(reply)).await.map_err(|_| Status::cancelled("the node is gone"))
    }

    async fn fill<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let filled = self.service.fill(&self.of, &self.filling, work).await;
        filled.map_err(|it| status(&it))
    }
}

fn message(
    shipment: &mut Shipment,
    message: ship_request::Message,
) -> Result<Option<Reply>, Status> {
    match message {
        ship_request::Message::Offer(wire::ShipOffer { items }) => {
            let items: Result<Vec<_>, _> = items.into_iter().map(Found::try_from).collect();
            let items = items.map_err(|it| Status::invalid_argument(it.to_string()))?;
            shipment.offer(items).map(Some).map_err(refused)
        }
        ship_request::Message::Piece(wire::ShipPiece { data, last }) => {
            shipment.piece(&data, last).map(|()| None).map_err(refused)
        }
        ship_request::Message::Abandon(wire::ShipAbandon {}) => {
            shipment.abandon().map(|()| None).map_err(refused)
        }
        ship_request::Message::Start(_)
        | ship_request::Message::Import(_)
        | ship_request::Message::End(_) => {
            Err(Status::invalid_argument("a shipment begins once and ends once"))
        }
    }
}

fn answer(answer: Answer) -> wire::ShipAnswer {
    let answer = match answer {
        Answer::There => ship_answer::Answer::There(wire::ShipThere {}),
        Answer::From(from) => ship_answer::Answer::From(from),
        Answer::Refused(why) => ship_answer::Answer::Refused(why),
    };
    wire::ShipAnswer { answer: Some(answer) }
}

fn left(left: Vec<Left>) -> Vec<wire::ShipLeft> {
    let wire = |Left { path, why }| wire::ShipLeft { path: bytes_of(&path), why };
    left.into_iter().map(wire).collect()
}

fn refused(error: ShipmentError) -> Status {
    match error {
        ShipmentError::Refused(why) => Status::invalid_argument(why),
        ShipmentError::Storage(source) => {
            status(&Error::Io { what: "write to the archive".into(), source })
        }
    }
}

fn parse(holder: Option<wire::Holder>) -> Result<Holder, Status> {
    let holder = holder.ok_or_else(|| Status::invalid_argument("holder: is missing"))?;
    holder.try_into().map_err(|it: atlas_proto::Invalid| Status::invalid_argument(it.to_string()))
}
