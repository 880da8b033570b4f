//! Choosing node and GPUs for the head of the queue, and saying why it waits: one function answers both.

use super::{Cluster, Job, Link, Node, Rejection, Step, UNREACHABLE_AFTER};
use crate::agent::{Assignment, Duty};
use crate::id::{JobId, NodeName};
use crate::job::{JobState, Placement};
use crate::outcome::{Cause, Outcome};
use crate::reason::Reason;
use crate::record::{JobEvent, Record};
use crate::resources::Demand;
use crate::spec::JobSpec;
use crate::time::{Mono, Now};

/// What is to be done about a waiting job.
pub(crate) enum Verdict {
    Place(NodeName),
    Wait(Reason),
    /// It fits no node that is known, and nobody said that it should wait.
    Impossible(String),
}

impl Cluster {
    /// Places from the head on until a job has to wait. Nobody overtakes it.
    pub(super) fn place(&mut self, now: Now, step: &mut Step) {
        while let Some((position, id)) = self.queue.next() {
            let job = &self.jobs[&id];
            match self.verdict(now.mono, job) {
                Verdict::Place(node) => self.assign(id, &node, step),
                Verdict::Wait(reason) if reason.blocks() => self.queue.head_waits(),
                Verdict::Wait(_) => self.queue.set_aside(position),
                Verdict::Impossible(why) => {
                    self.end_queued(now, id, Outcome::failed(Cause::Rejected, why), step);
                }
            }
        }
    }

    fn assign(&mut self, id: JobId, name: &NodeName, step: &mut Step) {
        let job = self.jobs.get_mut(&id).expect("the queue holds live jobs");
        let node = self.nodes.get_mut(name).expect("a verdict names a known node");
        let gpus = node.free.take(&job.spec.demand).expect("a verdict names a node that fits");
        node.jobs.insert(id);
        self.queue.remove(job.status.position);
        let attempt = job.status.attempt.next();
        let placement = Placement { node: name.clone(), gpus: gpus.clone(), attempt };
        let excluded = job.status.state.excluded().to_vec();
        job.status.attempt = attempt;
        job.status.state = JobState::Placed { placement, excluded };
        step.records.push(Record::JobChanged {
            id,
            event: JobEvent::Placed,
            status: job.status.clone(),
        });
        let assignment =
            Assignment { job: id, attempt, spec: job.spec.clone(), gpus, duty: Duty::Run };
        step.effects.push(super::Effect::Assign { node: name.clone(), assignment });
    }

