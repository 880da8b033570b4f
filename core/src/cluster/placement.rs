//! Choosing node and GPUs for the head of the queue, and saying why it waits: one function answers both.

use super::nodes::Reach;
use super::queue::Class;
use super::{Cluster, ENDED_PER_STEP, Effect, Job, Node, Rejection, Step};
use crate::agent::{Assignment, Duty, Work};
use crate::id::{JobId, NodeName};
use crate::job::{JobState, Placement};
use crate::outcome::{Cause, Outcome};
use crate::reason::Reason;
use crate::record::{JobEvent, Record};
use crate::spec::{JobSpec, Volume};
use crate::time::{Mono, Now};

/// What is to be done about a waiting job.
pub(crate) enum Verdict {
    Place(NodeName),
    Wait(Reason),
    /// It fits no node that is known, for this reason, and nobody said that it should wait.
    Impossible(String),
}

impl Cluster {
    /// Places from the head on until a job has to wait. Nobody overtakes it.
    pub(super) fn place(&mut self, now: Now, step: &mut Step) {
        let mut ended = 0;
        while let Some((id, class)) = self.queue.next() {
            match self.verdict(now.mono, &class) {
                Verdict::Place(node) => self.assign(id, &class, &node, step),
                Verdict::Wait(reason) if reason.blocks() => self.queue.head_waits(),
                Verdict::Wait(_) => self.queue.set_aside(&class),
                // A GPU that is missing since its node was restarted may be back tomorrow.
                Verdict::Impossible(_) if !self.node_removed => self.queue.set_aside(&class),
                // The rest follows with the next input.
                Verdict::Impossible(_) if ended == ENDED_PER_STEP => return,
                Verdict::Impossible(lack) => {
                    ended += 1;
                    let needs = format!("it needs {}; {lack}", needs(&class));
                    let why = self.jobs[&id].last_exclusion().unwrap_or(needs);
                    self.end_queued(now, id, Outcome::failed(Cause::Rejected, why), step);
                }
            }
        }
        self.node_removed = false;
    }

    fn assign(&mut self, id: JobId, class: &Class, name: &NodeName, step: &mut Step) {
        let job = self.jobs.get_mut(&id).expect("the queue holds live jobs");
        let node = self.nodes.get_mut(name).expect("a verdict names a known node");
        let gpus = node.free.take(&job.spec.demand).expect("a verdict names a node that fits");
        node.running.insert(id);
        self.queue.remove(job.status.position, class);
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
        let (spec, sealed) = (job.spec.clone(), job.status.sealed.clone());
        let duty = Duty::Run(Work { spec, gpus, sealed });
        let assignment = Assignment { job: id, attempt, duty };
        step.effects.push(Effect::Assign { node: name.clone(), assignment });
        self.list(name);
    }

    /// The predicate of placement. `now` is for the words alone.
    pub(super) fn verdict(&self, now: Mono, class: &Class) -> Verdict {
        let fits = |name: &&NodeName| {
            let node = &self.nodes[*name];
            node.free.fits(&class.demand) && class.could_run_on(&node.record.spec)
        };
        match self.open.preferred(&class.demand).find(fits) {
            Some(name) => Verdict::Place(name.clone()),
            None => self.hindrance(now, class),
        }
    }

    /// Why no node takes such a job now.
    fn hindrance(&self, now: Mono, class: &Class) -> Verdict {
        if self.nodes.is_empty() {
            return Verdict::Wait(Reason::NoNodes);
        }
        let mut away = None;
        for (name, node) in &self.nodes {
            if !class.could_run_on(&node.record.spec) {
                continue;
            }
            if node.is_schedulable() {
                return Verdict::Wait(Reason::Busy { demand: class.demand, node: name.clone() });
            }
            away = away.or(Some((name, node)));
        }
        if let Some((name, node)) = away {
            let why = node.absence(now);
            return Verdict::Wait(Reason::NodeUnavailable { node: name.clone(), why });
        }
        let lack = self.lack(class);
        if class.wait_for_capacity {
            return Verdict::Wait(Reason::NoCapacity { needs: needs(class), lack });
        }
        Verdict::Impossible(lack)
    }

