//! The nodes that take jobs now, in the order in which jobs prefer them: an answer without a look at every node.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::NodeName;
use crate::resources::{Demand, Free};

/// Free GPUs → free slots → names. Only nodes with a free slot are here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Open {
    nodes: BTreeMap<usize, BTreeMap<u32, BTreeSet<NodeName>>>,
}

/// Where a node stands in [`Open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rank {
    gpus: usize,
    slots: u32,
}

impl Rank {
    /// `None` = no slot is free.
    pub fn of(free: &Free) -> Option<Self> {
        (free.slots > 0).then_some(Self { gpus: free.gpus.len(), slots: free.slots })
    }
}

impl Open {
    pub fn insert(&mut self, rank: Rank, name: NodeName) {
        let slots = self.nodes.entry(rank.gpus).or_default();
        slots.entry(rank.slots).or_default().insert(name);
    }

    pub fn remove(&mut self, rank: Rank, name: &NodeName) {
        let Some(by_slots) = self.nodes.get_mut(&rank.gpus) else { return };
        if let Some(names) = by_slots.get_mut(&rank.slots) {
            names.remove(name);
            if names.is_empty() {
                by_slots.remove(&rank.slots);
            }
        }
        if by_slots.is_empty() {
            self.nodes.remove(&rank.gpus);
        }
    }

    /// Best fit first. GPU jobs leave the fewest GPUs, then slots; others leave GPU nodes alone and spread over slots; then by name.
    pub fn preferred(&self, demand: &Demand) -> impl Iterator<Item = &NodeName> {
        let wants_gpus = demand.gpus > 0;
        let by_slots = self.nodes.range(demand.gpus as usize..).map(|(_, by_slots)| by_slots);
        by_slots.flat_map(move |by_slots| {
            let (up, down) = if wants_gpus {
                (Some(by_slots.values()), None)
            } else {
                (None, Some(by_slots.values().rev()))
            };
            up.into_iter().flatten().chain(down.into_iter().flatten()).flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nodes_are_preferred_as_a_look_at_every_one_would_say(
            nodes in prop::collection::vec((0..4usize, 1..4u32), 0..12),
            gpus in 0..4u32,
        ) {
            let named = nodes.iter().enumerate().map(|(at, (gpus, slots))| {
                let name: NodeName = format!("n{at:02}").parse().unwrap();
                (Rank { gpus: *gpus, slots: *slots }, name)
            });
            let mut named: Vec<_> = named.collect();
            let mut open = Open::default();
            named.iter().cloned().for_each(|(rank, name)| open.insert(rank, name));
            named.retain(|(rank, _)| rank.gpus >= gpus as usize);
            named.sort_by_key(|(rank, name)| {
                let slots = if gpus > 0 { rank.slots } else { u32::MAX - rank.slots };
                (rank.gpus, slots, name.clone())
            });
            let demand = Demand { gpus, ..Demand::default() };
            prop_assert!(open.preferred(&demand).eq(named.iter().map(|it| &it.1)));
            for (rank, name) in &named {
                open.remove(*rank, name);
            }
            prop_assert_eq!(open.preferred(&demand).count(), 0);
        }
    }
}
