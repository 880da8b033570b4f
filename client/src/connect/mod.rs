//! The connection to the master: who asks, what an answer's absence means, and how long it is waited for.

mod error;
mod identity;
mod patience;
mod projects;
mod streams;
mod transfers;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use atlas_core::Run;
use atlas_proto::MAX_MESSAGE;
use atlas_proto::wire::{
    self, jobs_client::JobsClient, projects_client::ProjectsClient,
    transfers_client::TransfersClient,
};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

use crate::config::Config;
use crate::say::Say;

pub use error::Error;
use identity::Identity;
use patience::{Link, Patience};
pub use streams::{Log, log, watch};
pub use upload::upload;

/// No question of one answer takes longer; a submission may have to wait for a disk.
const DEADLINE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
/// A connection over which nothing comes back for this long is dead.
const SILENCE: Duration = Duration::from_secs(20);
/// The largest page of a listing.
const PAGE: u32 = 500;

type Jobs = JobsClient<InterceptedService<Channel, Identity>>;
type Projects = ProjectsClient<InterceptedService<Channel, Identity>>;
type Transfers = TransfersClient<InterceptedService<Channel, Identity>>;

/// A master that answered. A cheap handle.
#[derive(Clone, Debug)]
pub struct Master {
    jobs: Jobs,
    projects: Projects,
    transfers: Transfers,
    url: Arc<str>,
    link: Link,
    info: Arc<wire::InfoReply>,
}

