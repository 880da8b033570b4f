//! Watches from outside and knows the truth: what really ran where, what really happened, what was promised to whom.

use std::collections::{BTreeMap, BTreeSet};

use atlas_core::agent::{Exit, ExitKind};
use atlas_core::cluster::Step;
use atlas_core::job::{Archive, End};
use atlas_core::record::JobEvent;
use atlas_core::time::Millis;
use atlas_core::{Attempt, Cause, Cluster, JobId, JobState, JobStatus, Now, Outcome, Record};

use crate::clients::{Clients, planned_cause};
use crate::schedule::{Key, NodeId};
use crate::store::Store;

/// What a reading of a machine's clock and the event for it may be apart: clocks are a little fast, and events whole milliseconds.
const TICKS: Millis = Millis(20);

#[derive(Default)]
pub struct Judge {
    /// Where a process of the job lives now.
    alive: BTreeMap<JobId, (Attempt, NodeId)>,
    begun: BTreeSet<Key>,
    /// Processes that came to an end of their own or by a stop.
    exits: BTreeMap<Key, Exit>,
    /// Ends that no disk remembers; whoever had not heard of them by then never will.
    forgotten: BTreeSet<Key>,
    not_started: BTreeMap<Key, Vec<Cause>>,
    stops: BTreeMap<JobId, BTreeSet<String>>,
    cleared: bool,
    removed_nodes: bool,
    deletes: BTreeSet<JobId>,
    acknowledged: BTreeSet<JobId>,
    ends: BTreeMap<JobId, End>,
    archives: BTreeMap<JobId, Attempt>,
    gone: BTreeSet<JobId>,
    /// Queued again and not placed since.
    given_up: BTreeSet<JobId>,
    /// Attempts that ended without the job's doing.
    pub lost: u64,
    /// How often something happened: a simulation that no longer reaches it must not look like one that passes.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Judge {
    pub fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub fn process_begins(&mut self, key: Key, node: NodeId) {
        let before = self.alive.insert(key.0, (key.1, node));
        assert_eq!(before, None, "{} runs at two places: now {} at {node}", key.0, key.1);
        assert!(self.begun.insert(key), "{}#{} begins a second time", key.0, key.1);
    }

    pub fn process_ends(&mut self, key: Key, node: NodeId) {
        assert_eq!(self.alive.remove(&key.0), Some((key.1, node)), "what ends had begun");
    }

    /// A job with a time limit has ended or died: by its machine's clock it ran for no longer than limit and grace, and was not
    /// stopped before.
    pub fn ran(
        &mut self,
        (id, attempt): Key,
        ran: Millis,
        limit: (Millis, Millis),
        at_limit: bool,
    ) {
        let (limit, grace) = limit;
        assert!(ran <= limit + grace + TICKS, "{id}#{attempt} ran {ran} with a limit of {limit}");
        if at_limit {
            assert!(
                ran + TICKS >= limit,
                "{id}#{attempt} was stopped after {ran}, its limit is {limit}"
            );
            self.saw("job ran into its time limit");
        }
    }

    pub fn exited(&mut self, key: Key, exit: &Exit) {
        if exit.kind != ExitKind::LeaseEnded {
            self.exits.insert(key, exit.clone());
        }
    }

    pub fn not_started(&mut self, key: Key, cause: &Cause) {
        self.not_started.entry(key).or_default().push(cause.clone());
    }

    /// The machine went down before the end was on its disk: nobody can know it any more.
    pub fn disk_forgot(&mut self, key: Key) {
        self.forgotten.insert(key);
    }

    pub fn stop_asked(&mut self, job: JobId, by: &str) {
        self.stops.entry(job).or_default().insert(by.to_owned());
    }

    pub fn queue_cleared(&mut self) {
        self.cleared = true;
    }

    pub fn node_removed(&mut self) {
        self.removed_nodes = true;
        self.saw("node removed");
    }

    pub fn delete_asked(&mut self, job: JobId) {
        self.deletes.insert(job);
    }

    pub fn acknowledged(&mut self, job: JobId) {
        self.acknowledged.insert(job);
    }

    /// Files are brought to the archive only by the attempt whose end is the job's, as long as the job is there.
    pub fn archive_written(&mut self, key: Key, kept: Option<&JobStatus>) {
        let accepted = kept.is_none_or(|it| it.attempt == key.1 && it.state.end().is_some());
        assert!(accepted, "{}#{} was archived, but the job is {kept:?}", key.0, key.1);
        self.archives.insert(key.0, key.1);
    }

    /// After each step of the master: nobody was placed while an earlier job waited that a node at hand could run.
    pub fn decided(&mut self, cluster: &Cluster, now: Now, step: &Step) {
        for record in &step.records {
            let Record::JobChanged { id, event: JobEvent::Placed, status } = record else {
                continue;
            };
            let views = cluster.node_views(now);
            let chosen = status.state.placement().map(|it| &it.node);
            let cordon = views.iter().find(|it| Some(&it.record.spec.name) == chosen);
            if let Some(why) = cordon.and_then(|it| it.cordon.as_ref()) {
                panic!("{id} was placed on a node that is cordoned: {why}");
            }
            for (waiting, reason) in cluster.waiting(now) {
                let (spec, waits) = cluster.job(waiting).expect("it waits");
                if waits.position >= status.position {
                    break;
                }
                let excluded = waits.state.excluded();
                let at_hand = views.iter().find(|it| {
                    it.connected
                        && it.silent_ms < 15_000
                        && it.cordon.is_none()
                        && it.record.spec.capacity.fits(&spec.demand)
                        && !excluded.iter().any(|other| other.node == it.record.spec.name)
                });
                if let Some(node) = at_hand {
                    let name = &node.record.spec.name;
                    panic!("{id} overtook {waiting}, which {name} could run and which {reason}");
                }
                self.saw("a job was set aside and overtaken");
            }
        }
    }

