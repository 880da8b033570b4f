//! The look-ups.

use std::collections::HashMap;
use std::sync::Arc;

use atlas_core::cluster::Snapshot;
use atlas_core::node::NodeRecord;
use atlas_core::project::About;
use atlas_core::time::Millis;
use atlas_core::{
    BundleId, ClusterId, Epoch, JobId, JobSpec, JobStatus, Position, ProjectName, Revision, Run,
};
use redis::{AsyncCommands as _, Pipeline, RedisResult};

use super::keys;
use super::link::Link;
use crate::store::value::decode;
use crate::store::{Error, Mark, Page, StoredJob, StoredProject, StoredRun};

/// So many jobs travel at once.
const BATCH: usize = 500;

pub async fn mark(link: &Link) -> Result<Mark, Error> {
    let read = link.connection().mget(&[keys::EPOCH, keys::REVISION]).await;
    let (epoch, revision): (Option<u64>, Option<u64>) =
        read.map_err(|error| link.failed("read the last revision", error))?;
    Ok(Mark {
        epoch: Epoch(epoch.unwrap_or_default()),
        revision: Revision(revision.unwrap_or_default()),
    })
}

/// Whose it is.
pub async fn cluster(link: &Link) -> Result<Option<ClusterId>, Error> {
    let read = link.connection().get(keys::CLUSTER).await;
    let text: Option<String> = read.map_err(|error| link.failed("read whose it is", error))?;
    text.map(|it| parse_cluster(&it)).transpose()
}

pub fn parse_cluster(text: &str) -> Result<ClusterId, Error> {
    text.parse().map_err(|error: atlas_core::id::Invalid| Error::Decode {
        key: keys::CLUSTER.to_owned(),
        source: serde::de::Error::custom(error),
    })
}

/// Everything live, in the order of the queue, as of one moment: again from the start while somebody writes.
pub async fn restore(link: &Link) -> Result<Snapshot, Error> {
    loop {
        let before = mark(link).await?;
        let snapshot = read_live(link).await?;
        if let (Some(snapshot), true) = (snapshot, mark(link).await? == before) {
            return Ok(snapshot);
        }
    }
}

/// `None` = a job went away in between.
async fn read_live(link: &Link) -> Result<Option<Snapshot>, Error> {
    let failed = |error| link.failed("read what is live", error);
    let mut to = link.connection();
    let (next, granted): (Option<u64>, Option<u64>) =
        to.mget(&[keys::NEXT_POSITION, keys::GRANTED]).await.map_err(failed)?;
    let nodes = nodes(link).await?;
    let ids: Vec<JobText> = to.zrange(keys::LIVE, 0, -1).await.map_err(failed)?;
    let mut jobs = Vec::with_capacity(ids.len());
    let mut specs = Specs::default();
    for ids in ids.chunks(BATCH) {
        for (id, row) in ids.iter().zip(rows(link, ids).await.map_err(failed)?) {
            let Some(Row { spec, state, .. }) = row else { return Ok(None) };
            let id = parse(id)?;
            jobs.push((id, specs.read(id, spec)?, status(id, &state)?));
        }
    }
    Ok(Some(Snapshot {
        jobs,
        nodes,
        next_position: next_position(next),
        granted: granted.filter(|it| *it > 0).map(Millis),
    }))
}

/// By name.
pub async fn nodes(link: &Link) -> Result<Vec<NodeRecord>, Error> {
    let found = link.connection().hgetall(keys::NODES).await;
    let found: HashMap<String, String> =
        found.map_err(|error| link.failed("read the nodes", error))?;
    let read = |(name, text): (String, String)| decode(|| format!("node {name}"), &text);
    let mut nodes = found.into_iter().map(read).collect::<Result<Vec<NodeRecord>, Error>>()?;
    nodes.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
    Ok(nodes)
}

/// Of a Redis in which it may not stand yet.
pub fn next_position(kept: Option<u64>) -> Position {
    Position(kept.unwrap_or(1))
}

pub async fn job(link: &Link, id: JobId) -> Result<Option<StoredJob>, Error> {
    let found = rows(link, &[id.to_string()]).await;
    let mut found = found.map_err(|error| link.failed("look a job up", error))?;
    found.pop().flatten().map(|row| row.job(id)).transpose()
}

