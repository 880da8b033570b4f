//! What a commit sends: words and values for `commit.lua`.

use atlas_core::time::Millis;
use atlas_core::{ClusterId, Epoch, JobStatus, Record, Revision, Status};
use redis::{AsyncCommands as _, RedisError, RedisResult, Script, ScriptInvocation};

use super::keys;
use super::link::{Link, is_refusal};
use super::read::parse_cluster;
use crate::store::value::encode;
use crate::store::{Batch, CommitError, Error, Lead, Mark};

/// A script with the names of the keys before it. The first line asks Redis to look at memory and role before it begins.
pub fn script(body: &str) -> Script {
    Script::new(&format!("#!lua\n{}{body}", keys::for_scripts()))
}

/// Redis takes about a million words in a call, and a record has up to nine.
const IN_ONE_CALL: usize = 20_000;
const STAGED_AT_ONCE: usize = 1000;
/// What a leader left behind that died just then.
const STAGED_FOR_S: i64 = 3600;

/// What the leader runs.
pub struct Scripts {
    lead: Script,
    commit: Script,
    reclaim: Script,
}

impl Scripts {
    pub fn new() -> Self {
        Self {
            lead: script(include_str!("lead.lua")),
            commit: script(include_str!("commit.lua")),
            reclaim: script(include_str!("reclaim.lua")),
        }
    }

    /// Takes the lead; a store without a cluster becomes that of a new one.
    pub async fn lead(&self, link: &Link, above: Epoch) -> Result<Lead, Error> {
        let what = "take the lead";
        let cluster = uuid::Uuid::new_v4().to_string();
        let mut order = self.lead.arg(keys::LAYOUT);
        order.arg(cluster).arg(above.0);
        let replied: RedisResult<Vec<String>> = order.invoke_async(&mut link.connection()).await;
        let words = replied.map_err(|error| link.failed(what, error))?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let strange = || link.failed(what, strange(&words));
        let place = link.place();
        match words.as_slice() {
            ["led", cluster, epoch, revision] => {
                let mark = read_mark(epoch, revision).ok_or_else(strange)?;
                Ok(Lead { cluster: parse_cluster(cluster)?, mark })
            }
            ["layout", found] => {
                let found = found.parse().unwrap_or(u32::MAX);
                Err(Error::TooNew { place, found, known: keys::LAYOUT })
            }
            ["given away", to] => Err(Error::GivenAway { place, to: (*to).to_owned() }),
            ["unfinished", from] => Err(Error::Unfinished { place, from: (*from).to_owned() }),
            _ => Err(strange()),
        }
    }

    /// All of the batch or nothing.
    pub async fn commit(&self, link: &Link, batch: &Batch) -> Result<(), CommitError> {
        let failed = |error| link.failed("write a commit", error);
        let is_large = batch.records.len() > IN_ONE_CALL;
        if is_large {
            stage(link, batch).await.map_err(|error| CommitError::Refused(failed(error)))?;
        }
        let order = self.order(batch, is_large);
        let replied = order.invoke_async(&mut link.connection()).await;
        match answer(replied) {
            Ok(Answer::Done) => Ok(()),
            Ok(Answer::Overtaken(found)) => {
                Err(CommitError::Overtaken { found, tried: batch.mark() })
            }
            Ok(Answer::Contradiction(what)) => Err(CommitError::Contradiction(what)),
            Ok(Answer::NotStaged) => Err(CommitError::Refused(failed(strange(&["not staged"])))),
            Err(error) if is_refusal(&error) => Err(CommitError::Refused(failed(error))),
            Err(error) => Err(CommitError::Unknown(failed(error))),
        }
    }

    /// Leads again where a server forgot it; false = it did not, or another one leads.
    pub async fn reclaim(
        &self,
        link: &Link,
        cluster: &ClusterId,
        epoch: Epoch,
        found: Mark,
    ) -> Result<bool, CommitError> {
        let mut order = self.reclaim.arg(keys::LAYOUT);
        order.arg(cluster.to_string()).arg(epoch.0).arg(found.revision.0);
        let replied: RedisResult<u8> = order.invoke_async(&mut link.connection()).await;
        let failed = |error| CommitError::Refused(link.failed("take the lead again", error));
        Ok(replied.map_err(failed)? == 1)
    }

