//! A cluster's way into Redis and out of it.

use atlas_core::time::Millis;
use atlas_core::{ClusterId, Epoch, Position, Revision};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use redis::{AsyncCommands as _, Pipeline, RedisResult, Script};

use super::link::Link;
use super::write::script;
use super::{Redis, keys, read};
use crate::store::moving::refuses_to_take_in;
use crate::store::{Counts, Error, Facts, Mark, Movable, Standing};

pub struct Scripts {
    begin: Script,
    end: Script,
}

impl Scripts {
    pub fn new() -> Self {
        Self { begin: script(include_str!("begin.lua")), end: script(include_str!("end.lua")) }
    }
}

impl Movable for Redis {
    fn place(&self) -> String {
        self.link.place()
    }

    fn facts(&self) -> BoxFuture<'_, Result<Facts, Error>> {
        facts(&self.link).boxed()
    }

    fn begin<'a>(
        &'a self,
        cluster: &'a ClusterId,
        from: &'a str,
    ) -> BoxFuture<'a, Result<Mark, Error>> {
        self.begin_to_take_in(cluster, from).boxed()
    }

    fn finish(
        &self,
        stands: Mark,
        mark: Mark,
        next_position: Position,
    ) -> BoxFuture<'_, Result<(), Error>> {
        let words = [
            "finish".to_owned(),
            mark.epoch.to_string(),
            mark.revision.to_string(),
            next_position.to_string(),
        ];
        async move { self.end("finish taking a cluster in", stands, &words).await }.boxed()
    }

    fn give_away<'a>(&'a self, stands: Mark, to: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        let words = ["give away".to_owned(), to.to_owned()];
        async move { self.end("give a cluster away", stands, &words).await }.boxed()
    }
}

impl Redis {
    async fn begin_to_take_in(&self, cluster: &ClusterId, from: &str) -> Result<Mark, Error> {
        let taken = |why| Error::Taken { place: self.place(), why };
        if let Some(why) = refuses_to_take_in(&facts(&self.link).await?, cluster) {
            return Err(taken(why));
        }
        let mut order = self.moving.begin.arg(keys::LAYOUT);
        order.arg(cluster.to_string()).arg(from);
        let epoch: RedisResult<u64> = order.invoke_async(&mut self.link.connection()).await;
        let failed = |error| self.link.failed("begin to take a cluster in", error);
        match epoch.map_err(failed)? {
            0 => Err(taken("somebody began to use it just now".into())),
            epoch => {
                remove_all(&self.link).await.map_err(failed)?;
                Ok(Mark { epoch: Epoch(epoch), revision: Revision(0) })
            }
        }
    }

    async fn end(&self, what: &'static str, stands: Mark, words: &[String]) -> Result<(), Error> {
        let mut order = self.moving.end.arg(stands.epoch.0);
        order.arg(stands.revision.0).arg(words);
        let found: RedisResult<(u64, u64)> = order.invoke_async(&mut self.link.connection()).await;
        let (epoch, revision) = found.map_err(|error| self.link.failed(what, error))?;
        let found = Mark { epoch: Epoch(epoch), revision: Revision(revision) };
        if found == stands { Ok(()) } else { Err(Error::Led { place: self.place(), found }) }
    }
}

async fn facts(link: &Link) -> Result<Facts, Error> {
    let failed = |error| link.failed("read what it holds", error);
    let mut to = link.connection();
    let words = to.mget(&[keys::GIVEN_AWAY, keys::UNFINISHED]).await;
    let (given_away, unfinished) = words.map_err(failed)?;
    let numbers = to.mget(&[keys::NEXT_POSITION, keys::GRANTED]).await;
    let (next, granted): (Option<u64>, Option<u64>) = numbers.map_err(failed)?;
    let mut asked = Pipeline::new();
    asked.zcard(keys::JOBS).zcard(keys::LIVE).zcard(keys::QUEUE);
    let (jobs, live, queued) = asked.query_async(&mut to).await.map_err(failed)?;
    Ok(Facts {
        cluster: read::cluster(link).await?,
        mark: read::mark(link).await?,
        next_position: read::next_position(next),
        granted: granted.filter(|it| *it > 0).map(Millis),
        nodes: read::nodes(link).await?,
        counts: Counts { jobs, live, queued },
        standing: Standing::new(given_away, unfinished),
    })
}

/// All of ours but what says that a cluster is on its way.
async fn remove_all(link: &Link) -> RedisResult<()> {
    let kept = [keys::LAYOUT_KEY, keys::CLUSTER, keys::UNFINISHED, keys::EPOCH, keys::REVISION];
    let mut cursor = 0_u64;
    loop {
        let (next, mut found) = link.keys_from(cursor).await?;
        found.retain(|key| !kept.contains(&key.as_str()));
        if !found.is_empty() {
            let () = redis::cmd("UNLINK").arg(&found).query_async(&mut link.connection()).await?;
        }
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}
