//! Nodes come, go, come back and are removed.

use std::collections::BTreeSet;

use super::open::Rank;
use super::reports::clip;
use super::{Cluster, Effect, Held, Lease, Rejection, Session, Step, UNREACHABLE_AFTER};
use crate::agent::{Assignment, Duty, Report, Work};
use crate::id::{Attempt, JobId, NodeName};
use crate::job::JobState;
use crate::node::{NodeRecord, NodeSpec, Troubles};
use crate::record::Record;
use crate::resources::Free;
use crate::time::{Mono, Now};

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub record: NodeRecord,
    /// What it finds wrong with itself. Each session brings it anew, so it is not stored.
    pub troubles: Troubles,
    pub link: Link,
    /// As placement sees it: changes with events, not with the clock.
    pub reach: Reach,
    pub heard: Mono,
    pub lease_until: Mono,
    /// What its present session brought and has to be confirmed by a heartbeat.
    pub arrival: Option<Arrival>,
    /// Its lease may still count the grant of a planned stop.
    pub granted: bool,
    pub free: Free,
    /// Where it stands among the nodes that take jobs.
    pub listed: Option<Rank>,
    /// Placed, running or stopping here: these hold a slot.
    pub running: BTreeSet<JobId>,
    /// Ended here; the archive is on its way.
    pub archiving: BTreeSet<JobId>,
    /// Jobs that could not start here since the last one that did.
    pub strikes: BTreeSet<JobId>,
}

/// What a node lacks when it joins. It counts from its first heartbeat on: a join may have been overtaken by a later one of the
/// same node, and then nobody hears the list that it is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub confirmed: bool,
    /// Of the machine as it runs now; recorded when nothing of the time before is left.
    boot_id: String,
    /// Attempts that it should hold and cannot have any more. They are not in its list.
    missing: BTreeSet<(JobId, Attempt)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Connected(Session),
    Away,
}

/// Whether a node may be counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Connected and heard lately.
    Here,
    /// Not for so long that others may pass its jobs.
    Expected,
    Gone,
}

impl Node {
    /// A node that was heard now, holding nothing yet.
    pub fn new(record: NodeRecord, now: Mono, lease_until: Mono) -> Self {
        Self {
            record,
            troubles: Troubles::default(),
            link: Link::Away,
            reach: Reach::Expected,
            heard: now,
            lease_until,
            arrival: None,
            granted: false,
            free: Free::default(),
            listed: None,
            running: BTreeSet::new(),
            archiving: BTreeSet::new(),
            strikes: BTreeSet::new(),
        }
    }

    /// It said what is wrong with it, and that it gets no jobs.
    pub fn is_in_trouble(&self) -> bool {
        !self.troubles.is_empty()
    }

    /// Everything of which it still holds something.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.running.iter().chain(&self.archiving).copied()
    }

    /// Why it gets no new jobs although it is there.
    pub fn cordon(&self) -> Option<String> {
        match &self.record.cordoned {
            Some(why) => Some(why.clone()),
            None => (!self.troubles.is_empty()).then(|| self.troubles.to_string()),
        }
    }

    /// Where it should stand among the nodes that take jobs.
    pub fn rank(&self) -> Option<Rank> {
        let usable = self.reach == Reach::Here && self.cordon().is_none();
        usable.then(|| Rank::of(&self.free)).flatten()
    }
}

impl Cluster {
    /// A node opens a session. It says what it holds, and hears what it should hold.
    pub(super) fn join(
        &mut self,
        now: Now,
        mut spec: NodeSpec,
        session: Session,
        troubles: Troubles,
        held: Vec<Held>,
        step: &mut Step,
    ) -> Result<(), Rejection> {
        let name = spec.name.clone();
        let mut rebooted = false;
        if let Some(node) = self.nodes.get(&name) {
            self.refuse_another_machine(now.mono, node, &spec)?;
            if matches!(node.link, Link::Connected(present) if present > session) {
                return Err(Rejection::OldSession(name));
            }
            rebooted = node.record.spec.boot_id != spec.boot_id && node.jobs().next().is_some();
        }
        let boot_id = spec.boot_id.clone();
        if rebooted {
            spec.boot_id.clone_from(&self.nodes[&name].record.spec.boot_id);
        }
        self.enter(now, spec, session, troubles, step);
        // Nothing that runs outlives its machine, whatever the agent believes.
        let outlived = |it: &Held| {
            !(rebooted && matches!(it.report, Report::Starting | Report::Started { .. }))
        };
        let held: Vec<Held> = held.into_iter().filter(outlived).collect();
        let present: BTreeSet<(JobId, Attempt)> =
            held.iter().map(|it| (it.job, it.attempt)).collect();
        let first = step.effects.len();
        for it in held {
            self.report(now, &name, it, step);
        }
        let missing = self.missing(&name, &present, rebooted);
        let node = self.nodes.get_mut(&name).expect("it has just entered");
        node.arrival = Some(Arrival { confirmed: false, boot_id, missing });
        let list = self.assignments(&name);
        // The list says it all: what is to be archived is in it, what may be forgotten is not.
        let implied = |it: &Effect| match it {
            Effect::Assign { node, .. } | Effect::Release { node, .. } => *node == name,
            _ => false,
        };
        let reported = step.effects.split_off(first);
        step.effects.extend(reported.into_iter().filter(|it| !implied(it)));
        step.effects.insert(first, Effect::Assignments { node: name, session, list });
        Ok(())
    }

