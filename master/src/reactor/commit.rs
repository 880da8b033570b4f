//! One group commit, until its fate is known.

use std::sync::Arc;
use std::time::Duration;

use atlas_core::cluster::Live;
use atlas_core::{JobId, Record};
use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use tokio::sync::{mpsc, oneshot, watch};

use crate::store::{Batch, CommitError, Mark, Mend, Store, mend};

/// For ever: a batch that was decided is never dropped.
const RETRY: Policy =
    Policy { first: Duration::from_millis(50), max: Duration::from_secs(2), attempts: None };

/// What the leader holds, for a store that forgot it.
#[derive(Debug, Default)]
pub struct Held {
    pub live: Live,
    /// Decided and not kept yet, the batch that is out included; all of it is kept with that batch.
    pub decided: Vec<Record>,
}

/// Whoever answers holds the cluster.
pub type Ask = mpsc::Sender<oneshot::Sender<Held>>;

/// Tries until the batch is kept, or another master turns out to lead. While the store refuses, `refusing` says why.
pub async fn until_known(
    store: Arc<dyn Store>,
    batch: Arc<Batch>,
    refusing: watch::Sender<Option<String>>,
    leader: Ask,
) -> Result<(), CommitError> {
    let mut backoff = Backoff::new(RETRY);
    let mut asked_before = false;
    let mut recent = Vec::new();
    loop {
        let mut tried = store.commit(&batch).await;
        if let Err(CommitError::Older { found, recent: remembered, error }) = &mut tried {
            // A store that is told all at once forgets what it was told before.
            if !remembered.is_empty() {
                recent = std::mem::take(remembered);
            }
            tracing::error!("{error}; writing back all that lives");
            let found = *found;
            tried = write_back(store.as_ref(), &batch, found, &recent, &leader).await;
        }
        let error = match tried {
            Ok(()) => break,
            // Sent again after its answer was lost: it had been kept.
            Err(CommitError::Overtaken { found, tried }) if found == tried && asked_before => break,
            Err(error @ (CommitError::Overtaken { .. } | CommitError::Contradiction(_))) => {
                return Err(error);
            }
            Err(error) => error,
        };
        let text = Chain(&error).to_string();
        tracing::error!(revision = batch.revision.0, "{text}; will try again");
        refusing.send_replace(Some(text));
        asked_before = true;
        tokio::time::sleep(backoff.next().expect("it never gives up")).await;
        if let CommitError::Unknown(_) = error
            && is_kept(store.as_ref(), &batch).await?
        {
            break;
        }
    }
    if refusing.borrow().is_some() {
        tracing::info!("the store writes again");
        refusing.send_replace(None);
    }
    Ok(())
}

/// Everything that the leader holds, this batch with it, into a store that came back at `found`.
async fn write_back(
    store: &dyn Store,
    batch: &Batch,
    found: Mark,
    recent: &[Record],
    leader: &Ask,
) -> Result<(), CommitError> {
    let old = store.restore().await.map_err(CommitError::Refused)?;
    let (to, held) = oneshot::channel();
    // The reactor ends after the commits that it waits for.
    drop(leader.send(to).await);
    let Held { live, decided } = held.await.expect("the reactor waits for this commit");
    let recent = [recent, &decided].concat();
    let Mend { records, ends_lost, jobs_lost } = mend(super::now().wall, &old, live, &recent);
    let changes = records.len();
    let after = found.revision;
    store.commit(&Batch { epoch: batch.epoch, after, revision: batch.revision, records }).await?;
    tracing::error!(
        "the store has all that lives again: {changes} changes since revision {after}. Jobs that were submitted and ended between then \
         and a minute ago are lost, their logs and outputs are not; {} that ended lately are among them{}. How {} jobs ended was lost, \
         they count as failed{}",
        jobs_lost.len(),
        names(&jobs_lost),
        ends_lost.len(),
        names(&ends_lost)
    );
    Ok(())
}

/// The first of them.
fn names(jobs: &[JobId]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = jobs.iter().take(SHOWN).map(ToString::to_string).collect();
    let rest = if jobs.len() > SHOWN { ", …" } else { "" };
    if shown.is_empty() { String::new() } else { format!(" ({}{rest})", shown.join(", ")) }
}

/// Reads the fate of a commit whose answer was lost.
async fn is_kept(store: &dyn Store, batch: &Batch) -> Result<bool, CommitError> {
    let tried = batch.mark();
    match store.mark().await {
        Ok(found) if found == tried => Ok(true),
        Ok(found) if found.epoch > tried.epoch || found.revision > tried.revision => {
            Err(CommitError::Overtaken { found, tried })
        }
        // Not written, or not to be found out yet: the commit itself refuses to be done twice.
        Ok(_) | Err(_) => Ok(false),
    }
}
