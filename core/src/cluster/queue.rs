//! The global queue: one order for all, and a line for each kind of job, so that what holds for one job of a kind is decided once.
//! A line that is set aside keeps its jobs' positions and does not block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::id::{JobId, NodeName, Position};
use crate::job::Exclusion;
use crate::node::NodeSpec;
use crate::resources::Demand;
use crate::spec::{JobSpec, Volume};

/// All that placement asks of a job: two jobs of one class fit the same nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    pub demand: Demand,
    pub volumes: Vec<Volume>,
    pub excluded: Vec<NodeName>,
    pub wait_for_capacity: bool,
}

impl Class {
    pub fn of(spec: &JobSpec, excluded: &[Exclusion]) -> Self {
        let mut excluded: Vec<_> = excluded.iter().map(|it| it.node.clone()).collect();
        excluded.sort_unstable();
        Self {
            demand: spec.demand,
            volumes: spec.worker.volumes.clone(),
            excluded,
            wait_for_capacity: spec.wait_for_capacity,
        }
    }

    /// Whether this node could run such a job when it is empty.
    pub fn could_run_on(&self, node: &NodeSpec) -> bool {
        node.capacity.fits(&self.demand)
            && (self.volumes.is_empty() || node.allows(&self.volumes))
            && !self.excluded.contains(&node.name)
    }
}

/// Positions that are counted together, so that nobody has to count a million jobs to say how many stand before one.
const BUCKET: u64 = 1024;

#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    all: BTreeMap<Position, JobId>,
    /// How many of them have positions in each bucket that has any.
    buckets: BTreeMap<u64, usize>,
    lines: BTreeMap<Arc<Class>, Line>,
    /// The first job of each line that is not set aside.
    heads: BTreeMap<Position, Arc<Class>>,
    /// The head was looked at and nothing that could change the answer has happened since.
    head_waits: bool,
}

#[derive(Clone, Debug, Default)]
struct Line {
    waiting: BTreeSet<Position>,
    aside: bool,
}

impl Queue {
    pub fn insert(&mut self, position: Position, job: JobId, class: Class) {
        if self.all.insert(position, job).is_none() {
            *self.buckets.entry(position.0 / BUCKET).or_default() += 1;
        }
        let class = match self.lines.get_key_value(&class) {
            Some((known, _)) => known.clone(),
            None => Arc::new(class),
        };
        let line = self.lines.entry(class.clone()).or_default();
        let first = line.waiting.first().copied();
        line.waiting.insert(position);
        if line.aside || first.is_some_and(|it| it < position) {
            return;
        }
        if let Some(first) = first {
            self.heads.remove(&first);
        }
        self.heads.insert(position, class);
        if self.heads.keys().next() == Some(&position) {
            self.head_waits = false;
        }
    }

    pub fn remove(&mut self, position: Position, class: &Class) {
        if self.all.remove(&position).is_some() {
            self.uncount(position);
        }
        let Some(line) = self.lines.get_mut(class) else { return };
        line.waiting.remove(&position);
        let next = line.waiting.first().copied();
        if self.heads.keys().next() == Some(&position) {
            self.head_waits = false;
        }
        if let Some(class) = self.heads.remove(&position)
            && let Some(next) = next
        {
            self.heads.insert(next, class);
        }
        if next.is_none() {
            self.lines.remove(class);
        }
    }

    fn uncount(&mut self, position: Position) {
        let bucket = position.0 / BUCKET;
        if let Some(count) = self.buckets.get_mut(&bucket) {
            *count -= 1;
            if *count == 0 {
                self.buckets.remove(&bucket);
            }
        }
    }

    /// The head, unless it is known to wait.
    pub fn next(&self) -> Option<(JobId, Arc<Class>)> {
        if self.head_waits {
            return None;
        }
        let (position, class) = self.heads.first_key_value()?;
        Some((self.all[position], class.clone()))
    }

    /// The first waiting job that is not set aside.
    pub fn head(&self) -> Option<(Position, JobId)> {
        self.heads.first_key_value().map(|(position, _)| (*position, self.all[position]))
    }

    pub fn head_waits(&mut self) {
        self.head_waits = true;
    }

    /// Whether the head was looked at since something changed.
    pub fn is_settled(&self) -> bool {
        self.head_waits || self.heads.is_empty()
    }

    /// Resources were freed: the head may fit now.
    pub fn look_again(&mut self) {
        self.head_waits = false;
    }

