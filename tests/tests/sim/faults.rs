//! What goes wrong, how often, and how badly.

use atlas_core::cluster::{Lease, Policy};
use atlas_core::node::Condition;
use atlas_core::time::Millis;

use crate::rng::Rng;
use crate::schedule::{Event, NodeId};
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    BreakConnection,
    CutNetwork,
    SlowNetwork,
    MasterCrash,
    MasterStall,
    PlannedStop,
    StoreTrouble,
    AgentCrash,
    AgentStall,
    MachineCrash,
    DiskReplaced,
    SupervisorKilled,
    NodeUnfit,
    NodeTroubled,
    WallStep,
}

/// The kind of world that a seed is.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub policy: Policy,
    pub grace: Millis,
    pub machines: u64,
    pub jobs: u64,
    /// Jobs come and faults strike for so long.
    pub lasts: u64,
    /// What strikes, and how many milliseconds apart on average.
    pub faults: Vec<(Fault, u64)>,
    pub agent_down: u64,
    pub master_down: u64,
    pub planned_down: u64,
    pub stall: u64,
    pub cut: u64,
    pub machine_down: u64,
    /// Every outage is shorter than lease − grace − margin: no job may be touched.
    pub loses_nothing: bool,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

impl Setup {
    pub fn of(seed: u64, rng: &mut Rng) -> Self {
        match seed % crate::KINDS {
            0 => Self::storm(rng),
            1 => Self::bad_network(rng),
            2 => Self::short_outages(rng),
            3 => Self::planned_stops(rng),
            _ => Self::one_machine(rng),
        }
    }

    fn base(rng: &mut Rng, name: &'static str, lease: Lease) -> Self {
        let grace = Millis(5 * SECOND);
        Self {
            name,
            policy: Policy { lease, grace, max_lost: 3 },
            grace,
            machines: rng.between(2, 5),
            jobs: rng.between(10, 40),
            lasts: rng.between(3 * MINUTE, 10 * MINUTE),
            faults: Vec::new(),
            agent_down: 90 * SECOND,
            master_down: 90 * SECOND,
            planned_down: 20 * MINUTE,
            stall: 100 * SECOND,
            cut: 2 * MINUTE,
            machine_down: 3 * MINUTE,
            loses_nothing: false,
        }
    }

    /// Everything at once; how much of each is chance.
    fn storm(rng: &mut Rng) -> Self {
        let all = [
            Fault::BreakConnection,
            Fault::CutNetwork,
            Fault::SlowNetwork,
            Fault::MasterCrash,
            Fault::MasterStall,
            Fault::PlannedStop,
            Fault::StoreTrouble,
            Fault::AgentCrash,
            Fault::AgentStall,
            Fault::MachineCrash,
            Fault::DiskReplaced,
            Fault::SupervisorKilled,
            Fault::NodeUnfit,
            Fault::NodeTroubled,
            Fault::WallStep,
        ];
        let apart = [0, 20 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE];
        let faults = all.map(|it| (it, rng.pick(&apart))).into_iter().filter(|it| it.1 > 0);
        let lease = Lease::Lasts(Millis(rng.pick(&[30, 60, 120]) * SECOND));
        Self { faults: faults.collect(), ..Self::base(rng, "storm", lease) }
    }

    /// Leases end all the time, on machines that are well.
    fn bad_network(rng: &mut Rng) -> Self {
        let faults = vec![
            (Fault::BreakConnection, 30 * SECOND),
            (Fault::CutNetwork, 30 * SECOND),
            (Fault::SlowNetwork, MINUTE),
            (Fault::AgentStall, MINUTE),
            (Fault::MasterStall, 2 * MINUTE),
        ];
        Self { faults, ..Self::base(rng, "bad network", Lease::Lasts(Millis(30 * SECOND))) }
    }

    /// What users are promised: no running job is touched.
    fn short_outages(rng: &mut Rng) -> Self {
        let faults = vec![
            (Fault::BreakConnection, 30 * SECOND),
            (Fault::CutNetwork, MINUTE),
            (Fault::SlowNetwork, 2 * MINUTE),
            (Fault::MasterCrash, MINUTE),
            (Fault::MasterStall, MINUTE),
            (Fault::PlannedStop, 2 * MINUTE),
            (Fault::StoreTrouble, MINUTE),
            (Fault::AgentCrash, MINUTE),
            (Fault::AgentStall, MINUTE),
            (Fault::NodeTroubled, MINUTE),
            (Fault::WallStep, MINUTE),
        ];
        Self {
            faults,
            agent_down: 30 * SECOND,
            master_down: 30 * SECOND,
            stall: 45 * SECOND,
            cut: 30 * SECOND,
            loses_nothing: true,
            // Several of them one upon the other stay below it.
            ..Self::base(rng, "short outages", Lease::Lasts(Millis(20 * MINUTE)))
        }
    }

    /// Nodes that count by a grant of an hour, while the master that is back counts by a short lease.
    fn planned_stops(rng: &mut Rng) -> Self {
        let faults = vec![
            (Fault::PlannedStop, 40 * SECOND),
            (Fault::MasterCrash, 40 * SECOND),
            (Fault::CutNetwork, 15 * SECOND),
            (Fault::BreakConnection, 15 * SECOND),
            (Fault::SlowNetwork, MINUTE),
        ];
        let base = Self::base(rng, "planned stops", Lease::Lasts(Millis(30 * SECOND)));
        Self { faults, planned_down: 20 * SECOND, master_down: 5 * SECOND, ..base }
    }