impl Master {
    /// Connects, and refuses a master that speaks another version.
    pub async fn connect(config: &Config, say: Say) -> Result<Self, Error> {
        for notice in &config.notices {
            say.warn(notice);
        }
        let url: Arc<str> = config.url.as_str().into();
        let endpoint = Endpoint::from_shared(config.url.clone())
            .map_err(|source| Error::Address { url: config.url.clone(), source })?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(SILENCE)
            .keep_alive_while_idle(true);
        let channel = endpoint.connect_lazy();
        let projects = ProjectsClient::with_interceptor(channel.clone(), Identity::of(config));
        let transfers = TransfersClient::with_interceptor(channel.clone(), Identity::of(config))
            .max_decoding_message_size(MAX_MESSAGE);
        let jobs = JobsClient::with_interceptor(channel, Identity::of(config))
            .max_decoding_message_size(MAX_MESSAGE);
        let mut master =
            Self { jobs, projects, transfers, url, link: Link::new(say), info: Arc::default() };
        let mut jobs = master.jobs.clone();
        let info = master.unary(jobs.info(wire::InfoRequest {})).await?;
        if !compatible(env!("CARGO_PKG_VERSION"), &info.version) {
            let (url, theirs) = (config.url.clone(), info.version);
            return Err(Error::Version { url, theirs });
        }
        master.info = Arc::new(info);
        Ok(master)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn info(&self) -> &wire::InfoReply {
        &self.info
    }

    pub async fn submit(&self, request: &wire::SubmitRequest) -> Result<wire::SubmitReply, Error> {
        self.insist(async |mut jobs| jobs.submit(request.clone()).await).await
    }

    pub async fn rerun(&self, request: &wire::RerunRequest) -> Result<wire::SubmitReply, Error> {
        self.insist(async |mut jobs| jobs.rerun(request.clone()).await).await
    }

    /// Sends a submission until there is an answer: the id makes it the same one each time.
    async fn insist(
        &self,
        send: impl AsyncFn(Jobs) -> Result<Response<wire::SubmitReply>, Status>,
    ) -> Result<wire::SubmitReply, Error> {
        let mut patience = Patience::brief(&self.link);
        loop {
            match self.unary(send(self.jobs.clone())).await {
                Err(error) => patience.wait(error).await?,
                Ok(reply) => {
                    patience.recovered();
                    return Ok(reply);
                }
            }
        }
    }

    pub async fn job(&self, job: &str) -> Result<wire::Job, Error> {
        let mut jobs = self.jobs.clone();
        self.unary(jobs.get_job(reference(job))).await
    }

    /// What the job has told of itself.
    pub async fn run(&self, job: &str) -> Result<Run, Error> {
        let mut jobs = self.jobs.clone();
        let run = self.unary(jobs.get_run(reference(job))).await?.run_json;
        serde_json::from_str(&run).map_err(|source| Error::Unreadable { what: "run", source })
    }

    /// The first `limit` jobs of a listing, page by page, as one.
    pub async fn jobs(
        &self,
        mut request: wire::ListJobsRequest,
    ) -> Result<wire::ListJobsReply, Error> {
        let mut left = request.limit;
        let mut all = wire::ListJobsReply::default();
        while left > 0 {
            request.limit = left.min(PAGE);
            let mut jobs = self.jobs.clone();
            let wire::ListJobsReply { jobs, next_cursor, total, columns } =
                self.unary(jobs.list_jobs(request.clone())).await?;
            left = left.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
            all.jobs.extend(jobs);
            all.total = total;
            for column in columns {
                if !all.columns.contains(&column) {
                    all.columns.push(column);
                }
            }
            if next_cursor.is_empty() {
                break;
            }
            request.cursor = next_cursor;
        }
        Ok(all)
    }

    pub async fn stop(&self, job: &str) -> Result<wire::Job, Error> {
        let mut jobs = self.jobs.clone();
        self.unary(jobs.stop_job(reference(job))).await
    }

    /// The full id of what was deleted.
    pub async fn delete(&self, job: &str) -> Result<String, Error> {
        let mut jobs = self.jobs.clone();
        Ok(self.unary(jobs.delete_job(reference(job))).await?.id)
    }

    /// What the job wrote goes; the job as it is then.
    pub async fn remove_outputs(&self, job: &str) -> Result<wire::Job, Error> {
        let mut jobs = self.jobs.clone();
        self.unary(jobs.remove_outputs(reference(job))).await
    }

    /// How many queued jobs were ended.
    pub async fn clear_queue(&self) -> Result<u64, Error> {
        let mut jobs = self.jobs.clone();
        Ok(self.unary(jobs.clear_queue(wire::ClearQueueRequest {})).await?.ended)
    }

    pub async fn queue(&self, limit: u32) -> Result<wire::ListQueueReply, Error> {
        let mut jobs = self.jobs.clone();
        self.unary(jobs.list_queue(wire::ListQueueRequest { limit })).await
    }

    pub async fn nodes(&self) -> Result<Vec<wire::Node>, Error> {
        let mut jobs = self.jobs.clone();
        Ok(self.unary(jobs.list_nodes(wire::ListNodesRequest {})).await?.nodes)
    }

    pub async fn remove_node(&self, name: &str) -> Result<(), Error> {
        let mut jobs = self.jobs.clone();
        let request = wire::RemoveNodeRequest { name: name.into() };
        self.unary(jobs.remove_node(request)).await.map(|_| ())
    }

    pub async fn list_files(
        &self,
        job: &str,
        path: &str,
    ) -> Result<Streaming<wire::FileEntry>, Error> {
        let mut jobs = self.jobs.clone();
        let request = wire::ListFilesRequest { job: job.into(), path: path.into() };
        self.unary(jobs.list_files(request)).await
    }

    pub async fn read_files(
        &self,
        job: &str,
        path: &str,
    ) -> Result<Streaming<wire::FilesChunk>, Error> {
        let mut jobs = self.jobs.clone();
        let request = wire::ReadFilesRequest { job: job.into(), path: path.into() };
        self.unary(jobs.read_files(request)).await
    }

    /// What a broken stream means.
    pub fn broken(&self, status: &Status) -> Error {
        Error::of(&self.url, status)
    }

    /// Whether to try again after `error`, which is given back where not.
    pub fn patience(&self) -> Patience {
        Patience::long(&self.link)
    }

    /// One answer, or the beginning of a stream, in time.
    async fn unary<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(DEADLINE, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Error::of(&self.url, &status)),
            Err(_) => Err(Error::Silent { url: self.url.to_string(), waited: DEADLINE }),
        }
    }
}

fn reference(job: &str) -> wire::JobRef {
    wire::JobRef { job: job.into() }
}

/// Whether two versions understand each other: the same major version, before 1.0 the same minor one.
fn compatible(ours: &str, theirs: &str) -> bool {
    let significant = |version: &str| {
        let mut parts = version.split('.').map(|it| it.parse::<u64>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(0), Some(minor)) => Some((0, minor)),
            (Some(major), Some(_)) => Some((major, 0)),
            _ => None,
        }
    };
    significant(ours).is_some() && significant(ours) == significant(theirs)
}

#[cfg(test)]
mod tests {
    use super::compatible;

    #[test]
    fn versions_understand_each_other_within_a_major_one() {
        for (ours, theirs, expected) in [
            ("0.1.0", "0.1.7", true),
            ("0.1.0", "0.2.0", false),
            ("1.2.0", "1.9.1", true),
            ("1.2.0", "2.0.0", false),
            ("1.2.0", "0.2.0", false),
            ("0.1.0", "", false),
            ("0.1.0", "nonsense", false),
        ] {
            assert_eq!(compatible(ours, theirs), expected, "{ours} {theirs}");
        }
    }
}
