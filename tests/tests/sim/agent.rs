//! The agent of a node: the real [`Agent`] and [`LeaseClock`], driven as the real driver does.

use std::collections::{BTreeMap, BTreeSet};

use atlas_core::agent::{Action, Agent, Assignment, Input, LeaseClock, Report};
use atlas_core::cluster::Held;
use atlas_core::node::Condition;
use atlas_core::time::Millis;
use atlas_core::{Cause, Epoch, Mono};

use crate::machine::Entry;
use crate::net::{Down, Up};
use crate::schedule::{ConnId, Event, Key, Life, NodeId};
use crate::spool::Shipping;
use crate::world::World;

const BEAT_EVERY: u64 = 3_000;
/// Heartbeats unanswered for so long: the connection is given up.
const PATIENCE: u64 = 12_000;

pub struct AgentProcess {
    pub life: Life,
    core: Agent,
    lease: LeaseClock,
    conn: Option<ConnId>,
    welcomed: bool,
    beats: u64,
    answered_at: u64,
    pub stalled_until: u64,
    unpacking: BTreeSet<Key>,
    archiving: BTreeSet<Key>,
    pub shipping: BTreeMap<Key, Shipping>,
}

impl World {
    pub fn agent_starts(&mut self, node: NodeId) {
        if self.machines[node].boot.is_none() || self.machines[node].agent.is_some() {
            return;
        }
        let life = self.new_life();
        let machine = &self.machines[node];
        let boot = machine.boot;
        // What was under way when the machine went down may be reported as lost, or simply not be known any more.
        let forgets = self.rng.percent(30);
        let keys: Vec<Key> = machine
            .disk
            .iter()
            .filter(|(_, it)| !forgets || it.exit.is_some() || Some(it.boot) == boot)
            .map(|it| *it.0)
            .collect();
        self.machines[node].disk.retain(|key, _| keys.contains(key));
        let found: Vec<_> =
            keys.into_iter().map(|key| (key.0, key.1, self.found(node, key))).collect();
        if found.iter().any(|it| matches!(it.2, Report::Started { .. })) {
            self.judge.saw("agent adopted a running job");
        }
        self.trace(|it| format!("agent of {} starts", it.machines[node].spec.name));
        self.machines[node].agent = Some(AgentProcess {
            life,
            core: Agent::new(found),
            lease: LeaseClock::default(),
            conn: None,
            welcomed: false,
            beats: 0,
            answered_at: 0,
            stalled_until: 0,
            unpacking: BTreeSet::new(),
            archiving: BTreeSet::new(),
            shipping: BTreeMap::new(),
        });
        for key in self.spools_found(node) {
            self.begins_to_ship(node, key);
        }
        self.schedule.at(self.now, Event::Connects { node, life });
    }

    pub fn agent_crashes(&mut self, node: NodeId) {
        let Some(agent) = self.machines[node].agent.take() else { return };
        self.trace(|it| format!("agent of {} dies", it.machines[node].spec.name));
        if let Some(conn) = agent.conn {
            self.node_end_dies(conn);
        }
        let after = self.rng.between(500, self.setup.agent_down);
        self.schedule.at(self.now + after, Event::AgentStarts { node });
    }

    fn agent(&mut self, node: NodeId) -> &mut AgentProcess {
        self.machines[node].agent.as_mut().expect("its events come while it lives")
    }

    /// Whether this incarnation of the agent is the one that lives.
    pub fn agent_lives(&self, node: NodeId, life: Life) -> bool {
        self.machines[node].agent.as_ref().is_some_and(|it| it.life == life)
    }

    pub fn connects(&mut self, node: NodeId, life: Life) {
        if !self.agent_lives(node, life) || self.agent(node).conn.is_some() {
            return;
        }
        let master = self.master.lead.as_ref().map(|it| it.life);
        let reachable = self.machines[node].cut_until <= self.now;
        let Some(master) = master.filter(|_| reachable) else {
            let after = self.rng.between(500, 3_000);
            return self.schedule.at(self.now + after, Event::Connects { node, life });
        };
        let conn = self.net.open(node, master);
        let mono = self.machines[node].mono(self.now);
        let machine = &self.machines[node];
        let (spec, troubles) = (Box::new(machine.spec.clone()), machine.troubles.clone());
        let agent = self.agent(node);
        agent.conn = Some(conn);
        agent.welcomed = false;
        agent.lease.opened(mono);
        let held = agent.core.held();
        let held = held.map(|(job, attempt, it)| Held { job, attempt, report: it.clone() });
        let held = held.collect();
        if !troubles.is_empty() {
            self.judge.saw("troubled node joined");
        }
        self.send_up(conn, Up::Join(spec, troubles, held));
        self.schedule.at(self.now + PATIENCE, Event::WelcomeIsDue { conn });
    }