    /// `atlas up`: master and node live and die with their machine.
    fn one_machine(rng: &mut Rng) -> Self {
        let faults = vec![
            (Fault::MasterCrash, MINUTE),
            (Fault::AgentCrash, MINUTE),
            (Fault::MachineCrash, 2 * MINUTE),
            (Fault::MasterStall, 2 * MINUTE),
            (Fault::AgentStall, 2 * MINUTE),
            (Fault::StoreTrouble, 2 * MINUTE),
            (Fault::SupervisorKilled, 2 * MINUTE),
            (Fault::PlannedStop, 3 * MINUTE),
        ];
        let base = Self::base(rng, "one machine", Lease::UntilReboot);
        Self { faults, machines: 1, ..base }
    }
}

impl World {
    /// The next time that this fault strikes.
    pub fn schedule_fault(&mut self, fault: Fault, apart: u64) {
        let after = self.rng.between(1, 2 * apart);
        if self.now + after < self.setup.lasts {
            self.schedule.at(self.now + after, Event::Strikes { fault });
        }
    }

    pub fn strikes(&mut self, fault: Fault) {
        let apart = self.setup.faults.iter().find(|it| it.0 == fault).map(|it| it.1);
        self.schedule_fault(fault, apart.expect("it is one of this world's"));
        let node = self.rng.below(self.machines.len() as u64) as usize;
        self.trace(|it| format!("!! {fault:?} ({})", it.machines[node].spec.name));
        match fault {
            Fault::BreakConnection => {
                for conn in self.net.of_node(node) {
                    self.break_conn(conn);
                }
            }
            Fault::CutNetwork => self.cut_network(node),
            Fault::SlowNetwork => self.slow_until = self.now + self.rng.between(1, 30 * SECOND),
            Fault::MasterCrash => {
                let back_after = self.rng.between(500, self.setup.master_down);
                self.master_dies(back_after);
            }
            Fault::MasterStall => {
                let until = self.now + self.rng.between(SECOND, self.setup.stall);
                self.master.stalled_until = self.master.stalled_until.max(until);
            }
            Fault::PlannedStop => self.planned_stop(),
            Fault::StoreTrouble => {
                self.master.store_trouble_until = self.now + self.rng.between(SECOND, 20 * SECOND);
            }
            Fault::AgentCrash => self.agent_crashes(node),
            Fault::AgentStall => {
                let until = self.now + self.rng.between(SECOND, self.setup.stall);
                if let Some(agent) = &mut self.machines[node].agent {
                    agent.stalled_until = agent.stalled_until.max(until);
                }
            }
            Fault::MachineCrash => self.power_cut(node, false),
            Fault::DiskReplaced => self.power_cut(node, true),
            Fault::SupervisorKilled => self.kill_a_supervisor(node),
            Fault::NodeUnfit => {
                self.machines[node].unfit_until = self.now + self.rng.between(SECOND, MINUTE);
            }
            Fault::NodeTroubled => {
                let condition = self.rng.pick(&Condition::ALL);
                self.finds(node, condition, Some("as told".into()));
                let back_after = self.rng.between(SECOND, 2 * MINUTE);
                self.schedule.at(self.now + back_after, Event::Recovers { node, condition });
            }
            Fault::WallStep => {
                let by = self.rng.between(0, 7_200_000) as i64 - 3_600_000;
                self.machines[node].step_wall(by);
                self.step_master_wall(-by);
            }
        }
    }

    fn cut_network(&mut self, node: NodeId) {
        self.machines[node].cut_until = self.now + self.rng.between(SECOND, self.setup.cut);
        for conn in self.net.of_node(node) {
            self.cut_conn(conn);
        }
    }

    fn power_cut(&mut self, node: NodeId, disk_replaced: bool) {
        if self.machines[node].boot.is_none() {
            return;
        }
        self.machine_crashes(node);
        if disk_replaced {
            let life = self.new_life();
            let machine = &mut self.machines[node];
            machine.spec.identity = format!("disk-{life}");
            let keys: Vec<_> = machine.disk.keys().copied().collect();
            machine.disk.clear();
            keys.into_iter().for_each(|key| self.judge.disk_forgot(key));
        }
        let after = self.rng.between(2 * SECOND, self.setup.machine_down);
        self.schedule.at(self.now + after, Event::Boots { node });
        if self.setup.policy.lease == Lease::UntilReboot {
            self.master_dies(after + 500);
        }
    }

    /// With its job, and without an exit: as the kernel does when memory is short.
    fn kill_a_supervisor(&mut self, node: NodeId) {
        let Some(key) = self.machines[node].supervisors.keys().next().copied() else { return };
        self.process_gone(node, key);
        self.judge.saw("supervisor killed");
        let Some(life) = self.machines[node].agent.as_ref().map(|it| it.life) else { return };
        self.schedule.at(self.now + 10, Event::Notice { node, life, key });
    }
}