    /// After each commit: ends are final and true.
    pub fn kept(&mut self, records: &[Record], store: &Store, clients: &Clients) {
        for record in records {
            match record {
                Record::JobQueued { id, .. } => {
                    assert!(!self.gone.contains(id), "{id} came back after it was deleted");
                }
                Record::JobChanged { id, event, status } => {
                    self.changed(*id, *event, status, clients);
                }
                Record::JobDeleted { id } => {
                    assert!(self.deletes.contains(id), "nobody asked to delete {id}");
                    assert!(!store.jobs.contains_key(id));
                    self.gone.insert(*id);
                    self.saw("job deleted");
                }
                Record::NodeChanged(node) if node.cordoned.is_some() => self.saw("node cordoned"),
                Record::RunChanged { .. }
                | Record::ProjectChanged { .. }
                | Record::NodeChanged(_)
                | Record::NodeRemoved(_)
                | Record::LeaseGranted(_) => {}
            }
        }
    }

    fn changed(&mut self, id: JobId, event: JobEvent, status: &JobStatus, clients: &Clients) {
        match event {
            JobEvent::Requeued => {
                self.given_up.insert(id);
                self.saw("job queued again");
            }
            JobEvent::Placed => {
                self.given_up.remove(&id);
            }
            JobEvent::Exited
                if self.given_up.remove(&id)
                    && matches!(status.state, JobState::Archiving { .. }) =>
            {
                self.saw("exit heard after the attempt was given up");
            }
            _ => {}
        }
        self.lost = self.lost.max(u64::from(status.lost));
        match (self.ends.get(&id), status.state.end()) {
            (None, Some(end)) => {
                self.ended(id, status, end, clients);
                self.ends.insert(id, end.clone());
            }
            (Some(before), now) => assert_eq!(Some(before), now, "the end of {id} was changed"),
            (None, None) => {}
        }
        if let JobState::Done { archive: Archive::Complete, .. } = &status.state {
            let by = self.archives.get(&id);
            assert_eq!(by, Some(&status.attempt), "the archive of {id} is not that of its end");
        }
    }

    /// The outcome is what happened.
    fn ended(&mut self, id: JobId, status: &JobStatus, end: &End, clients: &Clients) {
        let key = (id, status.attempt);
        let exit = self.exits.get(&key);
        let natural = exit.filter(|it| !it.stopped).map(|it| planned_cause(&it.kind));
        let number = clients.number(id);
        let told = format!("job {number} ended as {:?}", end.outcome);
        match &end.outcome {
            Outcome::Completed => assert_eq!(natural, Some(None), "{told}"),
            Outcome::Failed { cause, .. } => match cause {
                Cause::StoppedBy(by) if by == "root" => assert!(self.cleared, "{told}"),
                Cause::StoppedBy(by) => {
                    let asked = self.stops.get(&id).is_some_and(|it| it.contains(by));
                    assert!(asked, "{told}, but nobody of that name asked");
                    self.saw("job stopped");
                }
                Cause::NodeLost => {
                    assert!(status.lost >= 3, "{told} after {} losses", status.lost);
                    self.saw("job lost three times");
                }
                Cause::Rejected => {
                    assert!(self.removed_nodes, "{told}, but every node is still known");
                    self.saw("job rejected at the head");
                }
                Cause::Image | Cause::Bundle | Cause::Internal => {
                    let causes = self.not_started.get(&key);
                    let happened = causes.is_some_and(|it| it.contains(cause));
                    assert!(happened, "{told}, but it was never refused so");
                    self.saw("job could start nowhere");
                }
                other => assert_eq!(natural, Some(Some(other.clone())), "{told}"),
            },
        }
    }

    /// At the end: every promise was kept.
    pub fn conclude(&mut self, store: &Store) {
        assert_eq!(self.alive, BTreeMap::new(), "processes are left");
        for id in &self.acknowledged {
            assert!(self.ends.contains_key(id), "acknowledged job {id} never ended");
            let kept = store.jobs.contains_key(id);
            assert!(kept || self.gone.contains(id), "acknowledged job {id} is gone");
        }
        for (id, (_, status)) in &store.jobs {
            let Some(exit) = self.exits.get(&(*id, status.attempt)) else { continue };
            let Some(end) = self.ends.get(id) else { continue };
            let truth = planned_cause(&exit.kind);
            let told = match &end.outcome {
                Outcome::Completed => None,
                Outcome::Failed { cause, .. } => Some(cause.clone()),
            };
            // Nobody had heard of that end when the job was stopped, lost or left without a node that could run it.
            let given_up =
                matches!(told, Some(Cause::StoppedBy(_) | Cause::NodeLost | Cause::Rejected))
                    || self.forgotten.contains(&(*id, status.attempt));
            assert!(given_up || told == truth, "{id} ended as {truth:?}, recorded is {told:?}");
        }
    }
}