    /// The node finds something wrong with itself, or right again.
    pub fn finds(&mut self, node: NodeId, condition: Condition, reason: Option<String>) {
        let machine = &mut self.machines[node];
        if !machine.troubles.set(condition, reason) {
            return;
        }
        let troubles = machine.troubles.clone();
        if let Some(conn) = machine.agent.as_ref().and_then(|it| it.conn) {
            self.send_up(conn, Up::Troubles(troubles));
        }
    }

    /// The connection is gone; the agent opens another.
    pub fn disconnected(&mut self, node: NodeId, conn: ConnId) {
        let Some(agent) = self.machines[node].agent.as_mut().filter(|it| it.conn == Some(conn))
        else {
            return;
        };
        agent.conn = None;
        agent.welcomed = false;
        let life = agent.life;
        let after = self.rng.between(100, 2_000);
        self.schedule.at(self.now + after, Event::Connects { node, life });
    }

    fn hang_up(&mut self, node: NodeId, conn: ConnId) {
        self.node_end_dies(conn);
        self.disconnected(node, conn);
    }

    fn is_current(&self, node: NodeId, conn: ConnId) -> bool {
        self.machines[node].agent.as_ref().is_some_and(|it| it.conn == Some(conn))
    }

    pub fn welcome_is_due(&mut self, node: NodeId, conn: ConnId) {
        if self.is_current(node, conn) && !self.agent(node).welcomed {
            self.hang_up(node, conn);
        }
    }

    pub fn beats(&mut self, node: NodeId, conn: ConnId) {
        if !self.is_current(node, conn) {
            return;
        }
        if self.now > self.agent(node).answered_at + PATIENCE {
            return self.hang_up(node, conn);
        }
        let mono = self.machines[node].mono(self.now);
        let agent = self.agent(node);
        agent.beats += 1;
        let number = agent.beats;
        agent.lease.sent(number, mono);
        self.send_up(conn, Up::Beat(number));
        self.schedule.at(self.now + BEAT_EVERY, Event::Beats { conn });
    }

    pub fn at_node(&mut self, node: NodeId, conn: ConnId, message: Down) {
        if !self.is_current(node, conn) {
            return;
        }
        let input = match message {
            Down::Welcome { epoch, list, lease } => {
                return self.welcomed(node, conn, epoch, list, lease);
            }
            Down::Answer(number) => {
                let now = self.now;
                let agent = self.agent(node);
                agent.answered_at = now;
                agent.lease.answered(number);
                return self.renew(node);
            }
            Down::Grant(span) => {
                self.agent(node).lease.granted(span);
                return self.renew(node);
            }
            Down::Assign(assignment) => Input::Assign { assignment },
            Down::Stop { job, attempt, grace } => Input::Stop { job, attempt, grace },
            Down::Release { job, attempt } => Input::Release { job, attempt },
        };
        assert!(self.agent(node).welcomed, "the first word of a session is the list");
        self.feed(node, input);
    }

    fn welcomed(
        &mut self,
        node: NodeId,
        conn: ConnId,
        epoch: Epoch,
        list: Vec<Assignment>,
        lease: Option<Millis>,
    ) {
        let now = self.now;
        let agent = self.agent(node);
        agent.welcomed = true;
        agent.answered_at = now;
        agent.lease.welcomed(lease);
        // Before the first heartbeat, which says that this is done.
        self.renew(node);
        self.feed(node, Input::Assignments { epoch, list });
        self.beats(node, conn);
    }

    fn deadline(&self, node: NodeId) -> Option<Mono> {
        let agent = self.machines[node].agent.as_ref()?;
        agent.lease.deadline(self.setup.grace)
    }

    fn renew(&mut self, node: NodeId) {
        let deadline = self.deadline(node);
        self.write_deadlines(node, deadline);
    }

    pub fn feed(&mut self, node: NodeId, input: Input) {
        let actions = self.agent(node).core.handle(input).expect("there is no older master");
        for action in actions {
            self.act(node, action);
        }
    }

