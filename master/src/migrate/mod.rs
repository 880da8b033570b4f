//! The move of a cluster's state from one store into the other: `atlas-master migrate`.
//!
//! Whoever moves takes the lead of the source, so that a master that still runs on it can write no more. The target is led by
//! nobody until everything was copied and compared; the source gives the cluster away just before that. So there is never more
//! than one store that can be led, and whatever is cut off begins anew with the next run.

mod command;
#[cfg(test)]
pub(crate) mod tests;

use atlas_core::{ClusterId, Record};

use crate::store::{
    Batch, CommitError, Counts, Error as StoreError, Facts, Mark, Movable, Page, Standing,
    StoredJob, StoredProject, StoredRun, refuses_to_take_in,
};
pub use command::{Arguments, command};

/// Jobs that travel at once.
const BATCH: usize = 1000;
/// The same of runs, of which one may be megabytes.
const RUNS: usize = 50;

/// One side of a move.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub store: &'a dyn Movable,
    /// For people, as in "Redis at db:6379".
    pub name: &'a str,
}

/// How a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Moved(Summary),
    /// By an earlier run.
    MovedBefore(Summary),
}

/// What the target holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    pub counts: Counts,
    pub nodes: usize,
}

/// A move that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no cluster in {0}: nothing to move")]
    Nothing(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("could not write to {place}; the source is as it was, run it again")]
    Write { place: String, source: CommitError },
    #[error(
        "what arrived in {place} is not what was sent: {what}. The source is as it was; run it again"
    )]
    Differs { place: String, what: String },
}

/// Moves the cluster, or finishes what an earlier run began. `progress` hears how many jobs were copied so far, and of how many.
pub async fn migrate(
    from: Side<'_>,
    to: Side<'_>,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Outcome, Error> {
    let (source, target) = (from.store.facts().await?, to.store.facts().await?);
    let Some(cluster) = source.cluster.clone() else {
        return Err(Error::Nothing(from.name.to_owned()));
    };
    let is_ours = target.cluster.as_ref() == Some(&cluster);
    let was_given_away = match &source.standing {
        // It went elsewhere: what is of this cluster in the target is older, and another store may be led.
        Standing::GivenAway { to: whom } if whom != to.name => {
            let (place, to) = (from.store.place(), whom.clone());
            return Err(StoreError::GivenAway { place, to }.into());
        }
        Standing::GivenAway { .. } if is_ours && target.standing == Standing::Whole => {
            return Ok(Outcome::MovedBefore(summary(&target)));
        }
        Standing::GivenAway { .. } => {
            is_ours && matches!(target.standing, Standing::Unfinished { .. })
        }
        Standing::Whole | Standing::Unfinished { .. } => false,
    };
    if let Some(why) = refuses_to_take_in(&target, &cluster) {
        return Err(StoreError::Taken { place: to.store.place(), why }.into());
    }
    if !was_given_away {
        // Refuses a source that is not whole.
        from.store.lead().await?;
    }
    let source = from.store.facts().await?;
    let stands = copy(from, to, &cluster, &source, progress).await?;
    compare(from, to, &source).await?;
    if !was_given_away {
        from.store.give_away(source.mark, to.name).await?;
    }
    to.store.finish(stands, source.mark, source.next_position).await?;
    Ok(Outcome::Moved(summary(&source)))
}

fn summary(facts: &Facts) -> Summary {
    Summary { counts: facts.counts, nodes: facts.nodes.len() }
}

