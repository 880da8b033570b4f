//! The service `Transfers`.

use std::sync::Arc;

use atlas_core::Timestamp;
use atlas_core::project::Note;
use atlas_proto::wire::{self, ship_request, transfers_server};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::status::status;
use super::{identity, shipping};
use crate::service::{Incoming, Outgoing, Service, Shipped};

/// Translates; the service layer does.
pub struct Transfers(pub Arc<Service>);

type Answer<T> = Result<Response<T>, Status>;
type Stream<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl transfers_server::Transfers for Transfers {
    type ReadBundleStream = Stream<wire::FilesChunk>;
    type ImportFilesStream = Stream<wire::ShipReply>;

    async fn export_job(&self, request: Request<wire::JobRef>) -> Answer<wire::ExportJobReply> {
        let exported = self.0.export(&request.get_ref().job).await;
        let Outgoing { json, points, kept } = exported.map_err(|it| status(&it))?;
        let points = points.unwrap_or_default();
        Ok(Response::new(wire::ExportJobReply { job_json: json, points, kept }))
    }

    async fn read_bundle(
        &self,
        request: Request<wire::FetchBundleRequest>,
    ) -> Answer<Self::ReadBundleStream> {
        let chunks = shipping::fetch_bundle(self.0.clone(), request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(chunks).boxed()))
    }

    async fn import_files(
        &self,
        request: Request<Streaming<wire::ShipRequest>>,
    ) -> Answer<Self::ImportFilesStream> {
        let who = identity(&request);
        let mut requests = request.into_inner();
        let first = shipping::first(&mut requests).await?;
        let Some(ship_request::Message::Import(wire::ImportStart { job, folder })) = first else {
            return Err(Status::invalid_argument("the first message of an import says of what"));
        };
        let of = self.0.folder_of_import(&who, &job, &folder).map_err(|it| status(&it))?;
        let of = Shipped::Import { job: of.0, folder: of.1 };
        let replies = shipping::receive(self.0.clone(), of, requests).await?;
        Ok(Response::new(ReceiverStream::new(replies).boxed()))
    }

    async fn import_job(
        &self,
        request: Request<wire::ImportJobRequest>,
    ) -> Answer<wire::ImportJobReply> {
        let who = identity(&request);
        let wire::ImportJobRequest { job_json: json, git_diff, folders, only_check } =
            request.into_inner();
        let incoming = Incoming { json, git_diff, folders, only_check };
        let known = self.0.import(&who, incoming).await.map_err(|it| status(&it))?;
        Ok(Response::new(wire::ImportJobReply { known }))
    }

    async fn import_project(
        &self,
        request: Request<wire::ImportProjectRequest>,
    ) -> Answer<wire::ImportProjectReply> {
        let who = identity(&request);
        let wire::ImportProjectRequest { project, description, notes, only_check } =
            request.into_inner();
        let note = |wire::Note { id, author, at_ms, text }| Note {
            number: id,
            author,
            at: Timestamp(at_ms),
            text,
        };
        let notes = notes.into_iter().map(note).collect();
        let taken = self.0.import_project(&who, &project, description, notes, only_check).await;
        let taken = taken.map_err(|it| status(&it))?;
        Ok(Response::new(wire::ImportProjectReply { taken }))
    }
}
