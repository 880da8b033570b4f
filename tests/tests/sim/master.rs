//! The master's process: the real [`Cluster`] behind a reactor that commits in groups, and dies, stalls and comes back.

use std::collections::BTreeMap;

use atlas_core::cluster::{Effect, Held, Input, Rejection, Session, Step, Trash};
use atlas_core::node::{NodeSpec, Troubles};
use atlas_core::{Cluster, Epoch, JobId, Mono, NodeName, Now, Record, Revision, Timestamp};

use crate::net::{Down, Up};
use crate::schedule::{Answer, ConnId, Event, Life};
use crate::store::Batch;
use crate::tracker::Track;
use crate::world::World;

const TICK_EVERY: u64 = 1_000;

#[derive(Default)]
pub struct Master {
    pub lead: Option<Lead>,
    pub stalled_until: u64,
    wall_offset: i64,
    /// The store is in trouble until then.
    pub store_trouble_until: u64,
}

/// What dies with the process.
pub struct Lead {
    pub life: Life,
    pub cluster: Cluster,
    pub epoch: Epoch,
    pub tracks: BTreeMap<JobId, Track>,
    revision: Revision,
    gathering: Pending,
    flight: Option<Pending>,
    /// Joined, but not welcomed yet.
    opening: BTreeMap<NodeName, (Session, ConnId)>,
    open: BTreeMap<NodeName, ConnId>,
    sessions: BTreeMap<ConnId, (NodeName, Session)>,
    last_session: u64,
    stopping: bool,
}

/// Decided, but not kept yet.
#[derive(Default)]
struct Pending {
    records: Vec<Record>,
    effects: Vec<Effect>,
    answers: Vec<Reply>,
    /// Their runs are as they were written.
    tracked: Vec<JobId>,
}

/// What a client asked for and came of it.
#[derive(Clone, Debug)]
pub struct Reply {
    pub request: Request,
    pub result: Result<(), Rejection>,
}

#[derive(Clone, Copy, Debug)]
pub enum Request {
    Submit { job: usize },
    Stop { job: usize },
    Delete { job: usize },
}

impl World {
    pub fn master_starts(&mut self) {
        if self.master.lead.is_some() {
            return;
        }
        let life = self.new_life();
        let (epoch, revision) = self.store.lead();
        let now = self.master_now();
        let (cluster, effects) = Cluster::restore(self.setup.policy, now, self.store.restore());
        cluster.check(now).expect("a restored cluster is sound");
        self.trace(|it| format!("master starts, epoch {epoch}, {} jobs", it.store.jobs.len()));
        self.judge.saw("master start");
        self.master.stalled_until = 0;
        self.master.lead = Some(Lead {
            life,
            cluster,
            epoch,
            tracks: BTreeMap::new(),
            revision,
            gathering: Pending { effects, ..Pending::default() },
            flight: None,
            opening: BTreeMap::new(),
            open: BTreeMap::new(),
            sessions: BTreeMap::new(),
            last_session: 0,
            stopping: false,
        });
        self.take_off();
        self.compacts_what_is_left(life);
        self.schedule.at(self.now + TICK_EVERY, Event::Tick { life });
    }

    pub fn master_dies(&mut self, back_after: u64) {
        if self.master.lead.take().is_none() {
            return;
        }
        self.trace(|_| "master dies".into());
        for conn in self.net.all() {
            self.master_end_dies(conn);
        }
        self.schedule.at(self.now + back_after, Event::MasterStarts);
    }

    pub fn step_master_wall(&mut self, by: i64) {
        self.master.wall_offset += by;
    }

    pub fn master_now(&self) -> Now {
        let wall = 1_700_000_000_000_u64.saturating_add_signed(self.master.wall_offset) + self.now;
        Now { wall: Timestamp(wall), mono: Mono(77_000_000 + self.now) }
    }

    /// The lead of this life, if it still lives.
    fn lead(&mut self, life: Life) -> Option<&mut Lead> {
        self.master.lead.as_mut().filter(|it| it.life == life)
    }

    pub fn tick(&mut self, life: Life) {
        if self.lead(life).is_none() {
            return;
        }
        self.input(Input::Tick, None);
        self.schedule.at(self.now + TICK_EVERY, Event::Tick { life });
    }

    /// One input, and the commit of what came of it; false = it was refused.
    pub fn input(&mut self, input: Input, request: Option<Request>) -> bool {
        let accepted = self.decide(input, request);
        self.take_off();
        accepted
    }

