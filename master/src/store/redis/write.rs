//! What a commit sends: words and values for `commit.lua`.

use atlas_core::time::Millis;
use atlas_core::{ClusterId, Epoch, JobId, JobStatus, Record, Revision};
use redis::{RedisError, RedisResult, Script, ScriptInvocation};

use super::keys;
use super::link::{Link, is_refusal};
use super::read::parse_cluster;
use crate::store::value::encode;
use crate::store::{Batch, CommitError, Error, Lead, Mark, is_live};

/// A script with the names of the keys before it. The first line asks Redis to look at memory and role before it begins.
pub fn script(body: &str) -> Script {
    Script::new(&format!("#!lua\n{}{body}", keys::for_scripts()))
}

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
    pub async fn lead(&self, link: &Link) -> Result<Lead, Error> {
        let what = "take the lead";
        let cluster = uuid::Uuid::new_v4().to_string();
        let mut order = self.lead.arg(keys::LAYOUT);
        order.arg(cluster);
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
        let order = self.order(batch);
        let replied = order.invoke_async(&mut link.connection()).await;
        let failed = |error| link.failed("write a commit", error);
        match answer(replied) {
            Ok(Answer::Done) => Ok(()),
            Ok(Answer::Overtaken(found)) => {
                let tried = Mark { epoch: batch.epoch, revision: batch.revision };
                Err(CommitError::Overtaken { found, tried })
            }
            Ok(Answer::Contradiction(what)) => Err(CommitError::Contradiction(what)),
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

    fn order(&self, batch: &Batch) -> ScriptInvocation<'_> {
        let Batch { epoch, revision, records } = batch;
        let mut order = self.commit.arg(epoch.0);
        order.arg(revision.0.wrapping_sub(1)).arg(revision.0).arg(batch.next_position().0);
        for record in records {
            append(&mut order, record);
        }
        order
    }
}

enum Answer {
    Done,
    Overtaken(Mark),
    Contradiction(String),
}

fn answer(replied: RedisResult<Vec<String>>) -> RedisResult<Answer> {
    let words = replied?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["done"] => Ok(Answer::Done),
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

fn append(order: &mut ScriptInvocation<'_>, record: &Record) {
    match record {
        Record::JobQueued { id, spec, status } => {
            order.arg("queued").arg(text(*id)).arg(status.position.0).arg(spec.project.as_str());
            order.arg(&spec.user).arg(status.status().word()).arg(u8::from(is_live(status)));
            order
                .arg(host(status))
                .arg(spec.bundle.id.to_string())
                .arg(encode(spec))
                .arg(encode(status));
        }
        Record::JobChanged { id, event: _, status } => {
            order
                .arg("changed")
                .arg(text(*id))
                .arg(status.status().word())
                .arg(u8::from(is_live(status)));
            order.arg(host(status)).arg(encode(status));
        }
        Record::JobDeleted { id } => {
            order.arg("deleted").arg(text(*id));
        }
        Record::NodeChanged(node) => {
            order.arg("node").arg(node.spec.name.as_str()).arg(encode(node));
        }
        Record::NodeRemoved(name) => {
            order.arg("node_removed").arg(name.as_str());
        }
        Record::LeaseGranted(Millis(span)) => {
            order.arg("granted").arg(*span);
        }
    }
}

/// The node that holds the job.
fn host(status: &JobStatus) -> &str {
    status.state.placement().map_or("", |it| it.node.as_str())
}

fn text(id: JobId) -> String {
    id.to_string()
}