    fn act(&mut self, node: NodeId, action: Action) {
        match action {
            Action::Start { job, attempt, work: _ } => self.unpack(node, (job, attempt)),
            Action::Stop { job, attempt, grace } => self.stop_attempt(node, (job, attempt), grace),
            Action::Kill { job, attempt } => {
                self.agent(node).unpacking.remove(&(job, attempt));
                self.process_gone(node, (job, attempt));
            }
            Action::Archive { job, attempt } => {
                let (key, life) = ((job, attempt), self.agent(node).life);
                let agent = self.agent(node);
                assert!(agent.archiving.insert(key), "it is archived once");
                assert!(agent.archiving.len() <= 2, "at most two archives at a time");
                let takes = self.clients.plan(job).archiving;
                self.schedule.at(self.now + takes, Event::ArchiveWritten { node, life, key });
            }
            Action::Remove { job, attempt } => {
                let key = (job, attempt);
                let lives = self.machines[node].supervisors.contains_key(&key);
                assert!(!lives, "{} is removed while it runs", self.name(key));
                self.agent(node).archiving.remove(&key);
                let life = self.agent(node).life;
                self.ship(node, life, key); // its last words, whoever hears them
                self.agent(node).shipping.remove(&key);
                self.machines[node].disk.remove(&key);
            }
            Action::Report { job, attempt, report } => {
                if let Some(conn) = self.agent(node).conn {
                    self.send_up(conn, Up::Report(Held { job, attempt, report }));
                }
            }
        }
    }

    /// Fetches and unpacks the bundle, unless that was begun already.
    fn unpack(&mut self, node: NodeId, key: Key) {
        let (now, life) = (self.now, self.agent(node).life);
        let machine = &mut self.machines[node];
        if machine.disk.get(&key).is_some_and(|it| it.begun) {
            return;
        }
        let boot = machine.boot.expect("the agent runs");
        machine.disk.entry(key).or_insert(Entry {
            boot,
            written_at: now,
            begun: false,
            started: None,
            spool: 0,
            exit: None,
            deadline: None,
        });
        if self.agent(node).unpacking.insert(key) {
            let takes = self.clients.plan(key.0).unpacking;
            self.schedule.at(now + takes, Event::Unpacked { node, life, key });
        }
    }

    pub fn unpacked(&mut self, node: NodeId, life: Life, key: Key) {
        if !self.agent_lives(node, life) || !self.agent(node).unpacking.remove(&key) {
            return;
        }
        let plan = self.clients.plan(key.0);
        let unfit = self.machines[node].unfit_until > self.now;
        if unfit || plan.image_missing {
            let cause = if unfit { Cause::Bundle } else { Cause::Image };
            return self.not_started(node, key, cause, unfit);
        }
        let deadline = self.deadline(node);
        self.machines[node].disk.get_mut(&key).expect("it is held").deadline = deadline;
        self.supervise(node, key);
        self.begins_to_ship(node, key);
    }

    fn not_started(&mut self, node: NodeId, key: Key, cause: Cause, strike: bool) {
        self.judge.not_started(key, &cause);
        let report = Report::NotStarted { cause, message: "as told".into(), strike };
        self.feed(node, Input::Local { job: key.0, attempt: key.1, report });
    }

    fn stop_attempt(&mut self, node: NodeId, key: Key, grace: Millis) {
        if self.machines[node].supervisors.contains_key(&key) {
            return self.stop_asked(node, key, grace);
        }
        self.agent(node).unpacking.remove(&key);
        let begun = self.machines[node].disk.get(&key).is_some_and(|it| it.begun);
        if !begun {
            self.not_started(node, key, Cause::Internal, false);
        }
    }

    /// A supervisor said that something changed.
    pub fn notice(&mut self, node: NodeId, life: Life, key: Key) {
        if !self.agent_lives(node, life) || !self.machines[node].disk.contains_key(&key) {
            return;
        }
        let started = self.machines[node].disk[&key].started;
        if let Some(at) = started {
            let report = Report::Started { at, image: None };
            self.feed(node, Input::Local { job: key.0, attempt: key.1, report });
        }
        let report = self.found(node, key);
        self.feed(node, Input::Local { job: key.0, attempt: key.1, report });
    }

    pub fn archive_written(&mut self, node: NodeId, life: Life, key: Key) {
        if !self.agent_lives(node, life) || !self.agent(node).archiving.contains(&key) {
            return;
        }
        let Some(left_behind) = self.shipped(node, key) else {
            return self.schedule.at(self.now + 500, Event::ArchiveWritten { node, life, key });
        };
        self.agent(node).archiving.remove(&key);
        let accepted = self.store.jobs.get(&key.0).map(|it| &it.1);
        self.judge.archive_written(key, accepted);
        let report = Report::Archived { left_behind };
        self.feed(node, Input::Local { job: key.0, attempt: key.1, report });
    }
}
