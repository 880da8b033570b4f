//! The look-ups. Every one walks an index.

use std::str::FromStr;
use std::sync::Arc;

use atlas_core::cluster::Snapshot;
use atlas_core::node::NodeRecord;
use atlas_core::project::About;
use atlas_core::time::Millis;
use atlas_core::{BundleId, ClusterId, Epoch, JobId, JobSpec, JobStatus, Position, Revision, Run};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::fault::Fault;
use crate::store::value::decode;
use crate::store::{Error, Mark, Page, Standing, StoredJob, StoredProject, StoredRun};

pub fn mark(from: &Connection) -> rusqlite::Result<Mark> {
    from.prepare_cached("SELECT epoch, revision FROM meta")?.query_row([], |row| {
        Ok(Mark { epoch: Epoch(unsigned(row, 0)?), revision: Revision(unsigned(row, 1)?) })
    })
}

/// Whose it is. A new file has an id that nobody was told.
pub fn cluster(from: &Connection) -> Result<Option<ClusterId>, Fault> {
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?));
    let (text, is_new) = from.query_row("SELECT cluster, epoch = 0 FROM meta", [], read)?;
    let wrong = |error: atlas_core::id::Invalid| Error::Decode {
        key: format!("the cluster's id {text:?}"),
        source: serde::de::Error::custom(error),
    };
    let cluster = text.parse().map_err(wrong)?;
    Ok((!is_new).then_some(cluster))
}

/// Everything live, in the order of the queue, as of one moment.
pub fn restore(from: &mut Connection) -> Result<Snapshot, Fault> {
    let moment = from.transaction()?;
    let (next_position, granted) = meta(&moment)?;
    Ok(Snapshot { jobs: live_jobs(&moment)?, nodes: nodes(&moment)?, next_position, granted })
}

pub fn meta(from: &Connection) -> rusqlite::Result<(Position, Option<Millis>)> {
    from.query_row("SELECT next_position, granted_ms FROM meta", [], |row| {
        let granted = row.get::<_, Option<i64>>(1)?.is_some().then(|| unsigned(row, 1));
        Ok((Position(unsigned(row, 0)?), granted.transpose()?.map(Millis)))
    })
}

pub fn standing(from: &Connection) -> rusqlite::Result<Standing> {
    from.query_row("SELECT given_away, unfinished FROM meta", [], |row| {
        Ok(Standing::new(row.get(0)?, row.get(1)?))
    })
}

fn live_jobs(from: &Connection) -> Result<Vec<(JobId, Arc<JobSpec>, JobStatus)>, Fault> {
    let mut jobs = Vec::new();
    // Jobs submitted one after the other are often the same but for their ids: they share one spec.
    let mut last: Option<(String, Arc<JobSpec>)> = None;
    let mut statement = from.prepare(
        "SELECT id, spec, state FROM jobs JOIN specs USING (position) WHERE live = 1 ORDER BY position",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = id(row)?;
        let text = text(row, 1)?;
        let spec = match &last {
            Some((same, spec)) if same == text => spec.clone(),
            _ => last.insert((text.to_owned(), spec(id, text)?)).1.clone(),
        };
        jobs.push((id, spec, status(id, self::text(row, 2)?)?));
    }
    Ok(jobs)
}

pub fn nodes(from: &Connection) -> Result<Vec<NodeRecord>, Fault> {
    let mut nodes = Vec::new();
    let mut statement = from.prepare("SELECT name, node FROM nodes ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name = text(row, 0)?;
        nodes.push(decode(|| format!("node {name}"), text(row, 1)?)?);
    }
    Ok(nodes)
}

pub fn job(from: &Connection, id: JobId) -> Result<Option<StoredJob>, Fault> {
    let mut statement = from.prepare_cached(
        "SELECT id, spec, state FROM jobs JOIN specs USING (position) WHERE id = ?1",
    )?;
    let mut rows = statement.query([id.to_string()])?;
    rows.next()?.map(stored_job).transpose()
}

pub fn jobs_with_prefix(
    from: &Connection,
    prefix: &str,
    limit: usize,
) -> Result<Vec<JobId>, Fault> {
    // `g` stands behind every digit of an id.
    let mut statement = from.prepare_cached(
        "SELECT id FROM jobs WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id LIMIT ?2",
    )?;
    let ids = statement.query_map(params![prefix, count(limit)], id)?;
    Ok(ids.collect::<Result<_, _>>()?)
}