    /// The predicate of placement.
    pub(super) fn verdict(&self, now: Mono, job: &Job) -> Verdict {
        if self.nodes.is_empty() {
            return Verdict::Wait(Reason::NoNodes);
        }
        let demand = &job.spec.demand;
        let could = |node: &Node| could_run(node, &job.spec) && !is_excluded(job, node);
        let (mut best, mut expected, mut away) = (None::<(_, &NodeName)>, None, None);
        for (name, node) in self.nodes.iter().filter(|(_, node)| could(node)) {
            match unavailable(node, now, self.settling_until) {
                Availability::Usable if node.free.fits(demand) => {
                    let rank = rank(node, demand);
                    if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                        best = Some((rank, name));
                    }
                }
                Availability::Usable | Availability::Expected => expected = expected.or(Some(name)),
                Availability::No(why) => away = away.or(Some((name, why))),
            }
        }
        if let Some((_, name)) = best {
            return Verdict::Place(name.clone());
        }
        if let Some(node) = expected {
            return Verdict::Wait(Reason::Busy { demand: *demand, node: node.clone() });
        }
        if let Some((node, why)) = away {
            return Verdict::Wait(Reason::NodeUnavailable { node: node.clone(), why });
        }
        let largest = self.largest();
        if job.spec.wait_for_capacity {
            return Verdict::Wait(Reason::NoCapacity { demand: *demand, largest });
        }
        Verdict::Impossible(format!("it needs {}; {largest}", needs(&job.spec)))
    }

    /// Refuses what no known node could ever run. While no node has ever joined, jobs wait.
    pub(super) fn refuse_impossible(&self, spec: &JobSpec) -> Result<(), Rejection> {
        let possible =
            self.nodes.is_empty() || self.nodes.values().any(|node| could_run(node, spec));
        if possible || spec.wait_for_capacity {
            return Ok(());
        }
        Err(Rejection::FitsNoNode { needs: needs(spec), largest: self.largest() })
    }

    /// Whether some node that is not excluded could run this job when it is empty.
    pub(super) fn another_node_could_run(&self, job: &Job) -> bool {
        self.nodes.values().any(|node| could_run(node, &job.spec) && !is_excluded(job, node))
    }

    /// Why a live job waits; `None` = it does not.
    pub fn reason(&self, now: Now, id: JobId) -> Option<Reason> {
        let job = self.jobs.get(&id)?;
        let JobState::Queued { .. } = job.status.state else { return None };
        match self.queue.head() {
            Some((head, other))
                if head < job.status.position && !self.queue.is_aside(job.status.position) =>
            {
                Some(Reason::Behind { head: other })
            }
            _ => match self.verdict(now.mono, job) {
                Verdict::Wait(reason) => Some(reason),
                // Placed or refused at the next look.
                Verdict::Place(node) => Some(Reason::Busy { demand: job.spec.demand, node }),
                Verdict::Impossible(largest) => {
                    Some(Reason::NoCapacity { demand: job.spec.demand, largest })
                }
            },
        }
    }

    /// The waiting jobs in order, with the reason of each.
    pub fn waiting(&self, now: Now) -> impl Iterator<Item = (JobId, Reason)> + '_ {
        self.queue.iter().filter_map(move |(_, id)| Some((id, self.reason(now, id)?)))
    }

    /// How many waiting jobs stand before this one.
    pub fn ahead_of(&self, id: JobId) -> Option<usize> {
        let job = self.jobs.get(&id)?;
        self.queue.contains(job.status.position).then(|| self.queue.ahead_of(job.status.position))
    }

    fn largest(&self) -> String {
        let largest = self.nodes.iter().max_by_key(|(_, node)| {
            let capacity = &node.record.spec.capacity;
            (capacity.gpus.len(), capacity.memory, capacity.cpu_milli, capacity.slots)
        });
        match largest {
            None => "there are no nodes".into(),
            Some((name, node)) => {
                let it = &node.record.spec.capacity;
                format!(
                    "the largest node, {name}, has {} GPU(s), {} CPU(s), {:.1} GB memory, {} slot(s)",
                    it.gpus.len(),
                    it.cpu_milli / 1000,
                    as_gb(it.memory),
                    it.slots
                )
            }
        }
    }
}

enum Availability {
    Usable,
    /// Not connected, but not gone for long enough to let others pass.
    Expected,
    No(String),
}

fn unavailable(node: &Node, now: Mono, settling_until: Mono) -> Availability {
    if let Some(reason) = &node.record.cordoned {
        return Availability::No(format!("is cordoned: {reason}"));
    }
    let silent = now - node.heard;
    match node.link {
        Link::Connected(_) if silent < UNREACHABLE_AFTER => Availability::Usable,
        _ if silent < UNREACHABLE_AFTER || now < settling_until => Availability::Expected,
        _ => Availability::No(format!("was last heard {} s ago", silent.0 / 1000)),
    }
}

/// Best fit: GPU jobs leave the fewest GPUs, then slots; others leave GPU nodes alone and spread over slots. Lower is better;
/// equal ranks go by name, which is the order of the map.
fn rank(node: &Node, demand: &Demand) -> (usize, u32) {
    let slots = if demand.gpus > 0 { node.free.slots } else { u32::MAX - node.free.slots };
    (node.free.gpus.len(), slots)
}

fn could_run(node: &Node, spec: &JobSpec) -> bool {
    node.record.spec.capacity.fits(&spec.demand) && node.record.spec.allows(&spec.worker.volumes)
}

fn is_excluded(job: &Job, node: &Node) -> bool {
    job.status.state.excluded().iter().any(|it| it.node == node.record.spec.name)
}

fn needs(spec: &JobSpec) -> String {
    let mut text = spec.demand.to_string();
    for volume in &spec.worker.volumes {
        text.push_str(&format!(
            ", volume {}{}",
            volume.host,
            if volume.read_only { ":ro" } else { "" }
        ));
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn as_gb(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