    /// A name belongs to one machine, as long as that was heard lately or may still run something. It may be here in a moment: its
    /// master has just started, or its agent has.
    fn refuse_another_machine(
        &self,
        now: Mono,
        node: &Node,
        spec: &NodeSpec,
    ) -> Result<(), Rejection> {
        let NodeSpec { name, identity, boot_id, address, .. } = &node.record.spec;
        let heard_lately = now - node.heard < UNREACHABLE_AFTER;
        let connected = matches!(node.link, Link::Connected(_));
        if *identity != spec.identity {
            let taken = connected || heard_lately || node.jobs().next().is_some();
            return if taken { Err(Rejection::NameTaken(name.clone())) } else { Ok(()) };
        }
        // Another machine with a copy of its folder has its identity, too. Where leases never end there is no other machine, and one
        // that has moved within one start is itself.
        let one_machine = self.policy.lease == Lease::UntilReboot;
        let may_run = now < node.lease_until && !node.running.is_empty();
        let is_copy = heard_lately || (may_run && *boot_id != spec.boot_id);
        // The port may be another with each start of its agent.
        let is_back =
            *address == spec.address || (!connected && host_of(address) == host_of(&spec.address));
        if one_machine || is_back || !is_copy {
            return Ok(());
        }
        Err(Rejection::NodeElsewhere { node: name.clone(), address: address.clone() })
    }

    /// The node as it is now replaces what was known of it; a new session has a clean record.
    fn enter(
        &mut self,
        now: Now,
        spec: NodeSpec,
        session: Session,
        troubles: Troubles,
        step: &mut Step,
    ) {
        let name = spec.name.clone();
        let before = self.nodes.remove(&name);
        let joined = before.as_ref().map_or(now.wall, |node| node.record.joined);
        let record = NodeRecord { spec, joined, cordoned: None };
        if before.as_ref().is_none_or(|node| node.record != record) {
            step.records.push(Record::NodeChanged(record.clone()));
        }
        let mut node = Node::new(record, now.mono, self.lease_from(now.mono));
        node.link = Link::Connected(session);
        node.reach = Reach::Here;
        node.troubles = troubles.map(clip);
        if let Some(before) = before {
            // It may not have heard of the shorter lease yet, so the longer one counts until its first heartbeat.
            node.lease_until = node.lease_until.max(before.lease_until);
            node.granted = before.granted;
            node.listed = before.listed;
            node.running = before.running;
            node.archiving = before.archiving;
        }
        self.nodes.insert(name.clone(), node);
        self.recount(&name);
        self.queue.reconsider();
    }

    /// What the node should hold and cannot have any more. What it never got, it hears of in its list.
    fn missing(
        &self,
        name: &NodeName,
        present: &BTreeSet<(JobId, Attempt)>,
        rebooted: bool,
    ) -> BTreeSet<(JobId, Attempt)> {
        let missing = |id: JobId| {
            let state = &self.jobs.get(&id)?.status.state;
            let attempt = (id, state.placement()?.attempt);
            let had_started = state.holds_resources() && state.started().is_some();
            (!present.contains(&attempt) && (rebooted || had_started)).then_some(attempt)
        };
        self.nodes[name].jobs().filter_map(missing).collect()
    }

