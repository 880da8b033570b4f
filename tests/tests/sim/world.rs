//! A whole cluster in one thread: machines, a master, a store, users, a network, and one true clock.

use std::collections::BTreeMap;

use atlas_core::cluster::Input;
use atlas_core::node::{ExecutorKind, NodeSpec};
use atlas_core::resources::{Capacity, Gpu};
use atlas_core::{JobState, Record};

use crate::clients::Clients;
use crate::faults::Setup;
use crate::judge::Judge;
use crate::machine::Machine;
use crate::master::Master;
use crate::net::Net;
use crate::rng::Rng;
use crate::schedule::{Event, Key, Life, Schedule};
use crate::spool::{Call, Ledger};
use crate::store::{Batch, Store};
use crate::tracker::Shared;

/// After the last fault everything must come to its end within this time.
const PATIENCE: u64 = 4 * 3_600_000;

pub struct World {
    pub setup: Setup,
    /// The true time; no process of this world can see it.
    pub now: u64,
    pub rng: Rng,
    pub schedule: Schedule,
    pub net: Net,
    pub store: Store,
    /// Commits on their way, with the master that sent them.
    pub writes: BTreeMap<u64, (Life, Batch)>,
    /// What jobs wrote of themselves, pieces of it on their way to the master, and what became of it there.
    pub ledger: Ledger,
    pub calls: BTreeMap<u64, Call>,
    pub shared: Shared,
    pub master: Master,
    pub machines: Vec<Machine>,
    pub clients: Clients,
    pub judge: Judge,
    /// The network is slow until then.
    pub slow_until: u64,
    last_life: Life,
    gave_up: bool,
    trace: Option<Box<dyn FnMut(String)>>,
}