/// Everything, into a target that is emptied before. Returns where the target stands then.
async fn copy(
    from: Side<'_>,
    to: Side<'_>,
    cluster: &ClusterId,
    source: &Facts,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Mark, Error> {
    let mut writer = Writer { to, stands: to.store.begin(cluster, from.name).await? };
    let nodes = source.nodes.iter().cloned().map(Record::NodeChanged);
    writer.write(nodes.chain(source.granted.map(Record::LeaseGranted)).collect()).await?;
    for StoredProject { name, about } in from.store.projects().await? {
        writer.write(vec![Record::ProjectChanged { name, about }]).await?;
    }
    let mut jobs = Jobs::of(from.store);
    let mut copied = 0;
    loop {
        let page = jobs.next().await?;
        if page.is_empty() {
            break;
        }
        copied += page.len() as u64;
        let queued = |StoredJob { id, spec, status }| Record::JobQueued { id, spec, status };
        writer.write(page.into_iter().map(queued).collect()).await?;
        progress(copied, source.counts.jobs);
    }
    let mut runs = Runs::of(from.store);
    loop {
        let page = runs.next().await?;
        if page.is_empty() {
            return Ok(writer.stands);
        }
        let told = |StoredRun { id, run, .. }| Record::RunChanged { id, run };
        writer.write(page.into_iter().map(told).collect()).await?;
    }
}

/// Counts and content of both, value by value.
async fn compare(from: Side<'_>, to: Side<'_>, source: &Facts) -> Result<(), Error> {
    let differs = |what| Error::Differs { place: to.name.to_owned(), what };
    let target = to.store.facts().await?;
    if target.counts != source.counts {
        return Err(differs(format!("{:?} instead of {:?}", target.counts, source.counts)));
    }
    if (&target.nodes, target.granted) != (&source.nodes, source.granted) {
        return Err(differs("the nodes are others".into()));
    }
    if from.store.projects().await? != to.store.projects().await? {
        return Err(differs("what was written of the projects is another".into()));
    }
    let (mut sent, mut arrived) = (Jobs::of(from.store), Jobs::of(to.store));
    loop {
        let (sent, arrived) = (sent.next().await?, arrived.next().await?);
        if let Some((job, _)) = sent.iter().zip(&arrived).find(|(one, other)| one != other) {
            return Err(differs(format!("job {} is another", job.id)));
        }
        if sent.len() != arrived.len() {
            return Err(differs("there are more or fewer jobs".into()));
        }
        if sent.is_empty() {
            break;
        }
    }
    let (mut sent, mut arrived) = (Runs::of(from.store), Runs::of(to.store));
    loop {
        let (sent, arrived) = (sent.next().await?, arrived.next().await?);
        if sent != arrived {
            return Err(differs("what the jobs told of themselves is another".into()));
        }
        if sent.is_empty() {
            return Ok(());
        }
    }
}

/// Commits to the target, one after the other.
struct Writer<'a> {
    to: Side<'a>,
    stands: Mark,
}

impl Writer<'_> {
    async fn write(&mut self, records: Vec<Record>) -> Result<(), Error> {
        let batch = Batch::next(self.stands, records);
        let failed = |source| Error::Write { place: self.to.name.to_owned(), source };
        self.to.store.commit(&batch).await.map_err(failed)?;
        self.stands = batch.mark();
        Ok(())
    }
}

/// All runs of a store, newest first, a page at a time.
struct Runs<'a> {
    store: &'a dyn Movable,
    page: Page,
}

impl<'a> Runs<'a> {
    fn of(store: &'a dyn Movable) -> Self {
        Self { store, page: Page { before: None, limit: RUNS } }
    }

    /// Empty at the end.
    async fn next(&mut self) -> Result<Vec<StoredRun>, StoreError> {
        let runs = self.store.runs(&self.page).await?;
        if let Some(last) = runs.last() {
            self.page.before = Some(last.position);
        }
        Ok(runs)
    }
}

/// All jobs of a store, newest first, a page at a time.
struct Jobs<'a> {
    store: &'a dyn Movable,
    page: Page,
}

impl<'a> Jobs<'a> {
    fn of(store: &'a dyn Movable) -> Self {
        Self { store, page: Page { before: None, limit: BATCH } }
    }

    /// Empty at the end.
    async fn next(&mut self) -> Result<Vec<StoredJob>, StoreError> {
        let jobs = self.store.jobs(&self.page).await?;
        if let Some(last) = jobs.last() {
            self.page.before = Some(last.status.position);
        }
        Ok(jobs)
    }
}