    /// Through the one door.
    fn decide(&mut self, input: Input, request: Option<Request>) -> bool {
        let now = self.master_now();
        self.trace(|it| format!("  <- {}", it.brief(&input)));
        let lead = self.master.lead.as_mut().expect("the master lives");
        let result = lead.cluster.handle(now, input);
        if let Err(violation) = lead.cluster.check(now) {
            panic!("an invariant does not hold: {violation}");
        }
        let result = match result {
            Ok(step) => {
                self.judge.decided(&lead.cluster, now, &step);
                let Step { records, effects } = step;
                lead.gathering.records.extend(records);
                lead.gathering.effects.extend(effects);
                Ok(())
            }
            Err(rejection) => Err(rejection),
        };
        let accepted = result.is_ok();
        if let Some(request) = request {
            lead.gathering.answers.push(Reply { request, result });
        }
        accepted
    }

    /// A run as it is to be from now on.
    pub fn keeps(&mut self, job: JobId, record: Record) {
        let lead = self.master.lead.as_mut().expect("the master lives");
        lead.gathering.records.push(record);
        lead.gathering.tracked.push(job);
        self.take_off();
    }

    /// Starts the commit of what has gathered; what needs none is done at once.
    fn take_off(&mut self) {
        let Some(lead) = &mut self.master.lead else { return };
        if lead.flight.is_some() {
            return;
        }
        let pending = std::mem::take(&mut lead.gathering);
        if pending.records.is_empty() {
            return self.perform(pending);
        }
        lead.revision = lead.revision.next();
        lead.flight = Some(pending);
        self.commit();
    }

    fn commit(&mut self) {
        let lead = self.master.lead.as_ref().expect("its batch is out");
        let records = lead.flight.as_ref().expect("a batch is out").records.clone();
        let batch = Batch { epoch: lead.epoch, revision: lead.revision, records };
        let life = lead.life;
        let write = self.new_life();
        self.writes.insert(write, (life, batch));
        let takes = if self.master.store_trouble_until > self.now {
            self.rng.between(1, 4_000)
        } else {
            self.rng.between(1, 10)
        };
        self.schedule.at(self.now + takes, Event::StoreWrites { write });
    }

    pub fn store_writes(&mut self, write: u64) {
        let (life, batch) = self.writes.remove(&write).expect("it was sent");
        let troubled = self.master.store_trouble_until > self.now;
        let answer = match self.rng.below(if troubled { 4 } else { 1 }) {
            1 => Answer::Refused,
            2 => Answer::Unknown,
            fate => {
                let kept = self.store.commit(&batch);
                if kept {
                    let (judge, store) = (&mut self.judge, &self.store);
                    judge.kept(&batch.records, store, &self.clients);
                    self.trace(|it| it.briefs(&batch.records));
                }
                match (kept, fate) {
                    (true, 0) => Answer::Kept,
                    (true, _) => Answer::Unknown,
                    (false, _) => Answer::Overtaken,
                }
            }
        };
        match answer {
            Answer::Refused => self.judge.saw("commit refused"),
            Answer::Unknown => self.judge.saw("commit of unknown fate"),
            Answer::Kept | Answer::Overtaken => {}
        }
        let takes = self.rng.between(1, 10);
        self.schedule.at(self.now + takes, Event::StoreAnswers { life, answer });
    }

    pub fn store_answers(&mut self, life: Life, answer: Answer) {
        let (epoch, revision) = (self.store.epoch, self.store.revision);
        let Some(lead) = self.lead(life) else { return };
        let kept = match answer {
            Answer::Kept => true,
            Answer::Refused => false,
            // The fate is read from the store.
            Answer::Unknown => (lead.epoch, lead.revision) == (epoch, revision),
            Answer::Overtaken => panic!("there is one master at a time"),
        };
        if !kept {
            let after = self.rng.between(50, 2_000);
            return self.schedule.at(self.now + after, Event::CommitsAgain { life });
        }
        let pending = lead.flight.take().expect("a batch is out");
        self.hears(life, &pending.records);
        self.perform(pending);
        self.take_off();
    }

    pub fn commits_again(&mut self, life: Life) {
        if self.lead(life).is_some() {
            self.commit();
        }
    }

    /// The effects and the answers of what is kept now.
    fn perform(&mut self, pending: Pending) {
        for effect in pending.effects {
            self.effect(effect);
        }
        for reply in pending.answers {
            self.answered(reply);
        }
        for job in pending.tracked {
            self.tracked(job);
        }
    }

