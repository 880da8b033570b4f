//! The master's tracker: the real rules of `core::run` (what of a piece is new, what it becomes, up to where it counts), between a
//! storage that keeps bytes that nobody committed and a reactor that commits.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use atlas_core::job::Archive;
use atlas_core::run::{Scalar, Table};
use atlas_core::{Attempt, Epoch, JobId, JobState, Record, Run, Timestamp};

use crate::schedule::{Event, Key, Life};
use crate::spool::{Call, METRIC};
use crate::world::World;

/// Series on the shared storage, which outlives everybody. A segment has a byte for each point.
#[derive(Default)]
pub struct Shared {
    segments: BTreeMap<(Key, Epoch), Vec<i64>>,
    tables: BTreeMap<(JobId, Epoch, u32), BTreeMap<Attempt, Vec<i64>>>,
}

/// What a leader does with one run at a time.
#[derive(Default)]
pub struct Track {
    now: Option<Work>,
    waiting: VecDeque<Work>,
    /// Committed last; `None` = the store is to be asked.
    run: Option<Arc<Run>>,
    /// Written, and about to be committed.
    next: Option<Arc<Run>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Piece(u64),
    Compaction,
}

impl Shared {
    /// All points of an attempt, as whoever asks for them reads them.
    pub fn points(&self, job: JobId, run: &Run, attempt: Attempt) -> Vec<i64> {
        let table = run.table.map(|it| &self.tables[&(job, it.epoch, it.number)]);
        let mut points = table.and_then(|it| it.get(&attempt)).cloned().unwrap_or_default();
        for segment in &run.attempts[&attempt].segments {
            let written = &self.segments[&((job, attempt), segment.epoch)];
            points.extend(&written[..segment.bytes as usize]);
        }
        points
    }

    /// Over whatever was never committed.
    fn append(&mut self, key: Key, epoch: Epoch, committed: u64, points: &[i64]) {
        let segment = self.segments.entry((key, epoch)).or_default();
        segment.truncate(committed as usize);
        segment.extend(points);
    }

    fn tidy(&mut self, job: JobId, table: Table) {
        self.segments.retain(|((of, _), epoch), _| *of != job || *epoch > table.epoch);
        self.tables.retain(|(of, epoch, number), _| {
            let kept = (*epoch, *number) == (table.epoch, table.number);
            *of != job || kept || *epoch > table.epoch
        });
    }
}

impl World {
    /// A piece arrives. The master looks whether the attempt is or was the node's.
    pub fn asked(&mut self, number: u64) {
        let call = &self.calls[&number];
        let node = &self.machines[call.node];
        let Some(lead) = self.master.lead.as_ref().filter(|_| node.cut_until <= self.now) else {
            return; // the agent will ask again
        };
        let (life, job) = (lead.life, call.job);
        let reaches = call.offset + call.data.len() as u64;
        let is_theirs = self.store.jobs.get(&job).is_some_and(|(_, status)| {
            let announced = status.state.end().filter(|_| status.attempt == call.attempt);
            status.had(call.attempt, &node.spec.name)
                && announced.is_none_or(|it| reaches <= it.spool_length)
        });
        if !is_theirs {
            return self.answers_call(number, None);
        }
        self.works(life, job, Work::Piece(number));
    }

    pub fn compacts(&mut self, life: Life, job: JobId) {
        self.works(life, job, Work::Compaction);
    }

    /// One thing of a run at a time.
    fn works(&mut self, life: Life, job: JobId, work: Work) {
        let Some(lead) = self.master.lead.as_mut().filter(|it| it.life == life) else { return };
        let track = lead.tracks.entry(job).or_default();
        track.waiting.push_back(work);
        if track.now.is_none() {
            self.works_on(job);
        }
    }

    fn works_on(&mut self, job: JobId) {
        let lead = self.master.lead.as_mut().expect("it works");
        let (life, epoch) = (lead.life, lead.epoch);
        let track = lead.tracks.get_mut(&job).expect("something was to be done");
        while let Some(work) = track.waiting.pop_front() {
            let stored = self.store.runs.get(&job).cloned().unwrap_or_default();
            let run = track.run.clone().unwrap_or(stored);
            let next = match work {
                Work::Piece(number) => {
                    let call = self.calls[&number].clone();
                    let next = self.shared.take_in(epoch, &run, &call);
                    if next.is_none() {
                        let reaches = call.offset + call.data.len() as u64;
                        if !call.data.is_empty() && reaches <= run.offset(call.attempt) {
                            self.judge.saw("piece known already");
                        }
                        let length = Some(run.offset(call.attempt));
                        self.schedule.at(self.now + 1, Event::Told { call: number, length });
                    }
                    next
                }
                Work::Compaction => {
                    let done = self.store.jobs.get(&job);
                    let done = done.is_some_and(|it| matches!(it.1.state, JobState::Done { .. }));
                    track.run = None;
                    let run = self.store.runs.get(&job).filter(|it| done && it.has_segments());
                    run.map(|run| self.shared.compact(job, epoch, run))
                }
            };
            if let Some(next) = next {
                (track.now, track.next) = (Some(work), Some(next));
                let takes = self.rng.between(1, 200);
                return self.schedule.at(self.now + takes, Event::Written { life, job });
            }
        }
    }

    /// The points are on the storage: now the run may say so.
    pub fn written(&mut self, life: Life, job: JobId) {
        let Some(lead) = self.master.lead.as_mut().filter(|it| it.life == life) else {
            return self.judge.saw("leader died between a segment and its commit");
        };
        let run = lead.tracks[&job].next.clone().expect("it was written");
        self.keeps(job, Record::RunChanged { id: job, run });
    }

