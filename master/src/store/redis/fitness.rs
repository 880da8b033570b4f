//! Whether a server is one to keep a cluster in: one that forgets keys when its memory is full is not.

use std::collections::HashMap;

use redis::RedisResult;

use super::link::Link;
use crate::store::Error;

/// Scripts that ask for memory and role before they begin came with this one.
const OLDEST: u32 = 7;

/// Refuses a server that is not fit, and returns what an administrator should know of one that is.
pub async fn check(link: &Link) -> Result<Vec<String>, Error> {
    let failed = |error| link.failed("read the settings", error);
    let info = info(link).await.map_err(failed)?;
    let text = |key: &str| info.get(key).map_or("", String::as_str);
    let refused = |why: String| Error::Unfit { place: link.place(), why };
    let version = text("redis_version");
    let major: u32 = version.split('.').next().and_then(|it| it.parse().ok()).unwrap_or_default();
    if major < OLDEST {
        return Err(refused(format!(
            "it is version {version:?}, and {OLDEST}.0 is the oldest that works"
        )));
    }
    let policy = text("maxmemory_policy");
    if policy.starts_with("allkeys") {
        return Err(refused(format!(
            "it forgets keys when its memory is full (maxmemory-policy {policy}), jobs among them: set it to noeviction"
        )));
    }
    Ok(warnings(text("aof_enabled") == "1", sync(link).await.as_deref()))
}

fn warnings(append_only: bool, sync: Option<&str>) -> Vec<String> {
    if !append_only {
        return vec!["it keeps no append-only file: what was acknowledged is lost when it restarts. Set appendonly to yes and \
                     appendfsync to always"
            .into()];
    }
    match sync {
        Some("always") | None => vec![],
        Some(other) => vec![format!(
            "it syncs its file later than it answers (appendfsync {other}): when its machine fails, the last seconds of \
             acknowledged work may be lost. Set appendfsync to always"
        )],
    }
}

async fn info(link: &Link) -> RedisResult<HashMap<String, String>> {
    let text: String = redis::cmd("INFO").query_async(&mut link.connection()).await?;
    let pair = |line: &str| {
        line.split_once(':').map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
    };
    Ok(text.lines().filter_map(pair).collect())
}

/// `None` where the administrator, or whoever hosts the server, does not let it be read.
async fn sync(link: &Link) -> Option<String> {
    let mut asked = redis::cmd("CONFIG");
    let read = asked.arg("GET").arg("appendfsync").query_async(&mut link.connection()).await;
    let read: HashMap<String, String> = read.ok()?;
    read.get("appendfsync").cloned()
}
