//! From one layout to the next: what is not needed any more is removed by whoever leads next, before anything else. Nobody reads
//! it meanwhile, and one who dies leaves the rest to the one after.

use redis::{AsyncCommands as _, Pipeline, RedisResult};

use super::keys;
use super::link::Link;
use crate::store::Error;

/// Of layout 1: jobs were found by these, and the hash of each job said which ones.
const SETS: [&str; 3] = ["atlas:jobs:", "atlas:user:", "atlas:status:"];
const FIELDS: [&str; 3] = ["project", "user", "status"];

/// Goes on with a step that was begun, if one was.
pub async fn finish(link: &Link) -> Result<(), Error> {
    let failed = |error| link.failed("bring it to the present layout", error);
    let from = link.connection().get(keys::STEPPED_FROM).await;
    let from: Option<String> = from.map_err(failed)?;
    let Some(from) = from else { return Ok(()) };
    tracing::info!("bringing Redis at {} from layout {from} to {}", link.place(), keys::LAYOUT);
    remove(link).await.map_err(failed)
}

async fn remove(link: &Link) -> RedisResult<()> {
    let mut cursor = 0;
    loop {
        let (next, found) = link.keys_from(cursor).await?;
        let mut orders = Pipeline::new();
        for key in &found {
            if SETS.iter().any(|it| key.starts_with(it)) {
                orders.unlink(key).ignore();
            } else if key.starts_with(keys::JOB) {
                orders.hdel(key, &FIELDS).ignore();
            }
        }
        if !orders.is_empty() {
            let () = orders.query_async(&mut link.connection()).await?;
        }
        cursor = next;
        if cursor == 0 {
            return link.connection().del(keys::STEPPED_FROM).await;
        }
    }
}