    /// Jobs of this class do not block any more, until the nodes change.
    pub fn set_aside(&mut self, class: &Class) {
        if let Some(line) = self.lines.get_mut(class) {
            line.aside = true;
            if let Some(first) = line.waiting.first() {
                self.heads.remove(first);
            }
        }
        self.head_waits = false;
    }

    /// The nodes changed: whoever was set aside is looked at anew, at its old position.
    pub fn reconsider(&mut self) {
        for (class, line) in self.lines.iter_mut().filter(|(_, line)| line.aside) {
            line.aside = false;
            if let Some(first) = line.waiting.first() {
                self.heads.insert(*first, class.clone());
            }
        }
        self.head_waits = false;
    }

    pub fn is_aside(&self, class: &Class) -> bool {
        self.lines.get(class).is_some_and(|line| line.aside)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn contains(&self, position: Position) -> bool {
        self.all.contains_key(&position)
    }

    /// All waiting jobs in order.
    pub fn iter(&self) -> impl Iterator<Item = (Position, JobId)> + '_ {
        self.all.iter().map(|(position, job)| (*position, *job))
    }

    /// The waiting jobs before this position.
    pub fn ahead_of(&self, position: Position) -> usize {
        let bucket = position.0 / BUCKET;
        let before: usize = self.buckets.range(..bucket).map(|(_, count)| count).sum();
        before + self.all.range(Position(bucket * BUCKET)..position).count()
    }

    /// Whether lines and heads say the same as the one order. For the invariant check.
    pub fn is_consistent(&self) -> bool {
        let lined: BTreeSet<Position> =
            self.lines.values().flat_map(|line| line.waiting.iter().copied()).collect();
        let expected = |(class, line): (&Arc<Class>, &Line)| {
            let first = (!line.aside).then(|| line.waiting.first().copied()).flatten();
            first.map(|first| (first, class.clone()))
        };
        let heads: BTreeMap<Position, Arc<Class>> =
            self.lines.iter().filter_map(expected).collect();
        lined.iter().eq(self.all.keys())
            && self.buckets.values().sum::<usize>() == self.all.len()
            && heads == self.heads
            && self.lines.values().all(|line| !line.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(gpus: u32) -> Class {
        let demand = Demand { gpus, ..Demand::default() };
        Class { demand, volumes: Vec::new(), excluded: Vec::new(), wait_for_capacity: false }
    }

    fn job(number: u8) -> JobId {
        JobId::from_random([number; 16])
    }

    /// What the queue should say, without any cleverness.
    #[derive(Default)]
    struct Plain {
        all: BTreeMap<Position, (JobId, u32)>,
        aside: BTreeSet<u32>,
    }

    impl Plain {
        fn head(&self) -> Option<(Position, JobId)> {
            let is_head = |it: &(&Position, &(JobId, u32))| !self.aside.contains(&it.1.1);
            self.all.iter().find(is_head).map(|(position, (job, _))| (*position, *job))
        }
    }

    proptest! {
        #[test]
        fn a_queue_of_lines_is_a_queue(
            steps in prop::collection::vec((0..5u8, 0..6000u64, 0..3u32, any::<u8>()), 0..80)
        ) {
            let (mut queue, mut plain) = (Queue::default(), Plain::default());
            for (what, position, kind, number) in steps {
                let position = Position(position);
                match what {
                    0..=1 if !plain.all.contains_key(&position) => {
                        queue.insert(position, job(number), class(kind));
                        plain.all.insert(position, (job(number), kind));
                    }
                    2 => {
                        if let Some((at, (_, kind))) = plain.all.range(position..).next() {
                            let (at, kind) = (*at, *kind);
                            queue.remove(at, &class(kind));
                            plain.all.remove(&at);
                            // A line that is empty is forgotten, and with it that it was set aside.
                            if !plain.all.values().any(|it| it.1 == kind) {
                                plain.aside.remove(&kind);
                            }
                        }
                    }
                    3 if plain.all.values().any(|it| it.1 == kind) => {
                        queue.set_aside(&class(kind));
                        plain.aside.insert(kind);
                    }
                    4 => {
                        queue.reconsider();
                        plain.aside.clear();
                    }
                    _ => {}
                }
                prop_assert!(queue.is_consistent());
                prop_assert_eq!(queue.head(), plain.head());
                prop_assert_eq!(queue.ahead_of(position), plain.all.range(..position).count());
            }
        }
    }
}
