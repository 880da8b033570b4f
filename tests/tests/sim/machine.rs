//! A machine: its clock, its disk, and the supervisors that outlive the agent.

use std::collections::BTreeMap;

use atlas_core::agent::{Exit, ExitKind, Report};
use atlas_core::node::{NodeSpec, Troubles};
use atlas_core::time::Millis;
use atlas_core::{Cause, Mono, Timestamp};

use crate::agent::AgentProcess;
use crate::schedule::{Because, Event, Key, Life, NodeId};
use crate::world::World;

pub struct Machine {
    pub spec: NodeSpec,
    /// `None` = it is off.
    pub boot: Option<Life>,
    booted_at: u64,
    /// How much faster than the true clock, in parts per million.
    ppm: i64,
    wall_offset: i64,
    pub disk: BTreeMap<Key, Entry>,
    pub supervisors: BTreeMap<Key, Supervisor>,
    pub agent: Option<AgentProcess>,
    /// Cannot be reached until then.
    pub cut_until: u64,
    /// Cannot start jobs until then.
    pub unfit_until: u64,
    /// What it finds wrong with itself.
    pub troubles: Troubles,
}

/// The control directory of an attempt.
pub struct Entry {
    /// When it was taken on; nothing that runs outlives the boot.
    pub boot: Life,
    pub written_at: u64,
    /// A supervisor was given it.
    pub begun: bool,
    pub started: Option<Timestamp>,
    /// Bytes that the job has told of itself.
    pub spool: u64,
    pub exit: Option<Exit>,
    pub deadline: Option<Mono>,
}

/// A supervisor with its job.
pub struct Supervisor {
    /// When its own command began, by this machine's clock.
    started: Option<Mono>,
    /// SIGTERM was sent: by the end of the lease, at the time limit, or by somebody who asked.
    stopping: Option<Stopping>,
    /// When the deadline is looked at next. One that is brought forward is noticed at once: the lease after a planned stop is
    /// shorter than the one that it replaces.
    looks_at: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopping {
    Asked,
    TimeLimit,
    LeaseEnded,
}

impl Machine {
    pub fn new(spec: NodeSpec, ppm: i64) -> Self {
        Self {
            spec,
            boot: None,
            booted_at: 0,
            ppm,
            wall_offset: 0,
            disk: BTreeMap::new(),
            supervisors: BTreeMap::new(),
            agent: None,
            cut_until: 0,
            unfit_until: 0,
            troubles: Troubles::default(),
        }
    }

    /// CLOCK_BOOTTIME of this machine.
    pub fn mono(&self, now: u64) -> Mono {
        let up = now - self.booted_at;
        Mono(1000 + up.saturating_add_signed(up as i64 * self.ppm / 1_000_000))
    }

    /// The true time at which this machine's clock will show at least `mono`.
    fn true_time(&self, mono: Mono) -> u64 {
        let up = mono.0.saturating_sub(1000);
        self.booted_at + up.saturating_add_signed(-(up as i64 * self.ppm / 1_000_000)) + 1
    }

    pub fn wall(&self, now: u64) -> Timestamp {
        Timestamp(1_700_000_000_000_u64.saturating_add_signed(self.wall_offset) + now)
    }

    pub fn step_wall(&mut self, by: i64) {
        self.wall_offset += by;
    }
}

impl World {
    pub fn boots(&mut self, node: NodeId) {
        let life = self.new_life();
        let now = self.now;
        let machine = &mut self.machines[node];
        assert!(machine.boot.is_none(), "it is off");
        machine.boot = Some(life);
        machine.booted_at = now;
        machine.spec.boot_id = format!("boot-{life}");
        self.trace(|it| format!("{} boots", it.machines[node].spec.name));
        let after = self.rng.between(100, 3_000);
        self.schedule.at(now + after, Event::AgentStarts { node });
    }

    /// The machine loses power: every process is gone, and what the disk had not yet written.
    pub fn machine_crashes(&mut self, node: NodeId) {
        self.trace(|it| format!("{} loses power", it.machines[node].spec.name));
        for conn in self.net.of_node(node) {
            self.cut_conn(conn);
        }
        let keys: Vec<Key> = self.machines[node].supervisors.keys().copied().collect();
        for key in keys {
            self.process_gone(node, key);
        }
        let now = self.now;
        let machine = &mut self.machines[node];
        machine.boot = None;
        machine.agent = None;
        let lost = self.rng.percent(50);
        let judge = &mut self.judge;
        machine.disk.retain(|key, entry| {
            let unwritten = lost && entry.written_at + 5_000 > now;
            if unwritten {
                judge.disk_forgot(*key);
            }
            !unwritten
        });
        self.judge.saw("machine crash");
    }

