//! Leases: durations on a monotonic clock, renewed by heartbeats, never stored.

use super::{
    Cluster, Effect, LATE_TICK, Lease, Link, PLANNED_STOP, Rejection, Session, Step,
    UNREACHABLE_AFTER,
};
use crate::id::{JobId, NodeName};
use crate::record::Record;
use crate::time::{Mono, Now};

impl Cluster {
    /// Renews the lease of everything that the node holds. Makes no record.
    pub(super) fn heartbeat(
        &mut self,
        now: Now,
        name: &NodeName,
        session: Session,
    ) -> Result<(), Rejection> {
        self.connected(name, session)?;
        let until = self.lease_from(now.mono);
        let node = self.nodes.get_mut(name).expect("it is connected");
        let was_silent = now.mono - node.heard >= UNREACHABLE_AFTER;
        node.heard = now.mono;
        node.lease_until = until;
        if was_silent {
            self.queue.reconsider();
        }
        Ok(())
    }

    /// Ends what was not renewed. A late tick means that the master stood still, and renews everything instead.
    pub(super) fn tick(&mut self, now: Now, step: &mut Step) {
        let gap = now.mono - self.last_tick;
        self.last_tick = now.mono;
        if gap > LATE_TICK {
            return self.rebase(now.mono);
        }
        let silent_since = |node: &super::Node| now.mono - node.heard;
        if self.nodes.values().any(|node| {
            let silent = silent_since(node);
            silent >= UNREACHABLE_AFTER && silent < UNREACHABLE_AFTER + gap
        }) {
            self.queue.reconsider();
        }
        let ended: Vec<(NodeName, Vec<JobId>)> = self
            .nodes
            .iter()
            .filter(|(_, node)| now.mono >= node.lease_until && !node.jobs.is_empty())
            .map(|(name, node)| (name.clone(), node.jobs.iter().copied().collect()))
            .collect();
        for (name, jobs) in ended {
            for job in jobs {
                self.lost(
                    now,
                    job,
                    &format!("node {name} was not heard for the time of its lease"),
                    step,
                );
            }
        }
    }

    /// All leases are full from now on.
    pub(super) fn rebase(&mut self, now: Mono) {
        let until = self.lease_from(now);
        for node in self.nodes.values_mut() {
            node.lease_until = node.lease_until.max(until);
            if let Link::Connected(_) = node.link {
                node.heard = now;
            }
        }
    }

    /// The master stops on purpose: no job may end because of it.
    pub(super) fn planned_stop(&mut self, step: &mut Step) {
        if self.policy.lease == Lease::UntilReboot {
            return;
        }
        step.records.push(Record::LeaseGranted(PLANNED_STOP));
        for name in self.nodes.keys() {
            step.effects.push(Effect::Grant { node: name.clone(), span: PLANNED_STOP });
        }
    }

    pub(super) fn lease_from(&self, now: Mono) -> Mono {
        match self.policy.lease {
            Lease::Lasts(span) => now + span,
            Lease::UntilReboot => Mono(u64::MAX),
        }
    }

    /// The node's present connection is this one.
    pub(super) fn connected(&self, name: &NodeName, session: Session) -> Result<(), Rejection> {
        let node = self.nodes.get(name).ok_or_else(|| Rejection::UnknownNode(name.clone()))?;
        if node.link == Link::Connected(session) {
            Ok(())
        } else {
            Err(Rejection::OldSession(name.clone()))
        }
    }
}
