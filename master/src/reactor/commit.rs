//! One group commit, until its fate is known.

use std::sync::Arc;
use std::time::Duration;

use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use tokio::sync::watch;

use crate::store::{Batch, CommitError, Mark, Store};

/// For ever: a batch that was decided is never dropped.
const RETRY: Policy =
    Policy { first: Duration::from_millis(50), max: Duration::from_secs(2), attempts: None };

/// Tries until the batch is kept, or another master turns out to lead. While the store refuses, `refusing` says why.
pub async fn until_known(
    store: Arc<dyn Store>,
    batch: Arc<Batch>,
    refusing: watch::Sender<Option<String>>,
) -> Result<(), CommitError> {
    let mut backoff = Backoff::new(RETRY);
    let mut asked_before = false;
    loop {
        let error = match store.commit(&batch).await {
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

/// Reads the fate of a commit whose answer was lost.
async fn is_kept(store: &dyn Store, batch: &Batch) -> Result<bool, CommitError> {
    let tried = Mark { epoch: batch.epoch, revision: batch.revision };
    match store.mark().await {
        Ok(found) if found == tried => Ok(true),
        Ok(found) if found.epoch > tried.epoch || found.revision > tried.revision => {
            Err(CommitError::Overtaken { found, tried })
        }
        // Not written, or not to be found out yet: the commit itself refuses to be done twice.
        Ok(_) | Err(_) => Ok(false),
    }
}