    /// A supervisor takes an attempt on; it refuses when the deadline has passed already.
    pub fn supervise(&mut self, node: NodeId, key: Key) {
        let now = self.now;
        let machine = &mut self.machines[node];
        let boot = machine.boot.expect("something runs here");
        let mono = machine.mono(now);
        let entry = machine.disk.get_mut(&key).expect("the agent wrote it down");
        entry.begun = true;
        if entry.deadline.is_some_and(|it| it <= mono) {
            self.judge.saw("supervisor refused a start after its deadline");
            return self.write_exit(node, key, ExitKind::LeaseEnded, false);
        }
        let supervisor = Supervisor { started: None, stopping: None, looks_at: None };
        machine.supervisors.insert(key, supervisor);
        self.judge.process_begins(key, node);
        let prepare = self.clients.plan(key.0).prepare;
        self.schedule.at(now + prepare, Event::Prepared { node, boot, key });
        self.watch_deadline(node, key);
    }

    /// The requirements are there, or not; then the first instruction of the job.
    pub fn prepared(&mut self, node: NodeId, boot: Life, key: Key) {
        let now = self.now;
        if self.machines[node].boot != Some(boot) {
            return;
        }
        let plan = self.clients.plan(key.0);
        let machine = &mut self.machines[node];
        let (wall, mono) = (machine.wall(now), machine.mono(now));
        let limit_over = plan.time_limit.map(|it| machine.true_time(mono + it));
        let Some(it) = machine.supervisors.get_mut(&key).filter(|it| it.stopping.is_none()) else {
            return;
        };
        if plan.requirements_fail {
            let kind = ExitKind::Failed(Cause::Requirements);
            self.process_gone(node, key);
            return self.write_exit(node, key, kind, false);
        }
        it.started = Some(mono);
        machine.disk.get_mut(&key).expect("it is held").started = Some(wall);
        self.trace(|it| format!("{} {} runs", it.machines[node].spec.name, it.name(key)));
        self.notify(node, key);
        self.schedule.at(now + 1, Event::Tells { node, boot, key });
        let because = Because::Done;
        self.schedule.at(now + plan.runs, Event::Exits { node, boot, key, because });
        if let Some(at) = limit_over {
            self.schedule.at(at, Event::TimeLimit { node, boot, key });
        }
    }

    /// Agent or no agent: the job is stopped unless somebody has begun to before.
    pub fn time_limit_passes(&mut self, node: NodeId, boot: Life, key: Key) {
        if self.machines[node].boot == Some(boot) {
            self.terminate(node, key, Stopping::TimeLimit, self.setup.grace);
        }
    }

    /// SIGTERM, and SIGKILL when the grace is over.
    fn terminate(&mut self, node: NodeId, key: Key, why: Stopping, grace: Millis) {
        let now = self.now;
        let plan = self.clients.plan(key.0);
        let machine = &mut self.machines[node];
        let boot = machine.boot.expect("its processes live");
        let Some(it) = machine.supervisors.get_mut(&key).filter(|it| it.stopping.is_none()) else {
            return;
        };
        it.stopping = Some(why);
        let killed = Event::Exits { node, boot, key, because: Because::Killed };
        self.schedule.at(now + grace.0, killed);
        // While it prepares there is nothing that could ignore the signal.
        let obeys = if it.started.is_some() { plan.obeys_after } else { Some(10) };
        if let Some(after) = obeys {
            let obeyed = Event::Exits { node, boot, key, because: Because::Obeyed };
            self.schedule.at(now + after, obeyed);
        }
    }

    pub fn stop_asked(&mut self, node: NodeId, key: Key, grace: Millis) {
        self.terminate(node, key, Stopping::Asked, grace);
    }

    pub fn process_exits(&mut self, node: NodeId, boot: Life, key: Key, because: Because) {
        if self.machines[node].boot != Some(boot) {
            return;
        }
        let plan = self.clients.plan(key.0);
        let Some(it) = self.machines[node].supervisors.get(&key) else { return };
        let (runs, stopping) = (it.started.is_some(), it.stopping);
        if because == Because::Done && !runs {
            return;
        }
        if runs && plan.tells_every.is_some() && self.rng.percent(50) {
            self.write_lines(node, key); // its last words
        }
        self.process_gone(node, key);
        let kind = match (stopping, because) {
            (Some(Stopping::LeaseEnded), _) => ExitKind::LeaseEnded,
            (Some(Stopping::TimeLimit), _) => ExitKind::Failed(Cause::Timeout),
            (_, Because::Done) => plan.exit,
            (_, Because::Obeyed) => ExitKind::Code(0),
            (_, Because::Killed) => ExitKind::Signal(9),
        };
        self.write_exit(node, key, kind, stopping == Some(Stopping::Asked));
    }

