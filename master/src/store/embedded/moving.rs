//! A cluster's way into the file and out of it.

use atlas_core::{ClusterId, Position};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::fault::Fault;
use super::read::{cluster, count, mark, meta, nodes, standing};
use crate::store::moving::refuses_to_take_in;
use crate::store::{Counts, Error, Facts, Mark};

pub fn facts(from: &Connection) -> Result<Facts, Fault> {
    let (next_position, granted) = meta(from)?;
    Ok(Facts {
        cluster: cluster(from)?,
        mark: mark(from)?,
        next_position,
        granted,
        nodes: nodes(from)?,
        counts: counts(from)?,
        standing: standing(from)?,
    })
}

fn counts(from: &Connection) -> rusqlite::Result<Counts> {
    let number = |sql| -> rusqlite::Result<u64> {
        let number: i64 = from.query_row(sql, [], |row| row.get(0))?;
        Ok(u64::try_from(number).unwrap_or_default())
    };
    Ok(Counts {
        jobs: number("SELECT count(*) FROM jobs")?,
        live: number("SELECT count(*) FROM jobs WHERE live = 1")?,
        queued: number("SELECT count(*) FROM jobs WHERE live = 1 AND status = 'queued'")?,
    })
}

pub fn begin(
    to: &mut Connection,
    place: &str,
    cluster: &ClusterId,
    from: &str,
) -> Result<Mark, Fault> {
    let transaction = to.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = facts(&transaction)?;
    if let Some(why) = refuses_to_take_in(&found, cluster) {
        return Err(Error::Taken { place: place.to_owned(), why }.into());
    }
    for table in ["jobs", "specs", "runs", "projects", "nodes"] {
        transaction.execute(&format!("DELETE FROM {table}"), [])?;
    }
    transaction.execute(
        "UPDATE meta SET cluster = ?1, epoch = epoch + 1, revision = 0, next_position = 1, granted_ms = NULL, \
         given_away = NULL, unfinished = ?2",
        params![cluster.to_string(), from],
    )?;
    let stands = mark(&transaction)?;
    transaction.commit()?;
    Ok(stands)
}

pub fn finish(
    to: &mut Connection,
    place: &str,
    stands: Mark,
    mark: Mark,
    next_position: Position,
) -> Result<(), Fault> {
    let transaction = expect(to, place, stands)?;
    transaction.execute(
        "UPDATE meta SET epoch = ?1, revision = ?2, next_position = ?3, unfinished = NULL",
        params![count(mark.epoch.0), count(mark.revision.0), count(next_position.0)],
    )?;
    Ok(transaction.commit()?)
}

pub fn give_away(to: &mut Connection, place: &str, stands: Mark, whom: &str) -> Result<(), Fault> {
    let transaction = expect(to, place, stands)?;
    transaction.execute("UPDATE meta SET given_away = ?1", [whom])?;
    Ok(transaction.commit()?)
}

/// A transaction on a store that stands there.
fn expect<'a>(to: &'a mut Connection, place: &str, stands: Mark) -> Result<Transaction<'a>, Fault> {
    let transaction = to.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = mark(&transaction)?;
    if found != stands {
        return Err(Error::Led { place: place.to_owned(), found }.into());
    }
    Ok(transaction)
}