pub fn jobs_of(from: &Connection, ids: &[JobId]) -> Result<Vec<StoredJob>, Fault> {
    let found = ids.iter().filter_map(|id| job(from, *id).transpose());
    found.collect()
}

pub fn jobs(from: &Connection, page: Page) -> Result<Vec<StoredJob>, Fault> {
    let Page { before, limit } = page;
    let before = before.map_or(i64::MAX, |it| count(it.0));
    let mut statement = from.prepare_cached(
        "SELECT id, spec, state FROM jobs JOIN specs USING (position) \
         WHERE position < ?1 ORDER BY position DESC LIMIT ?2",
    )?;
    let mut rows = statement.query([before, count(limit)])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        jobs.push(stored_job(row)?);
    }
    Ok(jobs)
}

pub fn run(from: &Connection, id: JobId) -> Result<Option<Arc<Run>>, Fault> {
    Ok(runs_of(from, &[id], usize::MAX)?.pop().flatten())
}

pub fn runs_of(
    from: &Connection,
    ids: &[JobId],
    most: usize,
) -> Result<Vec<Option<Arc<Run>>>, Fault> {
    let mut statement =
        from.prepare_cached("SELECT run FROM runs JOIN jobs USING (position) WHERE id = ?1")?;
    let (mut runs, mut bytes) = (Vec::new(), 0_usize);
    for id in ids {
        let mut rows = statement.query([id.to_string()])?;
        let told = rows.next()?.map(|row| text(row, 0)).transpose()?;
        bytes = bytes.saturating_add(told.map_or(0, str::len));
        if bytes > most && !runs.is_empty() {
            break;
        }
        runs.push(told.map(|it| decode_run(*id, it)).transpose()?);
    }
    Ok(runs)
}

pub fn runs(from: &Connection, page: Page) -> Result<Vec<StoredRun>, Fault> {
    let Page { before, limit } = page;
    let before = before.map_or(i64::MAX, |it| count(it.0));
    let mut statement = from.prepare_cached(
        "SELECT id, position, run FROM runs JOIN jobs USING (position) \
         WHERE position < ?1 ORDER BY position DESC LIMIT ?2",
    )?;
    let mut rows = statement.query([before, count(limit)])?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, position) = (id(row)?, Position(unsigned(row, 1)?));
        runs.push(StoredRun { id, position, run: decode_run(id, text(row, 2)?)? });
    }
    Ok(runs)
}

fn decode_run(id: JobId, text: &str) -> Result<Arc<Run>, Fault> {
    Ok(decode(|| format!("the run of job {id}"), text)?)
}

pub fn project(from: &Connection, name: &str) -> Result<Option<Arc<About>>, Fault> {
    let mut statement = from.prepare_cached("SELECT name, about FROM projects WHERE name = ?1")?;
    let mut rows = statement.query([name])?;
    rows.next()?.map(|row| Ok(stored_project(row)?.about)).transpose()
}

pub fn projects(from: &Connection) -> Result<Vec<StoredProject>, Fault> {
    let mut projects = Vec::new();
    let mut statement = from.prepare("SELECT name, about FROM projects ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        projects.push(stored_project(row)?);
    }
    Ok(projects)
}

fn stored_project(row: &Row<'_>) -> Result<StoredProject, Fault> {
    let name = text(row, 0)?;
    Ok(StoredProject::read(name, text(row, 1)?)?)
}

pub fn uses_bundle(from: &Connection, bundle: BundleId) -> Result<bool, Fault> {
    let found = from
        .prepare_cached("SELECT 1 FROM jobs WHERE bundle = ?1 LIMIT 1")?
        .query_row([bundle.to_string()], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// Of a row of id, spec and state.
fn stored_job(row: &Row<'_>) -> Result<StoredJob, Fault> {
    let id = id(row)?;
    Ok(StoredJob { id, spec: spec(id, text(row, 1)?)?, status: status(id, text(row, 2)?)? })
}

fn spec(id: JobId, text: &str) -> Result<Arc<JobSpec>, Error> {
    decode(|| format!("the spec of job {id}"), text)
}

fn status(id: JobId, text: &str) -> Result<JobStatus, Error> {
    decode(|| format!("the state of job {id}"), text)
}

/// The first column.
fn id(row: &Row<'_>) -> rusqlite::Result<JobId> {
    let text = text(row, 0)?;
    JobId::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))
}

/// Lent by SQLite until the next row.
fn text<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<&'a str> {
    Ok(row.get_ref(column)?.as_str()?)
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// SQLite counts in signed numbers.
pub fn count<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