impl World {
    pub fn new(seed: u64, trace: Option<Box<dyn FnMut(String)>>) -> Self {
        let mut rng = Rng::new(seed);
        let setup = Setup::of(seed, &mut rng);
        let most_gpus = rng.between(0, 4);
        let machines = (0..setup.machines).map(|at| machine(&mut rng, at, most_gpus));
        let machines = machines.collect();
        let mut clients = Clients::default();
        (0..setup.jobs).for_each(|_| clients.add(&mut rng, most_gpus));
        let mut world = Self {
            setup,
            now: 0,
            rng,
            schedule: Schedule::default(),
            net: Net::default(),
            store: Store::default(),
            writes: BTreeMap::new(),
            ledger: Ledger::default(),
            calls: BTreeMap::new(),
            shared: Shared::default(),
            master: Master::default(),
            machines,
            clients,
            judge: Judge::default(),
            slow_until: 0,
            last_life: 0,
            gave_up: false,
            trace,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.schedule.at(0, Event::MasterStarts);
        for node in 0..self.machines.len() {
            let at = self.rng.between(0, 20_000);
            self.schedule.at(at, Event::Boots { node });
        }
        let burst = self.rng.percent(50);
        for job in 0..self.clients.jobs.len() {
            let at = self.rng.below(if burst { 30_000 } else { self.setup.lasts });
            self.schedule.at(at, Event::Submits { job });
        }
        for (fault, apart) in self.setup.faults.clone() {
            self.schedule_fault(fault, apart);
        }
        if self.rng.percent(20) {
            let at = self.rng.below(self.setup.lasts);
            self.schedule.at(at, Event::Clears);
        }
        for _ in 0..self.rng.below(3) {
            let at = self.rng.below(self.setup.lasts);
            let node = self.rng.below(self.machines.len() as u64) as usize;
            self.schedule.at(at, Event::RemovesNode { node });
        }
        self.schedule.at(self.setup.lasts, Event::CalmBegins);
    }

    /// Runs until everything has come to its end.
    pub fn run(&mut self) {
        while !self.is_over() {
            let (time, event) =
                self.schedule.pop().expect("a living world always has a next event");
            self.now = time;
            match self.stalled_until(event) {
                Some(until) if until > self.now => {
                    // What waited on several connections is served in any order.
                    let later = self.rng.below(500);
                    self.schedule.at(until + later, event);
                }
                _ => self.happens(event),
            }
            let in_time = self.now < self.setup.lasts + PATIENCE;
            assert!(in_time, "{}: it does not come to an end:\n{}", self.setup.name, self.state());
        }
        self.conclude();
    }

    /// A stopped process does nothing; what comes for it waits.
    fn stalled_until(&self, event: Event) -> Option<u64> {
        let agent = |node: usize| self.machines[node].agent.as_ref().map(|it| it.stalled_until);
        let agent_of = |conn| self.net.get(conn).and_then(|it| agent(it.node));
        match event {
            Event::Tick { .. }
            | Event::StoreAnswers { .. }
            | Event::CommitsAgain { .. }
            | Event::MasterExits { .. }
            | Event::Trashed { .. }
            | Event::Asked { .. }
            | Event::Written { .. }
            | Event::Compacts { .. }
            | Event::AtMaster { .. }
            | Event::ClosedAtMaster { .. }
            | Event::Submits { .. }
            | Event::Stops { .. }
            | Event::Clears
            | Event::Deletes { .. }
            | Event::RemovesNode { .. } => {
                self.master.lead.as_ref().map(|_| self.master.stalled_until)
            }
            Event::Connects { node, .. }
            | Event::Unpacked { node, .. }
            | Event::ArchiveWritten { node, .. }
            | Event::Recovers { node, .. }
            | Event::Ships { node, .. }
            | Event::Notice { node, .. } => agent(node),
            Event::Told { call, .. } | Event::GivesUp { call } => agent(self.calls[&call].node),
            Event::AtNode { conn }
            | Event::ClosedAtNode { conn }
            | Event::WelcomeIsDue { conn }
            | Event::Beats { conn } => agent_of(conn),
            Event::MasterStarts
            | Event::StoreWrites { .. }
            | Event::Boots { .. }
            | Event::AgentStarts { .. }
            | Event::Prepared { .. }
            | Event::Tells { .. }
            | Event::Exits { .. }
            | Event::Deadline { .. }
            | Event::TimeLimit { .. }
            | Event::Strikes { .. }
            | Event::CalmBegins => None,
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::MasterStarts => self.master_starts(),
            Event::Tick { life } => self.tick(life),
            Event::StoreWrites { write } => self.store_writes(write),
            Event::StoreAnswers { life, answer } => self.store_answers(life, answer),
            Event::CommitsAgain { life } => self.commits_again(life),
            Event::MasterExits { life } => self.master_exits(life),
            Event::Trashed { life, job, what } => self.trashed(life, job, what),
            Event::AtMaster { conn } => self.at_master(conn),
            Event::ClosedAtMaster { conn } => self.closed_at_master(conn),
            Event::Boots { node } => self.boots(node),
            Event::AgentStarts { node } => self.agent_starts(node),
            Event::Connects { node, life } => self.connects(node, life),
            Event::AtNode { .. }
            | Event::ClosedAtNode { .. }
            | Event::WelcomeIsDue { .. }
            | Event::Beats { .. } => self.at_the_end_of_a_node(event),
            Event::Unpacked { node, life, key } => self.unpacked(node, life, key),
            Event::ArchiveWritten { node, life, key } => self.archive_written(node, life, key),
            Event::Notice { node, life, key } => self.notice(node, life, key),
            Event::Ships { node, life, key } => self.ships(node, life, key),
            Event::Asked { call } => self.asked(call),
            Event::Told { call, length } => self.told(call, length),
            Event::GivesUp { call } => self.gives_up_on(call),
            Event::Written { life, job } => self.written(life, job),
            Event::Compacts { life, job } => self.compacts(life, job),
            Event::Tells { node, boot, key } => self.tells(node, boot, key),
            Event::Prepared { node, boot, key } => self.prepared(node, boot, key),
            Event::Exits { node, boot, key, because } => {
                self.process_exits(node, boot, key, because);
            }
            Event::Deadline { node, boot, key } => self.deadline_passes(node, boot, key),
            Event::TimeLimit { node, boot, key } => self.time_limit_passes(node, boot, key),
            Event::Submits { job } => self.submits(job),
            Event::Stops { job } => self.stops(job),
            Event::Clears => self.clears(),
            Event::Deletes { job } => self.deletes(job),
            Event::RemovesNode { node } => self.removes_node(node),
            Event::Recovers { node, condition } => self.finds(node, condition, None),
            Event::Strikes { fault } => self.strikes(fault),
            Event::CalmBegins => self.calm_begins(),
        }
    }

    /// Events of a connection, for the agent that holds it.
    fn at_the_end_of_a_node(&mut self, event: Event) {
        let (Event::AtNode { conn }
        | Event::ClosedAtNode { conn }
        | Event::WelcomeIsDue { conn }
        | Event::Beats { conn }) = event
        else {
            unreachable!("the caller chose them")
        };
        let Some(node) = self.net.get(conn).map(|it| it.node) else { return };
        match event {
            Event::AtNode { .. } => {
                if let Some(message) = self.net.take_down(conn) {
                    self.at_node(node, conn, message);
                }
            }
            Event::ClosedAtNode { .. } => self.disconnected(node, conn),
            Event::WelcomeIsDue { .. } => self.welcome_is_due(node, conn),
            _ => self.beats(node, conn),
        }
    }

    /// Whatever was broken is mended, and stays so.
    fn calm_begins(&mut self) {
        self.trace(|_| "calm begins".into());
        self.master.stalled_until = 0;
        self.master.store_trouble_until = 0;
        self.slow_until = 0;
        for machine in &mut self.machines {
            machine.cut_until = 0;
            machine.unfit_until = 0;
            if let Some(agent) = &mut machine.agent {
                agent.stalled_until = 0;
            }
        }
    }

    fn is_over(&mut self) -> bool {
        if self.now <= self.setup.lasts {
            return false;
        }
        // Jobs that wait for what will never come are stopped by their users, late enough that all others could have run.
        if !self.gave_up && self.now > self.setup.lasts + PATIENCE / 2 {
            self.gave_up = true;
            self.gives_up_waiting();
        }
        let nothing_held = self.machines.iter().all(|it| it.boot.is_some() && it.disk.is_empty());
        nothing_held && self.master.lead.is_some() && self.clients_are_done()
    }

    fn conclude(&mut self) {
        self.judge.conclude(&self.store);
        self.check_runs();
        let now = self.master_now();
        let lead = self.master.lead.as_ref().expect("it is over when the master is there");
        assert_eq!(lead.cluster.live_jobs(), 0, "jobs are left:\n{}", self.state());
        for node in lead.cluster.node_views(now) {
            assert_eq!(node.free, node.record.spec.capacity.free(), "a node is not empty");
        }
        if self.setup.loses_nothing {
            assert_eq!(self.judge.lost, 0, "a short outage touched a running job");
        }
    }

    pub fn new_life(&mut self) -> Life {
        self.last_life += 1;
        self.last_life
    }

    pub fn trace(&mut self, line: impl FnOnce(&Self) -> String) {
        if let Some(mut print) = self.trace.take() {
            let (secs, millis) = (self.now / 1000, self.now % 1000);
            print(format!("{secs:>6}.{millis:03} {}", line(self)));
            self.trace = Some(print);
        }
    }

    /// An attempt as people call it.
    pub fn name(&self, key: Key) -> String {
        format!("job {}#{}", self.clients.number(key.0), key.1)
    }

    pub fn brief(&self, input: &Input) -> String {
        match input {
            Input::Submit { id, .. } => format!("submit {}", self.clients.number(*id)),
            Input::Stop { job, .. } => format!("stop {}", self.clients.number(*job)),
            Input::Report { node, held, .. } => {
                format!("{node} reports {}: {:?}", self.name((held.job, held.attempt)), held.report)
            }
            Input::Join { spec, session, troubles: _, held } => {
                let held = held
                    .iter()
                    .map(|it| format!("{} {:?}", self.name((it.job, it.attempt)), it.report));
                format!("{} joins as {session:?} with {:?}", spec.name, held.collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        }
    }

    /// What a commit kept.
    pub fn briefs(&self, records: &[Record]) -> String {
        let brief = |record: &Record| match record {
            Record::JobQueued { id, .. } => format!("{} queued", self.clients.number(*id)),
            Record::JobChanged { id, event, status } => {
                let at = status.state.placement().map(|it| it.node.to_string());
                let at = at.unwrap_or_default();
                format!("{}#{} {event:?} {at}", self.clients.number(*id), status.attempt)
            }
            Record::JobDeleted { id } => format!("{} deleted", self.clients.number(*id)),
            Record::NodeChanged(node) => format!("{} cordoned={:?}", node.spec.name, node.cordoned),
            Record::NodeRemoved(name) => format!("{name} removed"),
            Record::RunChanged { id, .. } => format!("run {id}"),
            Record::ProjectChanged { name, .. } => format!("project {name}"),
            Record::LeaseGranted(span) => format!("granted {span}"),
        };
        format!("  kept: {}", records.iter().map(brief).collect::<Vec<_>>().join("; "))
    }

    /// For people who wonder what hangs.
    fn state(&self) -> String {
        let jobs = self
            .store
            .jobs
            .iter()
            .filter(|(_, (_, it))| !matches!(it.state, JobState::Done { .. }));
        let jobs =
            jobs.map(|(id, (_, it))| format!("{}: {:?}", self.clients.number(*id), it.state));
        let mut lines: Vec<String> = jobs.collect();
        for machine in &self.machines {
            let held: Vec<_> = machine.disk.keys().map(|key| self.name(*key)).collect();
            let agent = machine.agent.is_some();
            lines.push(format!(
                "{} boot={:?} agent={agent} holds {held:?}",
                machine.spec.name, machine.boot
            ));
        }
        lines.push(format!("master: {}", self.master.lead.is_some()));
        lines.join("\n")
    }
}

fn machine(rng: &mut Rng, at: u64, most_gpus: u64) -> Machine {
    // The first machine could run any job.
    let gpus = if at == 0 { most_gpus } else { rng.between(0, most_gpus) } as u32;
    let name: atlas_core::NodeName = format!("node-{at}").parse().expect("a name");
    let gpu = |index| Gpu {
        id: format!("GPU-{at}-{index}").parse().expect("a name"),
        index,
        model: "sim".into(),
        memory: 0,
    };
    let capacity = Capacity {
        slots: rng.between(1, 4) as u32,
        gpus: (0..gpus).map(gpu).collect(),
        cpu_milli: 8_000,
        memory: 0,
    };
    let spec = NodeSpec {
        identity: format!("disk-of-{name}"),
        boot_id: String::new(),
        address: String::new(),
        version: String::new(),
        executor: ExecutorKind::Process,
        capacity,
        volumes: Vec::new(),
        name,
    };
    Machine::new(spec, rng.between(0, 400) as i64 - 200)
}