    fn effect(&mut self, effect: Effect) {
        let lead = self.master.lead.as_mut().expect("it performs");
        let (node, message) = match effect {
            Effect::Trash { job, what } => {
                let life = lead.life;
                let takes = self.rng.between(10, 5_000);
                return self.schedule.at(self.now + takes, Event::Trashed { life, job, what });
            }
            Effect::Assignments { node, session, list } => {
                match lead.opening.remove(&node) {
                    Some((opening, conn)) if opening == session => {
                        lead.open.insert(node.clone(), conn);
                    }
                    Some(newer) => {
                        lead.opening.insert(node, newer);
                        return;
                    }
                    None => return,
                }
                let lease = match self.setup.policy.lease {
                    atlas_core::cluster::Lease::Lasts(span) => Some(span),
                    atlas_core::cluster::Lease::UntilReboot => None,
                };
                (node, Down::Welcome { epoch: lead.epoch, list, lease })
            }
            Effect::Assign { node, assignment } => (node, Down::Assign(assignment)),
            Effect::Stop { node, job, attempt, grace } => {
                (node, Down::Stop { job, attempt, grace })
            }
            Effect::Release { node, job, attempt } => (node, Down::Release { job, attempt }),
            Effect::Grant { node, span } => (node, Down::Grant(span)),
        };
        if let Some(conn) = lead.open.get(&node).copied() {
            self.send_down(conn, message);
        }
    }

    pub fn at_master(&mut self, conn: ConnId) {
        let Some(life) = self.net.get(conn).map(|it| it.master) else { return };
        if self.lead(life).is_none() {
            return;
        }
        let Some(message) = self.net.take_up(conn) else { return };
        match message {
            Up::Join(spec, troubles, held) => self.joins(conn, spec, troubles, held),
            Up::Troubles(troubles) => {
                let Some((node, session)) = self.session(conn) else { return };
                self.input(Input::Troubles { node, session, troubles }, None);
            }
            Up::Beat(number) => {
                let Some((node, session)) = self.session(conn) else { return };
                if self.input(Input::Heartbeat { node, session }, None) {
                    self.send_down(conn, Down::Answer(number));
                } else {
                    self.judge.saw("heartbeat of an ended session");
                    self.break_conn(conn);
                }
            }
            Up::Report(held) => {
                let Some((node, session)) = self.session(conn) else { return };
                self.input(Input::Report { node, session, held }, None);
            }
        }
    }

    fn joins(&mut self, conn: ConnId, spec: Box<NodeSpec>, troubles: Troubles, held: Vec<Held>) {
        let lead = self.master.lead.as_mut().expect("it was asked");
        lead.last_session += 1;
        let (session, node) = (Session(lead.last_session), spec.name.clone());
        if !self.decide(Input::Join { spec, session, troubles, held }, None) {
            self.judge.saw("join refused");
            return self.break_conn(conn);
        }
        let lead = self.master.lead.as_mut().expect("it goes on");
        // The older connection ends here; on the new one nothing is sent before the list, which waits for the commit.
        lead.open.remove(&node);
        lead.opening.insert(node.clone(), (session, conn));
        lead.sessions.insert(conn, (node, session));
        self.take_off();
    }

    fn session(&self, conn: ConnId) -> Option<(NodeName, Session)> {
        self.master.lead.as_ref()?.sessions.get(&conn).cloned()
    }

    pub fn closed_at_master(&mut self, conn: ConnId) {
        let Some(lead) = &mut self.master.lead else { return };
        let Some((node, session)) = lead.sessions.remove(&conn) else { return };
        if lead.open.get(&node) == Some(&conn) {
            lead.open.remove(&node);
        }
        self.input(Input::Leave { node, session }, None);
    }

    pub fn planned_stop(&mut self) {
        let Some(lead) = &mut self.master.lead else { return };
        if lead.stopping {
            return;
        }
        lead.stopping = true;
        let life = lead.life;
        self.judge.saw("planned stop");
        self.input(Input::PlannedStop, None);
        let lingers = self.rng.between(10, 20_000);
        self.schedule.at(self.now + lingers, Event::MasterExits { life });
    }

    /// At the end of a planned stop; with a batch out, it waits for it.
    pub fn master_exits(&mut self, life: Life) {
        let Some(lead) = self.lead(life) else { return };
        if lead.flight.is_some() {
            return self.schedule.at(self.now + 100, Event::MasterExits { life });
        }
        let back_after = self.rng.between(1_000, self.setup.planned_down);
        self.master_dies(back_after);
    }

    pub fn trashed(&mut self, life: Life, job: atlas_core::JobId, what: Trash) {
        if self.lead(life).is_some() {
            self.input(Input::Trashed { job, what }, None);
        }
    }
}