    /// The process and its supervisor are gone without a word.
    pub fn process_gone(&mut self, node: NodeId, key: Key) {
        let machine = &mut self.machines[node];
        let Some(it) = machine.supervisors.remove(&key) else { return };
        self.judge.process_ends(key, node);
        if let (Some(started), Some(limit)) = (it.started, self.clients.plan(key.0).time_limit) {
            let ran = machine.mono(self.now) - started;
            let at_limit = it.stopping == Some(Stopping::TimeLimit);
            self.judge.ran(key, ran, (limit, self.setup.grace), at_limit);
        }
    }

    fn write_exit(&mut self, node: NodeId, key: Key, kind: ExitKind, stopped: bool) {
        let now = self.now;
        let machine = &mut self.machines[node];
        let at = machine.wall(now);
        let entry = machine.disk.get_mut(&key).expect("it is held");
        let exit = Exit {
            kind,
            stopped,
            at,
            started: entry.started,
            log_length: 10,
            spool_length: entry.spool,
            detail: String::new(),
        };
        if exit.kind == ExitKind::LeaseEnded {
            self.judge.saw("supervisor stopped a job at the end of the lease");
        }
        self.judge.exited(key, &exit);
        entry.exit = Some(exit);
        entry.written_at = now;
        self.trace(|it| {
            let exit = &it.machines[node].disk[&key].exit;
            let kind = exit.as_ref().map(|it| (&it.kind, it.stopped));
            format!("{} {} ends: {kind:?}", it.machines[node].spec.name, it.name(key))
        });
        self.notify(node, key);
    }

    /// Writes the deadline down for every attempt that is held.
    pub fn write_deadlines(&mut self, node: NodeId, deadline: Option<Mono>) {
        let keys: Vec<Key> = self.machines[node].disk.keys().copied().collect();
        for key in keys {
            let entry = self.machines[node].disk.get_mut(&key).expect("it was just there");
            entry.deadline = deadline;
            self.watch_deadline(node, key);
        }
    }

    fn watch_deadline(&mut self, node: NodeId, key: Key) {
        let now = self.now;
        let machine = &mut self.machines[node];
        let Some(deadline) = machine.disk.get(&key).and_then(|it| it.deadline) else { return };
        let at = machine.true_time(deadline).max(now + 1);
        let boot = machine.boot.expect("something runs here");
        let Some(it) = machine.supervisors.get_mut(&key) else { return };
        if it.looks_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        it.looks_at = Some(at);
        self.schedule.at(at, Event::Deadline { node, boot, key });
    }

    /// Agent or no agent: the job is stopped when the deadline that was last written has passed.
    pub fn deadline_passes(&mut self, node: NodeId, boot: Life, key: Key) {
        let now = self.now;
        let machine = &mut self.machines[node];
        if machine.boot != Some(boot) {
            return;
        }
        let mono = machine.mono(now);
        let Some(it) = machine.supervisors.get_mut(&key) else { return };
        if it.looks_at == Some(now) {
            it.looks_at = None;
        }
        let passed = machine.disk[&key].deadline.is_some_and(|it| it <= mono);
        if passed {
            self.terminate(node, key, Stopping::LeaseEnded, self.setup.grace);
        } else {
            self.watch_deadline(node, key);
        }
    }

    fn notify(&mut self, node: NodeId, key: Key) {
        let Some(life) = self.machines[node].agent.as_ref().map(|it| it.life) else { return };
        let after = self.rng.between(0, 50);
        self.schedule.at(self.now + after, Event::Notice { node, life, key });
    }

    /// What the disk says of an attempt.
    pub fn found(&self, node: NodeId, key: Key) -> Report {
        let machine = &self.machines[node];
        let entry = &machine.disk[&key];
        let alive = machine.supervisors.contains_key(&key);
        if let Some(exit) = &entry.exit {
            return Report::Exited(exit.clone());
        }
        if machine.boot != Some(entry.boot) || (entry.begun && !alive) {
            return Report::Lost { message: "its supervisor is gone".into() };
        }
        match entry.started {
            Some(at) => Report::Started { at, image: None },
            None => Report::Starting,
        }
    }
}
