//! What a commit writes.

use atlas_core::time::Millis;
use atlas_core::{ClusterId, Epoch, JobId, Record};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::fault::Fault;
use super::read::{count, mark, standing};
use crate::store::value::encode;
use crate::store::{Batch, Lead, Mark};

/// Why a commit did not happen.
#[derive(Debug)]
pub enum Failure {
    /// Nothing is in the file.
    Before(Fault),
    /// The end of the transaction failed.
    AtCommit(rusqlite::Error),
    Overtaken(Mark),
    Contradiction(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Before(error.into())
    }
}

pub fn lead(to: &mut Connection, above: Epoch, place: &str) -> Result<Lead, Fault> {
    let transaction = to.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(refusal) = standing(&transaction)?.refusal(place.to_owned()) {
        return Err(refusal.into());
    }
    let above = i64::try_from(above.0).unwrap_or(i64::MAX - 1);
    transaction.execute("UPDATE meta SET epoch = max(epoch, ?1) + 1", [above])?;
    let cluster: String =
        transaction.query_row("SELECT cluster FROM meta", [], |row| row.get(0))?;
    let cluster: ClusterId = cluster.parse().map_err(|error: atlas_core::id::Invalid| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })?;
    let mark = mark(&transaction)?;
    transaction.commit()?;
    Ok(Lead { cluster, mark })
}

/// All of the batch or nothing.
pub fn commit(to: &mut Connection, batch: &Batch) -> Result<(), Failure> {
    let transaction = to.transaction_with_behavior(TransactionBehavior::Immediate)?;
    advance(&transaction, batch)?;
    for record in &batch.records {
        write(&transaction, record)?;
    }
    transaction.commit().map_err(Failure::AtCommit)
}

/// Takes the next revision, if this leader is the present one and nothing is missing in between.
fn advance(to: &Transaction<'_>, batch: &Batch) -> Result<(), Failure> {
    let Batch { epoch, after, revision, records: _ } = batch;
    let advanced = to
        .prepare_cached(
            "UPDATE meta SET revision = ?2, next_position = max(next_position, ?3) \
             WHERE epoch = ?1 AND revision = ?4",
        )?
        .execute(params![
            count(epoch.0),
            count(revision.0),
            count(batch.next_position().0),
            count(after.0)
        ])?;
    if advanced == 1 { Ok(()) } else { Err(Failure::Overtaken(mark(to)?)) }
}

fn write(to: &Transaction<'_>, record: &Record) -> Result<(), Failure> {
    match record {
        Record::JobQueued { id, spec, status } => {
            let position = count(status.position.0);
            let queued = to
                .prepare_cached(
                    "INSERT INTO jobs (position, id, status, live, bundle, state) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    position,
                    id.to_string(),
                    status.status().word(),
                    status.is_live(),
                    spec.bundle.id.to_string(),
                    encode(status),
                ])?;
            if queued == 0 {
                return Err(Failure::Contradiction(format!(
                    "job {id} or another one at position {position} is there already"
                )));
            }
            to.prepare_cached("INSERT INTO specs (position, spec) VALUES (?1, ?2)")?
                .execute(params![position, encode(spec)])?;
        }
        Record::JobChanged { id, event: _, status } => {
            let changed = to
                .prepare_cached("UPDATE jobs SET status = ?2, live = ?3, state = ?4 WHERE id = ?1")?
                .execute(params![
                    id.to_string(),
                    status.status().word(),
                    status.is_live(),
                    encode(status)
                ])?;
            if changed == 0 {
                return Err(Failure::Contradiction(format!(
                    "job {id} changed, which is not there"
                )));
            }
        }
        Record::RunChanged { id, run } => {
            to.prepare_cached(
                "INSERT OR REPLACE INTO runs (position, run) SELECT position, ?2 FROM jobs WHERE id = ?1",
            )?
            .execute([id.to_string(), encode(run)])?;
        }
        Record::JobDeleted { id } => delete(to, *id)?,
        Record::ProjectChanged { name, about } if about.is_nothing() => {
            to.prepare_cached("DELETE FROM projects WHERE name = ?1")?.execute([name.as_str()])?;
        }
        Record::ProjectChanged { name, about } => {
            to.prepare_cached("INSERT OR REPLACE INTO projects (name, about) VALUES (?1, ?2)")?
                .execute(params![name.as_str(), encode(about)])?;
        }
        Record::NodeChanged(node) => {
            to.prepare_cached("INSERT OR REPLACE INTO nodes (name, node) VALUES (?1, ?2)")?
                .execute(params![node.spec.name.as_str(), encode(node)])?;
        }
        Record::NodeRemoved(name) => {
            to.prepare_cached("DELETE FROM nodes WHERE name = ?1")?.execute([name.as_str()])?;
        }
        Record::LeaseGranted(Millis(span)) => {
            // No span is no grant.
            to.prepare_cached("UPDATE meta SET granted_ms = nullif(?1, 0)")?
                .execute([count(*span)])?;
        }
    }
    Ok(())
}

fn delete(to: &Transaction<'_>, id: JobId) -> rusqlite::Result<()> {
    let id = id.to_string();
    for table in ["specs", "runs"] {
        to.prepare_cached(&format!(
            "DELETE FROM {table} WHERE position = (SELECT position FROM jobs WHERE id = ?1)"
        ))?
        .execute([&id])?;
    }
    to.prepare_cached("DELETE FROM jobs WHERE id = ?1")?.execute([&id])?;
    Ok(())
}