    /// The run is committed.
    pub fn tracked(&mut self, job: JobId) {
        let lead = self.master.lead.as_mut().expect("it performs");
        let life = lead.life;
        let track = lead.tracks.get_mut(&job).expect("it works on it");
        let work = track.now.take().expect("this");
        let run = track.next.take().expect("it was written");
        match work {
            Work::Piece(number) => {
                let call = self.calls[&number].clone();
                let length = run.offset(call.attempt);
                track.run = Some(run).filter(|_| !call.last);
                self.answers_call(number, Some(length));
                self.told_late(life, call.job, call.attempt);
            }
            Work::Compaction => {
                self.shared.tidy(job, run.table.expect("it was made"));
                self.judge.saw("series compacted");
            }
        }
        self.works_on(job);
    }

    /// What comes after the end is found by looking around.
    fn told_late(&mut self, life: Life, job: JobId, attempt: Attempt) {
        let Some((_, status)) = self.store.jobs.get(&job) else { return };
        if status.attempt > attempt {
            self.judge.saw("spool taken of an attempt that was given up");
        }
        if matches!(status.state, JobState::Done { .. }) {
            let after = self.rng.between(1, 60_000);
            self.schedule.at(self.now + after, Event::Compacts { life, job });
        }
    }

    /// What has become durable: jobs that ended are compacted; of one that was deleted everything goes, another one may have its
    /// id later.
    pub fn hears(&mut self, life: Life, records: &[Record]) {
        for record in records {
            match record {
                Record::JobChanged { id, status, .. }
                    if matches!(status.state, JobState::Done { .. }) =>
                {
                    let after = self.rng.between(1, 2_000);
                    self.schedule.at(self.now + after, Event::Compacts { life, job: *id });
                }
                Record::JobDeleted { id } => {
                    self.shared.segments.retain(|((of, _), _), _| of != id);
                    self.shared.tables.retain(|(of, _, _), _| of != id);
                    let lead = self.master.lead.as_mut().expect("it hears");
                    if let Some(track) = lead.tracks.get_mut(id) {
                        track.run = None;
                    }
                }
                _ => {}
            }
        }
    }

    /// What a leader before this one had no time for.
    pub fn compacts_what_is_left(&mut self, life: Life) {
        let jobs: Vec<JobId> = self.store.runs.keys().copied().collect();
        for job in jobs {
            let after = self.rng.between(1, 5_000);
            self.schedule.at(self.now + after, Event::Compacts { life, job });
        }
    }

    /// At the end: every event whose write returned is in its run, once and in its order.
    pub fn check_runs(&mut self) {
        for (job, (_, status)) in &self.store.jobs {
            let run = self.store.runs.get(job).cloned().unwrap_or_default();
            for (attempt, spool) in &run.attempts {
                let points = self.shared.points(*job, &run, *attempt);
                self.ledger.0[&(*job, *attempt)].has(&points, spool.offset);
                let count = spool.points.get(METRIC).map_or(0, |it| it[&0]);
                assert_eq!(count, points.len() as u64, "{job}#{attempt}: points are miscounted");
            }
            let key = (*job, status.attempt);
            let complete =
                matches!(&status.state, JobState::Done { archive: Archive::Complete, .. });
            if let Some(written) = self.ledger.0.get(&key).filter(|_| complete) {
                let end = written.bytes.len() as u64;
                assert_eq!(run.offset(key.1), end, "{job}: something it told is missing");
                self.judge.saw("all that a job told is kept");
            }
            if let (1, Some(attempt)) = (run.attempts.len(), run.attempt()) {
                let written = &self.ledger.0[&(*job, attempt)];
                let whole = written.read_at_once(attempt, run.offset(attempt));
                let rest = |it: &Run| {
                    let Run { metrics, params, tags, left, weight, .. } = it.clone();
                    (metrics, params, tags, left, weight)
                };
                assert_eq!(rest(&run), rest(&whole), "{job}: in pieces it is another run");
            }
        }
    }
}

impl Shared {
    /// The run with what of the piece is new; `None` = nothing is.
    fn take_in(&mut self, epoch: Epoch, run: &Arc<Run>, call: &Call) -> Option<Arc<Run>> {
        let Call { job, attempt, offset, data, last, .. } = call;
        let new = run.unread(*attempt, *offset, data.len())?;
        let mut run = Run::clone(run);
        let mut points = Vec::new();
        let read = run.read(*attempt, &data[new..], *last, parse, |run, entry| {
            if let Some(point) = run.take(*attempt, Timestamp(0), entry) {
                let Scalar::Int(value) = point.value else { panic!("nobody wrote {point:?}") };
                points.push(value);
            }
            ControlFlow::Continue(())
        });
        if !points.is_empty() {
            let segment = run.attempts.entry(*attempt).or_default().segment_of(epoch);
            self.append((*job, *attempt), epoch, segment.bytes, &points);
            segment.bytes += points.len() as u64;
        }
        (read > 0).then(|| Arc::new(run))
    }

    fn compact(&mut self, job: JobId, epoch: Epoch, run: &Arc<Run>) -> Arc<Run> {
        let points = run.attempts.keys().map(|it| (*it, self.points(job, run, *it)));
        let points: BTreeMap<Attempt, Vec<i64>> = points.collect();
        let count = points.values().map(Vec::len).sum::<usize>() as u64;
        assert_eq!(count, run.points(), "a table has what was told");
        let number = run.table.map_or(1, |it| it.number + 1);
        self.tables.insert((job, epoch, number), points);
        let mut run = Run::clone(run);
        run.move_into(Table { epoch, number, bytes: count, points: count });
        Arc::new(run)
    }
}

pub fn parse(line: &[u8]) -> Option<atlas_core::run::Entry<'_>> {
    serde_json::from_slice(line).ok()
}
