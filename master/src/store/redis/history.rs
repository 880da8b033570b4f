//! The last commits of this leader, to write back what a server lost that came back older: one that did not sync its last
//! seconds, or a replica that took over before it had everything.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use atlas_core::{JobId, Record, Revision};

use crate::store::Batch;

/// `appendfsync everysec` loses two seconds; replicas are seldom later than a minute.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// So that a minute of a very busy master stays some tens of megabytes.
const KEPT_RECORDS: usize = 50_000;

/// The commits of one leader without a gap, oldest first. The last one may be on its way still: whoever tries the next one knows
/// that it was kept.
pub struct History {
    /// The revision before the first of them.
    base: Revision,
    commits: VecDeque<(Instant, Batch)>,
    records: usize,
    /// Which commit has a job's run. Only the last is kept: a run is written whole and often.
    runs: HashMap<JobId, Revision>,
}

impl History {
    /// Of a leader that begins at this revision.
    pub fn since(base: Revision) -> Self {
        Self { base, commits: VecDeque::new(), records: 0, runs: HashMap::new() }
    }

    /// The revision of the commit that was tried last.
    pub fn last(&self) -> Revision {
        self.commits.back().map_or(self.base, |(_, last)| last.revision)
    }

    /// Takes a commit that is tried now, maybe again. One that does not follow the last one is not taken; one that writes all at once
    /// begins anew, because those before it no longer say all.
    pub fn tried(&mut self, now: Instant, batch: &Batch) {
        if batch.after.next() != batch.revision {
            *self = Self::since(batch.revision);
        }
        if batch.revision != self.last().next() {
            return;
        }
        self.forget_older_runs(batch);
        self.records += batch.records.len();
        self.commits.push_back((now, batch.clone()));
        while self.commits.len() > 1 && self.is_too_much(now) {
            let Some((_, dropped)) = self.commits.pop_front() else { break };
            self.records -= dropped.records.len();
            self.base = dropped.revision;
            for id in dropped.records.iter().filter_map(run_of) {
                if self.runs.get(&id) == Some(&dropped.revision) {
                    self.runs.remove(&id);
                }
            }
        }
    }

    fn forget_older_runs(&mut self, batch: &Batch) {
        for id in batch.records.iter().filter_map(run_of) {
            let before = self.runs.insert(id, batch.revision);
            let Some(revision) = before.filter(|it| *it != batch.revision) else { continue };
            let at = self.commits.binary_search_by_key(&revision, |(_, it)| it.revision);
            let Ok(at) = at else { continue };
            let records = &mut self.commits[at].1.records;
            let many = records.len();
            records.retain(|it| run_of(it) != Some(id));
            self.records -= many - records.len();
        }
    }

    fn is_too_much(&self, now: Instant) -> bool {
        let oldest = self.commits.front();
        self.records > KEPT_RECORDS
            || oldest.is_some_and(|(at, _)| now.saturating_duration_since(*at) > KEPT_FOR)
    }

    /// Everything that is remembered.
    pub fn records(&self) -> Vec<Record> {
        self.commits.iter().flat_map(|(_, batch)| batch.records.iter().cloned()).collect()
    }

    /// Every commit after `from` and before `to`; `None` = `from` is older than what is remembered.
    pub fn between(&self, from: Revision, to: Revision) -> Option<Vec<Batch>> {
        let missing = self.commits.iter().map(|it| &it.1);
        let missing = missing.filter(|it| it.revision > from && it.revision < to);
        (from >= self.base).then(|| missing.cloned().collect())
    }
}

fn run_of(record: &Record) -> Option<JobId> {
    match record {
        Record::RunChanged { id, .. } => Some(*id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use atlas_core::{Epoch, Run};

    use super::*;
    use crate::store::Mark;
    use crate::store::contract::{id, queued};

    fn batch(revision: u64, records: usize) -> Batch {
        let records = (0..records).map(|it| queued(it as u64 + 1)).collect();
        let last = Mark { epoch: Epoch(1), revision: Revision(revision - 1) };
        Batch::next(last, records)
    }

    fn between(history: &History, from: u64, to: u64) -> Option<Vec<u64>> {
        let batches = history.between(Revision(from), Revision(to))?;
        Some(batches.iter().map(|it| it.revision.0).collect())
    }

    #[test]
    fn what_came_after_is_told_in_order() {
        let (mut history, now) = (History::since(Revision(2)), Instant::now());
        assert_eq!(between(&history, 2, 3), Some(vec![]), "only the leader's own epoch is lost");
        for revision in [3, 4, 4, 9, 5] {
            history.tried(now, &batch(revision, 1));
        }
        assert_eq!(history.last(), Revision(5));
        assert_eq!(between(&history, 4, 5), Some(vec![]));
        assert_eq!(between(&history, 3, 5), Some(vec![4]));
        assert_eq!(between(&history, 2, 5), Some(vec![3, 4]));
        assert_eq!(between(&history, 1, 5), None, "commit 2 was another leader's");
    }

    #[test]
    fn of_each_run_it_keeps_the_last_value_only() {
        let (mut history, now) = (History::since(Revision(0)), Instant::now());
        let told = |job: u64, weight| Record::RunChanged {
            id: id(job),
            run: Run { weight, ..Run::default() }.into(),
        };
        for (revision, records) in
            [(1, vec![told(1, 1), queued(1), told(2, 1)]), (2, vec![]), (3, vec![told(1, 3)])]
        {
            history.tried(now, &Batch { records, ..batch(revision, 0) });
        }
        let kept = [queued(1), told(2, 1), told(1, 3)];
        assert_eq!((history.records(), history.records), (kept.into(), 3));
        assert_eq!(between(&history, 0, 9), Some(vec![1, 2, 3]));
    }

    #[test]
    fn it_forgets_what_is_old_or_too_much_but_never_the_last_one() {
        let (mut history, start) = (History::since(Revision(0)), Instant::now());
        history.tried(start, &batch(1, 1));
        history.tried(start + KEPT_FOR / 2, &batch(2, 1));
        assert_eq!(between(&history, 0, 9), Some(vec![1, 2]));
        history.tried(start + KEPT_FOR + Duration::from_secs(1), &batch(3, 1));
        assert_eq!((between(&history, 0, 9), between(&history, 1, 9)), (None, Some(vec![2, 3])));
        history.tried(start + KEPT_FOR, &batch(4, KEPT_RECORDS + 1));
        assert_eq!((between(&history, 2, 9), between(&history, 3, 9)), (None, Some(vec![4])));
    }
}
