//! The service `Jobs`.

use std::sync::Arc;

use atlas_core::run::Relabel;
use atlas_proto::convert::job_view;
use atlas_proto::wire::{self, jobs_server};
use atlas_runtime::telemetry::TraceParent;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::identity;
use super::status::status;
use crate::runs::query::Field;
use crate::service::{Error, ListedJob, Listing, Service, Submitted};
use crate::store::StoredJob;

/// Translates; the service layer does.
pub struct Jobs(pub Arc<Service>);

type Answer<T> = Result<Response<T>, Status>;
type Stream<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl jobs_server::Jobs for Jobs {
    type WatchJobStream = Stream<wire::Job>;
    type ReadLogStream = Stream<wire::LogChunk>;
    type ListFilesStream = Stream<wire::FileEntry>;
    type ReadFilesStream = Stream<wire::FilesChunk>;

    async fn info(&self, _: Request<wire::InfoRequest>) -> Answer<wire::InfoReply> {
        let (cluster_id, max_bundle_bytes) = (self.0.cluster.to_string(), self.0.max_bundle);
        Ok(Response::new(wire::InfoReply {
            version: crate::VERSION.into(),
            cluster_id,
            max_bundle_bytes,
        }))
    }

    async fn submit(&self, request: Request<wire::SubmitRequest>) -> Answer<wire::SubmitReply> {
        let who = identity(&request);
        let traceparent = TraceParent::from_metadata(request.metadata()).map(|it| it.to_string());
        submitted(self.0.submit(&who, request.into_inner(), traceparent).await)
    }

    async fn rerun(&self, request: Request<wire::RerunRequest>) -> Answer<wire::SubmitReply> {
        let who = identity(&request);
        let traceparent = TraceParent::from_metadata(request.metadata()).map(|it| it.to_string());
        submitted(self.0.rerun(&who, request.into_inner(), traceparent).await)
    }

    async fn find_bundle(
        &self,
        request: Request<wire::FindBundleRequest>,
    ) -> Answer<wire::FindBundleReply> {
        super::bundles::find(&self.0, request).await
    }

    async fn upload_bundle(
        &self,
        request: Request<Streaming<wire::UploadBundleRequest>>,
    ) -> Answer<wire::UploadBundleReply> {
        super::bundles::upload(&self.0, request).await
    }

    async fn get_job(&self, request: Request<wire::JobRef>) -> Answer<wire::Job> {
        let job = self.0.find(&request.get_ref().job).await.map_err(|it| status(&it))?;
        let job = self.0.labelled(job).await.map_err(|it| status(&it))?;
        let mut view = view(&job);
        if let Some(why) = self.0.why(job.id).await.map_err(|it| status(&it))? {
            view.detail = why;
        }
        Ok(Response::new(view))
    }

    async fn get_run(&self, request: Request<wire::JobRef>) -> Answer<wire::GetRunReply> {
        let (_, run) = self.0.run(&request.get_ref().job).await.map_err(|it| status(&it))?;
        let run_json = serde_json::to_string(&*run);
        let run_json = run_json.map_err(|it| Status::internal(format!("the run: {it}")))?;
        Ok(Response::new(wire::GetRunReply { run_json }))
    }

    async fn list_jobs(
        &self,
        request: Request<wire::ListJobsRequest>,
    ) -> Answer<wire::ListJobsReply> {
        let wire::ListJobsRequest {
            project,
            status: of,
            user,
            limit,
            cursor,
            filter,
            sort,
            columns,
        } = request.into_inner();
        let limit = limit as usize;
        let listing = Listing { project, status: of, user, filter, sort, columns, cursor, limit };
        let page = self.0.list(&listing).await.map_err(|it| status(&it))?;
        Ok(Response::new(wire::ListJobsReply {
            jobs: page.jobs.iter().map(|it| listed(&page.columns, it)).collect(),
            columns: page.columns.iter().map(ToString::to_string).collect(),
            next_cursor: page.next.unwrap_or_default(),
            total: page.total as u64,
        }))
    }

    async fn watch_job(&self, request: Request<wire::JobRef>) -> Answer<Self::WatchJobStream> {
        let job = request.into_inner().job;
        self.0.find(&job).await.map_err(|it| status(&it))?;
        let (to, jobs) = mpsc::channel(4);
        let service = self.0.clone();
        self.0.tasks.spawn("watch-job", async move { service.follow(&job, to).await });
        Ok(Response::new(ReceiverStream::new(jobs).map(|it| Ok(view(&it))).boxed()))
    }

    async fn stop_job(&self, request: Request<wire::JobRef>) -> Answer<wire::Job> {
        let who = identity(&request);
        let job = self.0.stop(&who, &request.get_ref().job).await.map_err(|it| status(&it))?;
        Ok(Response::new(view(&job)))
    }

    async fn label_job(&self, request: Request<wire::LabelJobRequest>) -> Answer<wire::Job> {
        let who = identity(&request);
        let wire::LabelJobRequest { job, name, tags, remove } = request.into_inner();
        let tags = tags.into_iter().map(|(key, value)| (key, Some(value)));
        let tags = tags.chain(remove.into_iter().map(|key| (key, None))).collect();
        let job = self.0.relabel(&who, &job, Relabel { name, tags }).await;
        Ok(Response::new(view(&job.map_err(|it| status(&it))?)))
    }

    async fn delete_job(&self, request: Request<wire::JobRef>) -> Answer<wire::DeleteJobReply> {
        let who = identity(&request);
        let id = self.0.delete(&who, &request.get_ref().job).await.map_err(|it| status(&it))?;
        Ok(Response::new(wire::DeleteJobReply { id: id.to_string() }))
    }

    async fn remove_outputs(&self, request: Request<wire::JobRef>) -> Answer<wire::Job> {
        let who = identity(&request);
        let job = self.0.remove_outputs(&who, &request.get_ref().job).await;
        Ok(Response::new(view(&job.map_err(|it| status(&it))?)))
    }

    async fn clear_queue(
        &self,
        request: Request<wire::ClearQueueRequest>,
    ) -> Answer<wire::ClearQueueReply> {
        let who = identity(&request);
        let ended = self.0.clear_queue(&who).await.map_err(|it| status(&it))?;
        Ok(Response::new(wire::ClearQueueReply { ended }))
    }

    async fn list_queue(
        &self,
        request: Request<wire::ListQueueRequest>,
    ) -> Answer<wire::ListQueueReply> {
        let limit = request.get_ref().limit as usize;
        let (waiting, total) = self.0.queue(limit).await.map_err(|it| status(&it))?;
        let jobs = waiting
            .iter()
            .map(|it| wire::QueuedJob {
                place: it.place,
                job: Some(view(&it.job)),
                reason: it.reason.clone(),
            })
            .collect();
        Ok(Response::new(wire::ListQueueReply { jobs, total }))
    }

    async fn list_nodes(&self, _: Request<wire::ListNodesRequest>) -> Answer<wire::ListNodesReply> {
        let nodes = self.0.nodes().await.map_err(|it| status(&it))?;
        Ok(Response::new(wire::ListNodesReply {
            nodes: nodes.iter().map(super::nodes::view).collect(),
        }))
    }

    async fn remove_node(
        &self,
        request: Request<wire::RemoveNodeRequest>,
    ) -> Answer<wire::RemoveNodeReply> {
        let who = identity(&request);
        self.0.remove_node(&who, &request.get_ref().name).await.map_err(|it| status(&it))?;
        Ok(Response::new(wire::RemoveNodeReply {}))
    }

    async fn read_log(
        &self,
        request: Request<wire::ReadLogRequest>,
    ) -> Answer<Self::ReadLogStream> {
        let chunks =
            self.0.clone().read_log(request.into_inner()).await.map_err(|it| status(&it))?;
        Ok(Response::new(stream(chunks)))
    }

    async fn list_files(
        &self,
        request: Request<wire::ListFilesRequest>,
    ) -> Answer<Self::ListFilesStream> {
        let wire::ListFilesRequest { job, path } = request.into_inner();
        let files = self.0.clone().list_files(&job, &path).await.map_err(|it| status(&it))?;
        Ok(Response::new(stream(files)))
    }

    async fn read_files(
        &self,
        request: Request<wire::ReadFilesRequest>,
    ) -> Answer<Self::ReadFilesStream> {
        let wire::ReadFilesRequest { job, path } = request.into_inner();
        let pieces = self.0.clone().read_files(&job, &path).await.map_err(|it| status(&it))?;
        let chunks = ReceiverStream::new(pieces).map(|it| match it {
            Ok(data) => Ok(wire::FilesChunk { data }),
            Err(error) => Err(status(&error)),
        });
        Ok(Response::new(chunks.boxed()))
    }
}

fn submitted(done: Result<Submitted, Error>) -> Answer<wire::SubmitReply> {
    let Submitted { job, created, notices } = done.map_err(|it| status(&it))?;
    Ok(Response::new(wire::SubmitReply { job: Some(view(&job)), created, notices }))
}

fn view(job: &StoredJob) -> wire::Job {
    job_view(job.id, &job.spec, &job.status)
}

fn listed(columns: &[Field], listed: &ListedJob) -> wire::Job {
    let values = columns.iter().zip(&listed.values).filter_map(|(column, value)| {
        let json = serde_json::to_string(value.as_ref()?).expect("a value has a JSON form");
        Some((column.to_string(), json))
    });
    wire::Job { columns: values.collect(), ..view(&listed.job) }
}

fn stream<T: Send + 'static>(from: mpsc::Receiver<Result<T, Error>>) -> Stream<T> {
    ReceiverStream::new(from).map(|it| it.map_err(|error| status(&error))).boxed()
}