    /// Refuses what no known node could ever run. While no node has ever joined, jobs wait.
    pub fn refuse_impossible(&self, spec: &JobSpec) -> Result<(), Rejection> {
        let class = Class::of(spec, &[]);
        if self.nodes.is_empty() || spec.wait_for_capacity || self.could_run(&class) {
            return Ok(());
        }
        Err(Rejection::FitsNoNode { needs: needs(&class), lack: self.lack(&class) })
    }

    /// Whether some known node could run such a job when it is empty.
    pub(super) fn could_run(&self, class: &Class) -> bool {
        self.nodes.values().any(|node| class.could_run_on(&node.record.spec))
    }

    /// Lists the node among those that take jobs, or takes it off the list. To be called whenever what it has free changed, or
    /// whether it may be used.
    pub(super) fn list(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let rank = node.rank();
        let before = std::mem::replace(&mut node.listed, rank);
        if before == rank {
            return;
        }
        if let Some(before) = before {
            self.open.remove(before, name);
        }
        if let Some(rank) = rank {
            self.open.insert(rank, name.clone());
        }
    }

    /// Why a live job waits; `None` = it does not.
    pub fn reason(&self, now: Now, id: JobId) -> Option<Reason> {
        let job = self.jobs.get(&id)?;
        let JobState::Queued { .. } = job.status.state else { return None };
        let class = job.class();
        if let Some((position, head)) = self.queue.head()
            && position < job.status.position
            && !self.queue.is_aside(&class)
        {
            return Some(Reason::Behind { head });
        }
        Some(match self.verdict(now.mono, &class) {
            Verdict::Wait(reason) => reason,
            // Placed or refused at the next look.
            Verdict::Place(node) => Reason::Busy { demand: class.demand, node },
            Verdict::Impossible(lack) => {
                let lack = job.last_exclusion().unwrap_or(lack);
                Reason::NoCapacity { needs: needs(&class), lack }
            }
        })
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

    /// What no node has that such a job needs: the leave to mount its volumes, or the size.
    fn lack(&self, class: &Class) -> String {
        let bare = Class { volumes: Vec::new(), ..class.clone() };
        let able: Vec<_> = self.nodes.values().map(|node| &node.record.spec).collect();
        let able: Vec<_> = able.into_iter().filter(|it| bare.could_run_on(it)).collect();
        if class.volumes.is_empty() || able.is_empty() {
            return self.largest();
        }
        let allowed_nowhere =
            |it: &&Volume| !able.iter().any(|node| node.allows(std::slice::from_ref(*it)));
        match class.volumes.iter().find(allowed_nowhere) {
            Some(volume) => format!(
                "no node that is large enough allows volume {} (--allow-volume of its agent)",
                volume_text(volume)
            ),
            None => "no node that is large enough allows all of its volumes".into(),
        }
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

impl Node {
    /// Here, or away for so short that its jobs' place is kept.
    fn is_schedulable(&self) -> bool {
        self.reach != Reach::Gone && self.cordon().is_none()
    }

    fn absence(&self, now: Mono) -> String {
        // What a node that is gone last said of itself is no news.
        let counts = self.record.cordoned.is_some() || self.reach != Reach::Gone;
        match self.cordon().filter(|_| counts) {
            Some(reason) => format!("is cordoned: {reason}"),
            None => format!("was last heard {} s ago", (now - self.heard).0 / 1000),
        }
    }
}

impl Job {
    pub(super) fn class(&self) -> Class {
        Class::of(&self.spec, self.status.state.excluded())
    }

    fn last_exclusion(&self) -> Option<String> {
        let last = self.status.state.excluded().last()?;
        Some(format!("it could not start on {}: {}", last.node, last.reason))
    }
}

fn needs(class: &Class) -> String {
    let mut text = class.demand.to_string();
    for volume in &class.volumes {
        text.push_str(&format!(", volume {}", volume_text(volume)));
    }
    text
}

fn volume_text(volume: &Volume) -> String {
    format!("{}{}", volume.host, if volume.read_only { ":ro" } else { "" })
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn as_gb(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
