//! Pulling images: one pull of an image at a time, with its progress in the log of every job that waits for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use atlas_core::spec::Pull;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};
use futures::stream::StreamExt;
use tokio::sync::watch;

use super::engine::Engine;
use super::error::Error;
use super::login::Logins;
use crate::logs::Prelude;

/// Lines of progress are at least so far apart.
const PACE: Duration = Duration::from_secs(2);
/// No image has so many layers.
const LAYERS: usize = 1000;

/// What an image is asked for by, and how: who wants what the registry has now does not wait for who would take any.
type Key = (String, Pull);
/// Goes on as long as somebody waits for it.
type Done = Shared<BoxFuture<'static, Result<(), Arc<Error>>>>;

/// The pulls of a node.
pub(super) struct Pulls {
    engine: Engine,
    logins: Logins,
    running: Mutex<HashMap<Key, Running>>,
}

/// A pull that goes on, or is over.
struct Running {
    done: WeakShared<BoxFuture<'static, Result<(), Arc<Error>>>>,
    progress: watch::Receiver<String>,
}

impl Pulls {
    pub(super) fn new(engine: Engine, logins: Logins) -> Self {
        Self { engine, logins, running: Mutex::default() }
    }

    /// Returns when the image of this full name is here: pulled for this job, or for another that asked before.
    pub(super) async fn pull(&self, name: &str, how: Pull, log: &mut Prelude) -> Result<(), Error> {
        let (mut done, mut progress) = self.join(name, how);
        log.write(format!("Pulling image {name} ...\n").as_bytes())?;
        loop {
            tokio::select! {
                done = &mut done => return done.map_err(Error::Shared),
                Ok(()) = progress.changed() => {
                    let line = format!("Pulling image {name}: {}\n", *progress.borrow_and_update());
                    log.write(line.as_bytes())?;
                }
            }
        }
    }

    /// The pull that goes on, or a new one.
    fn join(&self, name: &str, how: Pull) -> (Done, watch::Receiver<String>) {
        // No code of others runs under this lock.
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = |it: &Running| it.done.upgrade().filter(|it| it.peek().is_none());
        running.retain(|_, it| goes_on(it).is_some());
        let key = (name.to_owned(), how);
        if let Some(it) = running.get(&key)
            && let Some(done) = goes_on(it)
        {
            return (done, it.progress.clone());
        }
        let (say, progress) = watch::channel(String::new());
        let task = run(self.engine.clone(), self.logins.clone(), name.to_owned(), how, say);
        let done = task.map(|done| done.map_err(Arc::new)).boxed().shared();
        if let Some(weak) = done.downgrade() {
            running.insert(key, Running { done: weak, progress: progress.clone() });
        }
        (done, progress)
    }
}

async fn run(
    engine: Engine,
    logins: Logins,
    name: String,
    how: Pull,
    say: watch::Sender<String>,
) -> Result<(), Error> {
    let engine = engine.get().await;
    // It may have come since it was looked for.
    if how == Pull::Missing && engine.inspect_image(&name).await.is_ok() {
        return Ok(());
    }
    let login = logins.of(&name).await;
    let options = CreateImageOptions { from_image: Some(name.clone()), ..Default::default() };
    let mut steps = std::pin::pin!(engine.create_image(Some(options), None, login));
    let mut progress = Progress::default();
    let mut said = Instant::now();
    while let Some(step) = steps.next().await {
        progress.take(step.map_err(|source| Error::pull(&name, source))?);
        if said.elapsed() >= PACE {
            say.send_replace(progress.text());
            said = Instant::now();
        }
    }
    Ok(())
}

/// How far the layers are.
#[derive(Default)]
struct Progress {
    /// Bytes so far and in all.
    layers: BTreeMap<String, (i64, i64)>,
}

impl Progress {
    fn take(&mut self, step: CreateImageInfo) {
        let (Some(layer), Some(detail)) = (step.id, step.progress_detail) else { return };
        let (Some(current), Some(total)) = (detail.current, detail.total) else { return };
        // Downloading counts, unpacking says the same numbers again.
        if step.status.as_deref() == Some("Downloading")
            && (self.layers.len() < LAYERS || self.layers.contains_key(&layer))
        {
            self.layers.insert(layer, (current, total));
        }
    }

    fn text(&self) -> String {
        let sum = |each: fn(&(i64, i64)) -> i64| {
            self.layers.values().map(each).fold(0_i64, i64::saturating_add) / 1_000_000
        };
        format!("{} of {} MB in {} layer(s)", sum(|it| it.0), sum(|it| it.1), self.layers.len())
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn step(layer: &str, status: &str, current: i64, total: i64) -> CreateImageInfo {
        let detail = ProgressDetail { current: Some(current), total: Some(total) };
        CreateImageInfo {
            id: Some(layer.into()),
            status: Some(status.into()),
            progress_detail: Some(detail),
            ..Default::default()
        }
    }

    #[test]
    fn layers_are_added_up() {
        let mut progress = Progress::default();
        progress.take(step("a", "Downloading", 1_000_000, 9_000_000));
        progress.take(step("a", "Downloading", 5_000_000, 9_000_000));
        progress.take(step("b", "Downloading", 2_000_000, 3_000_000));
        progress.take(step("a", "Extracting", 1, 2));
        assert_eq!(progress.text(), "7 of 12 MB in 2 layer(s)");
    }
}