pub async fn jobs_with_prefix(
    link: &Link,
    prefix: &str,
    limit: usize,
) -> Result<Vec<JobId>, Error> {
    // `g` stands behind every digit of an id.
    let (from, to) = (format!("[{prefix}"), format!("({prefix}g"));
    let limit = isize::try_from(limit).unwrap_or(isize::MAX);
    let found = link.connection().zrangebylex_limit(keys::IDS, from, to, 0, limit).await;
    let ids: Vec<JobText> = found.map_err(|error| link.failed("look for jobs", error))?;
    ids.iter().map(|it| parse(it)).collect()
}

pub async fn jobs_of(link: &Link, ids: &[JobId]) -> Result<Vec<StoredJob>, Error> {
    let mut jobs = Vec::with_capacity(ids.len());
    for ids in ids.chunks(BATCH) {
        let texts: Vec<JobText> = ids.iter().map(ToString::to_string).collect();
        let found = rows(link, &texts).await.map_err(|error| link.failed("look jobs up", error))?;
        for (id, row) in ids.iter().zip(found) {
            jobs.extend(row.map(|it| it.job(*id)).transpose()?);
        }
    }
    Ok(jobs)
}

/// From the newest on.
pub async fn jobs(link: &Link, page: Page) -> Result<Vec<StoredJob>, Error> {
    let mut walk = Walk::new(link, page, "list jobs");
    let mut found = Vec::new();
    while let Some(ids) = walk.next(found.len()).await? {
        let ids: Vec<JobId> = ids.into_iter().map(|(id, _)| id).collect();
        // One that is gone was deleted just now.
        found.extend(jobs_of(link, &ids).await?);
    }
    found.truncate(page.limit);
    Ok(found)
}

pub async fn run(link: &Link, id: JobId) -> Result<Option<Arc<Run>>, Error> {
    let found = link.connection().hget(format!("{}{id}", keys::JOB), "run").await;
    let text: Option<String> = found.map_err(|error| link.failed("look a run up", error))?;
    text.map(|it| decode_run(id, &it)).transpose()
}

/// How long they are is asked first, so that never much more travels than was asked for.
pub async fn runs_of(
    link: &Link,
    ids: &[JobId],
    most: usize,
) -> Result<Vec<Option<Arc<Run>>>, Error> {
    let failed = |error| link.failed("look runs up", error);
    let ids = &ids[..ids.len().min(BATCH)];
    let key = |id: &JobId| format!("{}{id}", keys::JOB);
    let mut asked = Pipeline::new();
    for id in ids {
        asked.cmd("HSTRLEN").arg(key(id)).arg("run");
    }
    let lengths: Vec<usize> = asked.query_async(&mut link.connection()).await.map_err(failed)?;
    let mut bytes = 0_usize;
    let fits = |it: &&usize| {
        bytes = bytes.saturating_add(**it);
        bytes <= most
    };
    let fit = lengths.iter().take_while(fits).count().max(1);
    let mut asked = Pipeline::new();
    for id in ids.iter().take(fit) {
        asked.hget(key(id), "run");
    }
    let texts: Vec<Option<String>> =
        asked.query_async(&mut link.connection()).await.map_err(failed)?;
    let read =
        |(id, text): (&JobId, Option<String>)| text.map(|it| decode_run(*id, &it)).transpose();
    ids.iter().zip(texts).map(read).collect()
}

/// Of all jobs from the newest on those that told something.
pub async fn runs(link: &Link, page: Page) -> Result<Vec<StoredRun>, Error> {
    let mut walk = Walk::new(link, page, "list runs");
    let mut found = Vec::new();
    while let Some(ids) = walk.next(found.len()).await? {
        let mut asked = Pipeline::new();
        for (id, _) in &ids {
            asked.hget(format!("{}{id}", keys::JOB), "run");
        }
        let texts: Vec<Option<String>> = asked
            .query_async(&mut link.connection())
            .await
            .map_err(|error| link.failed("list runs", error))?;
        for ((id, position), text) in ids.into_iter().zip(texts) {
            let Some(text) = text else { continue };
            found.push(StoredRun { id, position, run: decode_run(id, &text)? });
        }
    }
    found.truncate(page.limit);
    Ok(found)
}

/// Through all jobs from the newest on, a batch at a time.
struct Walk<'a> {
    link: &'a Link,
    what: &'static str,
    limit: usize,
    /// The last position that was seen, as Redis is asked for what comes before it.
    before: String,
}