    fn order(&self, batch: &Batch, is_staged: bool) -> ScriptInvocation<'_> {
        let Batch { epoch, after, revision, records } = batch;
        let mut order = self.commit.arg(epoch.0);
        order.arg(after.0).arg(revision.0).arg(batch.next_position().0);
        if is_staged {
            order.arg("staged").arg(records.len());
        } else {
            for record in records {
                order.arg(words(record));
            }
        }
        order
    }
}

/// Puts the records where the script finds them, a call at a time.
async fn stage(link: &Link, batch: &Batch) -> RedisResult<()> {
    let key = format!("{}{}", keys::STAGED, batch.epoch);
    let mut to = link.connection();
    let () = to.del(&key).await?;
    for records in batch.records.chunks(STAGED_AT_ONCE) {
        let json = |record| serde_json::to_string(&words(record)).expect("texts have a JSON form");
        let json: Vec<String> = records.iter().map(json).collect();
        let () = to.rpush(&key, json).await?;
    }
    to.expire(&key, STAGED_FOR_S).await
}

enum Answer {
    Done,
    Overtaken(Mark),
    Contradiction(String),
    NotStaged,
}

fn answer(replied: RedisResult<Vec<String>>) -> RedisResult<Answer> {
    let words = replied?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["done"] => Ok(Answer::Done),
        ["not staged"] => Ok(Answer::NotStaged),
        ["contradiction", what] => Ok(Answer::Contradiction((*what).to_owned())),
        ["overtaken", epoch, revision] => {
            let found = read_mark(epoch, revision).ok_or_else(|| strange(&words))?;
            Ok(Answer::Overtaken(found))
        }
        _ => Err(strange(&words)),
    }
}

fn read_mark(epoch: &str, revision: &str) -> Option<Mark> {
    Some(Mark { epoch: Epoch(epoch.parse().ok()?), revision: Revision(revision.parse().ok()?) })
}

fn strange(words: &[&str]) -> RedisError {
    let kind = redis::ErrorKind::UnexpectedReturnType;
    (kind, "a script answered", words.join(" ")).into()
}

/// What the script reads of a record.
fn words(record: &Record) -> Vec<String> {
    let flag = |it: bool| u8::from(it).to_string();
    let waits = |it: &JobStatus| flag(it.status() == Status::Queued);
    let live = |it: &JobStatus| flag(it.is_live());
    match record {
        Record::JobQueued { id, spec, status } => vec![
            "queued".into(),
            id.to_string(),
            status.position.to_string(),
            waits(status),
            live(status),
            host(status).into(),
            spec.bundle.id.to_string(),
            encode(spec),
            encode(status),
        ],
        Record::JobChanged { id, event: _, status } => vec![
            "changed".into(),
            id.to_string(),
            waits(status),
            live(status),
            host(status).into(),
            encode(status),
        ],
        Record::RunChanged { id, run } => vec!["run".into(), id.to_string(), encode(run)],
        Record::JobDeleted { id } => vec!["deleted".into(), id.to_string()],
        Record::ProjectChanged { name, about } if about.is_nothing() => {
            vec!["project_removed".into(), name.to_string()]
        }
        Record::ProjectChanged { name, about } => {
            vec!["project".into(), name.to_string(), encode(about)]
        }
        Record::NodeChanged(node) => {
            vec!["node".into(), node.spec.name.to_string(), encode(node)]
        }
        Record::NodeRemoved(name) => vec!["node_removed".into(), name.to_string()],
        Record::LeaseGranted(Millis(span)) => vec!["granted".into(), span.to_string()],
    }
}

/// The node that holds the job.
fn host(status: &JobStatus) -> &str {
    status.state.placement().map_or("", |it| it.node.as_str())
}
