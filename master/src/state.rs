//! Where a master keeps the cluster's state: in a file of its own, or in Redis.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use atlas_runtime::tasks::Tasks;

use crate::store::{Embedded, Error, Redis, RedisAccess, Store};

/// A machine that starts has its Redis soon; nobody has to start a master in the right order.
const RETRY: Policy =
    Policy { first: Duration::from_millis(200), max: Duration::from_secs(5), attempts: None };

/// Opens the store; a Redis that does not answer is waited for, one that says no is an error. `None` = the master was asked to
/// end meanwhile.
pub async fn open(
    data: &Path,
    redis: Option<&RedisAccess>,
    tasks: &Tasks,
) -> Result<Option<Arc<dyn Store>>, Error> {
    let Some(access) = redis else { return Ok(Some(Arc::new(Embedded::open(data)?))) };
    let mut backoff = Backoff::new(RETRY);
    loop {
        let error = match Redis::open(access).await {
            Ok((store, warnings)) => {
                for warning in warnings {
                    tracing::warn!("Redis at {}: {warning}", access.url);
                }
                return Ok(Some(Arc::new(store)));
            }
            Err(error) if error.is_away() => error,
            Err(error) => return Err(error),
        };
        tracing::warn!("waiting for Redis: {}", Chain(&error));
        tokio::select! {
            () = tokio::time::sleep(backoff.next().expect("it never gives up")) => {}
            () = tasks.cancelled() => return Ok(None),
        }
    }
}