impl<'a> Walk<'a> {
    fn new(link: &'a Link, page: Page, what: &'static str) -> Self {
        let before = page.before.map_or_else(|| "+inf".to_owned(), |it| format!("({it}"));
        Self { link, what, limit: page.limit, before }
    }

    /// `None` = so many were found that the page is full, or there are no more.
    async fn next(&mut self, found: usize) -> Result<Option<Vec<(JobId, Position)>>, Error> {
        if found >= self.limit {
            return Ok(None);
        }
        let batch = isize::try_from(BATCH.min(self.limit)).expect("it is short");
        let ids: Vec<(JobText, u64)> = self
            .link
            .connection()
            .zrevrangebyscore_limit_withscores(keys::JOBS, &self.before, "-inf", 0, batch)
            .await
            .map_err(|error| self.link.failed(self.what, error))?;
        let Some((_, last)) = ids.last() else { return Ok(None) };
        self.before = format!("({last}");
        let ids = ids.iter().map(|(id, position)| Ok((parse(id)?, Position(*position))));
        ids.collect::<Result<_, Error>>().map(Some)
    }
}

fn decode_run(id: JobId, text: &str) -> Result<Arc<Run>, Error> {
    decode(|| format!("the run of job {id}"), text)
}

pub async fn project(link: &Link, name: &ProjectName) -> Result<Option<Arc<About>>, Error> {
    let found = link.connection().hget(keys::PROJECTS, name.as_str()).await;
    let text: Option<String> = found.map_err(|error| link.failed("look a project up", error))?;
    Ok(text.map(|it| StoredProject::read(name.as_str(), &it)).transpose()?.map(|it| it.about))
}

/// By name.
pub async fn projects(link: &Link) -> Result<Vec<StoredProject>, Error> {
    let found = link.connection().hgetall(keys::PROJECTS).await;
    let found: HashMap<String, String> =
        found.map_err(|error| link.failed("list projects", error))?;
    let read = |(name, text): (String, String)| StoredProject::read(&name, &text);
    let mut projects = found.into_iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    projects.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(projects)
}

pub async fn uses_bundle(link: &Link, bundle: BundleId) -> Result<bool, Error> {
    let found = link.connection().exists(keys::bundle(bundle)).await;
    found.map_err(|error| link.failed("look for the users of a bundle", error))
}

/// An id as it stands in Redis.
type JobText = String;

/// The hash of a job, as far as it is read.
struct Row {
    spec: String,
    state: String,
}

impl Row {
    fn job(self, id: JobId) -> Result<StoredJob, Error> {
        let spec = Specs::default().read(id, self.spec)?;
        Ok(StoredJob { id, spec, status: status(id, &self.state)? })
    }
}

/// The jobs of these ids in one round trip; `None` for one that is not there.
async fn rows(link: &Link, ids: &[JobText]) -> RedisResult<Vec<Option<Row>>> {
    const FIELDS: [&str; 2] = ["spec", "state"];
    let mut asked = Pipeline::new();
    for id in ids {
        asked.hmget(format!("{}{id}", keys::JOB), &FIELDS);
    }
    let rows: Vec<[Option<String>; 2]> = asked.query_async(&mut link.connection()).await?;
    let row = |[spec, state]: [Option<String>; 2]| Some(Row { spec: spec?, state: state? });
    Ok(rows.into_iter().map(row).collect())
}

/// Jobs submitted one after the other are often the same but for their ids: they share one spec.
#[derive(Default)]
struct Specs {
    last: Option<(String, Arc<JobSpec>)>,
}

impl Specs {
    fn read(&mut self, id: JobId, text: String) -> Result<Arc<JobSpec>, Error> {
        if let Some((same, spec)) = &self.last
            && *same == text
        {
            return Ok(spec.clone());
        }
        let spec: Arc<JobSpec> = decode(|| format!("the spec of job {id}"), &text)?;
        self.last = Some((text, spec.clone()));
        Ok(spec)
    }
}

fn status(id: JobId, text: &str) -> Result<JobStatus, Error> {
    decode(|| format!("the state of job {id}"), text)
}

fn parse(id: &str) -> Result<JobId, Error> {
    let wrong = |error: atlas_core::id::Invalid| {
        let source = serde::de::Error::custom(error);
        Error::Decode { key: format!("the job id {id:?}"), source }
    };
    id.parse().map_err(wrong)
}
