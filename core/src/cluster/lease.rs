//! Leases: durations on a monotonic clock, renewed by heartbeats, never stored.

use super::nodes::{Link, Reach};
use super::{
    Cluster, Effect, LATE_TICK, Lease, PLANNED_STOP, Rejection, Session, Step, UNREACHABLE_AFTER,
};
use crate::id::{JobId, NodeName};
use crate::record::Record;
use crate::time::{Millis, Mono, Now};

impl Cluster {
    /// Renews the lease of everything that the node holds. Makes no record: what becomes possible is looked at with the next tick.
    pub(super) fn heartbeat(
        &mut self,
        now: Now,
        name: &NodeName,
        session: Session,
    ) -> Result<(), Rejection> {
        self.connected(name, session)?;
        let until = self.lease_from(now.mono);
        let node = self.nodes.get_mut(name).expect("it is connected");
        node.heard = now.mono;
        // The node has heard its list in this session, so it counts by this session's leases, and an older grant is void.
        node.lease_until = until;
        node.granted = false;
        if let Some(arrival) = &mut node.arrival {
            arrival.confirmed = true;
        }
        if node.reach != Reach::Here {
            node.reach = Reach::Here;
            self.list(name);
            self.queue.reconsider();
        }
        Ok(())
    }

    /// Ends what was not renewed. A late tick means that the master stood still, and renews everything instead.
    pub(super) fn tick(&mut self, now: Now, step: &mut Step) {
        let late = now.mono - self.last_tick > LATE_TICK;
        self.last_tick = now.mono;
        if late {
            self.rebase(now.mono);
        }
        self.settle_arrivals(now, step);
        self.expire(now, step);
        self.give_up_silent(now, step);
        self.look_around(now.mono);
        let counted = self.stopping.is_some() || self.nodes.values().any(|node| node.granted);
        if self.grant_stored && !counted {
            self.grant_stored = false;
            step.records.push(Record::LeaseGranted(Millis(0)));
        }
    }

    /// All leases are full from now on, and the time that stood still is nobody's silence.
    fn rebase(&mut self, now: Mono) {
        let until = self.lease_from(now);
        self.outside.values_mut().for_each(|heard| *heard = now);
        for node in self.nodes.values_mut() {
            node.lease_until = node.lease_until.max(until);
            if node.reach != Reach::Gone {
                node.heard = now;
            }
        }
    }

    /// What a node held when its lease ended is free to be placed again: its supervisors have stopped it before.
    fn expire(&mut self, now: Now, step: &mut Step) {
        let expired = |node: &super::Node| {
            now.mono >= node.lease_until
                && (node.link != Link::Away || node.jobs().next().is_some())
        };
        let names: Vec<NodeName> =
            self.nodes.iter().filter(|it| expired(it.1)).map(|it| it.0.clone()).collect();
        for name in names {
            let node = self.nodes.get_mut(&name).expect("it was just there");
            // Nothing that the old connection still says counts: the node must hear a new list before it starts anything.
            node.link = Link::Away;
            node.granted = false;
            self.lose_all(
                now,
                &name,
                &format!("node {name} was not heard for the time of its lease"),
                step,
            );
        }
    }

    pub(super) fn lose_all(&mut self, now: Now, name: &NodeName, why: &str, step: &mut Step) {
        let jobs: Vec<JobId> = self.nodes[name].jobs().collect();
        for job in jobs {
            self.lost(now, job, why, step);
        }
    }

    /// Notices who has been silent for too long. Placement knows nodes as they were found here, at joining or at leaving.
    fn look_around(&mut self, now: Mono) {
        let mut changed = Vec::new();
        for (name, node) in &mut self.nodes {
            let silent = now - node.heard;
            let reach = match node.link {
                Link::Connected(_) if silent < UNREACHABLE_AFTER => Reach::Here,
                _ if silent < UNREACHABLE_AFTER || now < self.settling_until => Reach::Expected,
                _ => Reach::Gone,
            };
            if node.reach != reach {
                node.reach = reach;
                changed.push(name.clone());
            }
        }
        for name in &changed {
            self.list(name);
        }
        if !changed.is_empty() {
            self.queue.reconsider();
        }
    }

    /// The master stops on purpose: no job may end because of it. The grant stays stored until no node counts by it any more.
    pub(super) fn planned_stop(&mut self, now: Now, step: &mut Step) {
        let Lease::Lasts(span) = self.policy.lease else { return };
        let span = span.max(PLANNED_STOP);
        self.stopping = Some(span);
        self.grant_stored = true;
        self.rebase(now.mono);
        step.records.push(Record::LeaseGranted(span));
        for name in self.nodes.keys() {
            step.effects.push(Effect::Grant { node: name.clone(), span });
        }
    }

    pub(super) fn lease_from(&self, now: Mono) -> Mono {
        match self.policy.lease {
            Lease::Lasts(span) => now + self.stopping.unwrap_or(span),
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
