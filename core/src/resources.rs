//! What a job asks for and what a node has. Whole GPUs by id, worker slots, CPU in thousandths of a core, memory in bytes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::GpuId;

/// What one job takes while it runs. CPU and memory count only where the job asks for them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Demand {
    pub gpus: u32,
    /// Thousandths of a core; 0 = not asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu_milli: u64,
    /// Bytes; 0 = not asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// A GPU as a node registers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    pub id: GpuId,
    /// As nvidia-smi shows it.
    pub index: u32,
    pub model: String,
    /// Bytes.
    pub memory: u64,
}

/// What a node has when it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    pub slots: u32,
    pub gpus: Vec<Gpu>,
    pub cpu_milli: u64,
    pub memory: u64,
}

/// What is left of a node's capacity. Taken and given back by whole placements, so that it cannot drift.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Free {
    pub slots: u32,
    pub gpus: BTreeSet<GpuId>,
    pub cpu_milli: u64,
    pub memory: u64,
}

impl Capacity {
    pub fn free(&self) -> Free {
        Free {
            slots: self.slots,
            gpus: self.gpus.iter().map(|it| it.id.clone()).collect(),
            cpu_milli: self.cpu_milli,
            memory: self.memory,
        }
    }

    /// Whether `demand` would fit if nothing else ran here.
    pub fn fits(&self, demand: &Demand) -> bool {
        self.slots > 0
            && self.gpus.len() >= demand.gpus as usize
            && self.cpu_milli >= demand.cpu_milli
            && self.memory >= demand.memory
    }
}

impl Free {
    pub fn fits(&self, demand: &Demand) -> bool {
        self.slots > 0
            && self.gpus.len() >= demand.gpus as usize
            && self.cpu_milli >= demand.cpu_milli
            && self.memory >= demand.memory
    }

    /// Takes a slot, the first free GPUs in the order of their ids, CPU and memory. `None` = it does not fit.
    pub fn take(&mut self, demand: &Demand) -> Option<Vec<GpuId>> {
        if !self.fits(demand) {
            return None;
        }
        let gpus: Vec<GpuId> = self.gpus.iter().take(demand.gpus as usize).cloned().collect();
        self.take_these(demand, &gpus);
        Some(gpus)
    }

    /// Takes what a running placement holds already; a GPU that is no longer there is simply not free.
    pub fn take_these(&mut self, demand: &Demand, gpus: &[GpuId]) {
        self.slots = self.slots.saturating_sub(1);
        self.cpu_milli = self.cpu_milli.saturating_sub(demand.cpu_milli);
        self.memory = self.memory.saturating_sub(demand.memory);
        for gpu in gpus {
            self.gpus.remove(gpu);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(gpus: u32) -> Capacity {
        let gpu = |index| Gpu {
            id: format!("GPU-{index}").parse().unwrap(),
            index,
            model: String::new(),
            memory: 0,
        };
        Capacity { slots: 2, gpus: (0..gpus).map(gpu).collect(), cpu_milli: 4000, memory: 100 }
    }

    #[test]
    fn a_demand_takes_its_gpus_and_one_slot() {
        let mut free = capacity(4).free();
        let taken = free.take(&Demand { gpus: 3, cpu_milli: 1000, memory: 60 }).unwrap();
        assert_eq!(taken.len(), 3);
        assert_eq!((free.slots, free.gpus.len(), free.cpu_milli, free.memory), (1, 1, 3000, 40));
    }

    #[test]
    fn a_demand_that_does_not_fit_takes_nothing() {
        let mut free = capacity(1).free();
        let before = free.clone();
        for demand in [
            Demand { gpus: 2, ..Demand::default() },
            Demand { cpu_milli: 4001, ..Demand::default() },
            Demand { memory: 101, ..Demand::default() },
        ] {
            assert_eq!(free.take(&demand), None);
        }
        assert_eq!(free, before);
    }
}
