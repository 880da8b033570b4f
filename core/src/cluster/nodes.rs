//! Nodes come, go, come back and are removed.

use std::collections::BTreeSet;

use super::{Cluster, Effect, Held, Link, Node, Rejection, Session, Step};
use crate::agent::{Assignment, Duty};
use crate::id::{JobId, NodeName};
use crate::job::JobState;
use crate::node::{NodeRecord, NodeSpec};
use crate::record::Record;
use crate::resources::Free;
use crate::time::Now;

impl Cluster {
    /// A node opens a session. It says what it holds, and hears what it should hold.
    pub(super) fn join(
        &mut self,
        now: Now,
        spec: NodeSpec,
        session: Session,
        held: Vec<Held>,
        step: &mut Step,
    ) -> Result<(), Rejection> {
        let name = spec.name.clone();
        let before = self.nodes.get(&name);
        if let Some(node) = before
            && node.record.spec.identity != spec.identity
            && (matches!(node.link, Link::Connected(_)) || !node.jobs.is_empty())
        {
            return Err(Rejection::NameTaken(name));
        }
        let rebooted = before.is_some_and(|node| node.record.spec.boot_id != spec.boot_id);
        self.enter(now, spec, session, step);
        let alive: BTreeSet<JobId> = held.iter().map(|it| it.job).collect();
        for it in held {
            self.report(now, &name, it, step);
        }
        if rebooted {
            let gone: Vec<JobId> = self.nodes[&name].jobs.difference(&alive).copied().collect();
            for job in gone {
                self.lost(now, job, &format!("node {name} was restarted"), step);
            }
        }
        let list = self.assignments(&name);
        step.effects.push(Effect::Assignments { node: name, session, list });
        Ok(())
    }

    /// The node as it is now replaces what was known of it; a new agent has a clean record.
    fn enter(&mut self, now: Now, spec: NodeSpec, session: Session, step: &mut Step) {
        let name = spec.name.clone();
        let before = self.nodes.remove(&name);
        let joined = before.as_ref().map_or(now.wall, |node| node.record.joined);
        let record = NodeRecord { spec, joined, cordoned: None };
        if before.as_ref().is_none_or(|node| node.record != record) {
            step.records.push(Record::NodeChanged(record.clone()));
        }
        let node = Node {
            record,
            link: Link::Connected(session),
            heard: now.mono,
            lease_until: self.lease_from(now.mono),
            free: Free::default(),
            jobs: before.map(|node| node.jobs).unwrap_or_default(),
            strikes: BTreeSet::new(),
        };
        self.nodes.insert(name.clone(), node);
        self.recount(&name);
        self.queue.reconsider();
    }

    /// Everything that a node should hold.
    fn assignments(&self, name: &NodeName) -> Vec<Assignment> {
        let assignment = |id: &JobId| {
            let job = self.jobs.get(id)?;
            let placement = job.status.state.placement()?;
            let duty = match &job.status.state {
                JobState::Stopping { .. } => Duty::Stop { grace: self.policy.grace },
                JobState::Archiving { .. } => Duty::Archive,
                _ => Duty::Run,
            };
            let (attempt, gpus) = (placement.attempt, placement.gpus.clone());
            Some(Assignment { job: *id, attempt, spec: job.spec.clone(), gpus, duty })
        };
        self.nodes[name].jobs.iter().filter_map(assignment).collect()
    }

    pub(super) fn leave(&mut self, name: &NodeName, session: Session) {
        if let Some(node) = self.nodes.get_mut(name)
            && node.link == Link::Connected(session)
        {
            node.link = Link::Away;
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
        if !node.jobs.is_empty() && now.mono < node.lease_until {
            return Err(Rejection::NodeHoldsJobs { node: name.clone(), jobs: node.jobs.len() });
        }
        self.nodes.remove(name);
        step.records.push(Record::NodeRemoved(name.clone()));
        self.queue.reconsider();
        Ok(())
    }

    /// What people are shown of a node.
    pub fn node_views(&self, now: Now) -> Vec<NodeView> {
        let view = |node: &Node| NodeView {
            record: node.record.clone(),
            connected: matches!(node.link, Link::Connected(_)),
            silent_ms: (now.mono - node.heard).0,
            free: node.free.clone(),
            jobs: node.jobs.iter().copied().collect(),
        };
        self.nodes.values().map(view).collect()
    }
}

/// A node as people are shown it.
#[derive(Clone, Debug)]
pub struct NodeView {
    pub record: NodeRecord,
    pub connected: bool,
    /// Since it was last heard, milliseconds.
    pub silent_ms: u64,
    pub free: Free,
    pub jobs: Vec<JobId>,
}