    /// The nodes that have shown since they joined that they hold nothing but what they said.
    pub(super) fn settle_arrivals(&mut self, now: Now, step: &mut Step) {
        let confirmed = |node: &Node| node.arrival.as_ref().is_some_and(|it| it.confirmed);
        let names: Vec<NodeName> =
            self.nodes.iter().filter(|it| confirmed(it.1)).map(|it| it.0.clone()).collect();
        for name in names {
            let node = self.nodes.get_mut(&name).expect("it was just there");
            let Some(Arrival { boot_id, missing, .. }) = node.arrival.take() else { continue };
            let rebooted = node.record.spec.boot_id != boot_id;
            if rebooted {
                node.record.spec.boot_id = boot_id;
                step.records.push(Record::NodeChanged(node.record.clone()));
            }
            let verb = if rebooted { "was restarted" } else { "no longer knows of it" };
            for (job, attempt) in missing {
                let placement = self.jobs.get(&job).and_then(|it| it.status.state.placement());
                if placement.is_some_and(|it| it.node == name && it.attempt == attempt) {
                    self.lost(now, job, &format!("node {name} {verb}"), step);
                }
            }
        }
    }

    /// Everything that a node should hold.
    fn assignments(&self, name: &NodeName) -> Vec<Assignment> {
        let node = &self.nodes[name];
        let missing = node.arrival.as_ref().map(|it| &it.missing);
        let is_there =
            |it: &Assignment| !missing.is_some_and(|them| them.contains(&(it.job, it.attempt)));
        node.jobs().filter_map(|id| self.assignment(id)).filter(is_there).collect()
    }

    /// What the job's node should do about it now.
    pub(super) fn assignment(&self, id: JobId) -> Option<Assignment> {
        let job = self.jobs.get(&id)?;
        let placement = job.status.state.placement()?;
        let duty = match &job.status.state {
            JobState::Stopping { .. } => Duty::Stop { grace: self.policy.grace },
            JobState::Archiving { .. } => Duty::Archive,
            _ => Duty::Run(Work {
                spec: job.spec.clone(),
                gpus: placement.gpus.clone(),
                sealed: job.status.sealed.clone(),
            }),
        };
        Some(Assignment { job: id, attempt: placement.attempt, duty })
    }

    /// What is wrong with a node changes what it may be given, and nothing that runs there.
    pub(super) fn troubled(
        &mut self,
        name: &NodeName,
        session: Session,
        troubles: Troubles,
    ) -> Result<(), Rejection> {
        self.connected(name, session)?;
        let node = self.nodes.get_mut(name).expect("it is connected");
        node.troubles = troubles.map(clip);
        self.list(name);
        self.queue.reconsider();
        Ok(())
    }

    pub(super) fn leave(&mut self, name: &NodeName, session: Session) {
        if let Some(node) = self.nodes.get_mut(name)
            && node.link == Link::Connected(session)
        {
            node.link = Link::Away;
            if node.reach == Reach::Here {
                node.reach = Reach::Expected;
            }
            self.list(name);
            self.queue.look_again();
        }
    }

    pub(super) fn remove_node(
        &mut self,
        now: Now,
        name: &NodeName,
        step: &mut Step,
    ) -> Result<(), Rejection> {
        let node = self.nodes.get(name).ok_or_else(|| Rejection::UnknownNode(name.clone()))?;
        if let Link::Connected(_) = node.link {
            return Err(Rejection::NodeConnected(name.clone()));
        }
        let jobs = node.jobs().count();
        // A lease without an end leaves nothing but the word of whoever removes the node.
        let may_run = self.policy.lease != Lease::UntilReboot && now.mono < node.lease_until;
        if jobs > 0 && may_run {
            return Err(Rejection::NodeHoldsJobs { node: name.clone(), jobs });
        }
        self.lose_all(now, name, &format!("node {name} was removed"), step);
        let node = self.nodes.remove(name).expect("it was just there");
        if let Some(rank) = node.listed {
            self.open.remove(rank, name);
        }
        step.records.push(Record::NodeRemoved(name.clone()));
        self.node_removed = true;
        self.queue.reconsider();
        Ok(())
    }

    /// Gives back what the job held on its node, down to its name.
    pub(super) fn detach(&mut self, id: JobId, name: &NodeName) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.running.remove(&id);
            node.archiving.remove(&id);
        }
        self.recount(name);
    }

    /// A node that joins may report thousands of ends in one step.
    pub(super) fn recount(&mut self, name: &NodeName) {
        self.uncounted.insert(name.clone());
    }

    pub(super) fn count_anew(&mut self) {
        for name in std::mem::take(&mut self.uncounted) {
            self.count(&name);
        }
    }

    /// What is free is counted anew from who holds what, so that it cannot drift.
    fn count(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let mut free = node.record.spec.capacity.free();
        for id in &node.running {
            let Some(job) = self.jobs.get(id) else { continue };
            if let Some(placement) = job.status.state.placement() {
                free.take_these(&job.spec.demand, &placement.gpus);
            }
        }
        node.free = free;
        self.list(name);
        self.queue.look_again();
    }
}

fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}
