//! What jobs tell of themselves: they write lines into a spool, as processes do that may be killed at any byte, and the agent ships
//! them as the real one does.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use atlas_core::run::{Entry, Event as Told, Scalar, Value};
use atlas_core::{Attempt, JobId, Run, Timestamp};

use crate::schedule::{Event, Key, Life, NodeId};
use crate::tracker::parse;
use crate::world::World;

/// The most bytes of a piece: a line fits, and what was torn before it.
const PIECE: u64 = 1_000;
/// An answer that has not come by then never will.
const PATIENCE: u64 = 10_000;
pub const METRIC: &str = "loss";

/// The truth of every attempt, which outlives its disk.
#[derive(Default)]
pub struct Ledger(pub BTreeMap<Key, Written>);

#[derive(Default)]
pub struct Written {
    /// All bytes of the spool.
    pub bytes: Vec<u8>,
    /// The points whose write returned, in this order.
    pub points: Vec<i64>,
    /// The rest of a line of which a part is written, and the point that it is.
    pub torn: Option<(Vec<u8>, Option<i64>)>,
    lines: i64,
}

/// How far an agent has come with a spool.
#[derive(Default)]
pub struct Shipping {
    /// Bytes that are part of the run; `None` = to be asked.
    there: Option<u64>,
    /// The call that is out.
    waits: Option<u64>,
    /// All of it was taken, or the rest is refused: why.
    over: Option<Option<String>>,
}

/// A piece of a spool on its way.
#[derive(Clone)]
pub struct Call {
    pub node: NodeId,
    pub life: Life,
    pub job: JobId,
    pub attempt: Attempt,
    pub offset: u64,
    pub data: Vec<u8>,
    pub last: bool,
}

impl Written {
    /// A few lines; the last of them may get no further than its first bytes, until the next time.
    fn tell(&mut self, count: u64, torn_at: Option<u64>, is_given_up: bool) {
        if let Some((rest, point)) = self.torn.take()
            && !is_given_up
        {
            self.bytes.extend(rest);
            self.points.extend(point);
        }
        for at in 1..=count {
            let (mut line, point) = self.line();
            match torn_at.filter(|_| at == count) {
                Some(torn) => {
                    let rest = line.split_off(1 + torn as usize % (line.len() - 1));
                    self.bytes.extend(line);
                    self.torn = Some((rest, point));
                }
                None => {
                    self.bytes.extend(line);
                    self.points.extend(point);
                }
            }
        }
    }

    /// Those are its points up to there, each once and in this order. The one that was being written when it was killed may be there.
    pub fn has(&self, points: &[i64], offset: u64) {
        let torn = self.torn.as_ref().and_then(|it| it.1);
        let all: Vec<i64> = self.points.iter().copied().chain(torn).collect();
        assert!(all.starts_with(points), "{points:?} was read of {all:?}");
        if offset == self.bytes.len() as u64 {
            assert!(points.len() >= self.points.len(), "{points:?} was read of {all:?}");
        }
    }

    /// What becomes of it in one go.
    pub fn read_at_once(&self, attempt: Attempt, offset: u64) -> Run {
        let mut run = Run::default();
        run.read(attempt, &self.bytes[..offset as usize], true, parse, |run, entry| {
            run.take(attempt, Timestamp(0), entry);
            ControlFlow::Continue(())
        });
        run
    }

    fn line(&mut self) -> (Vec<u8>, Option<i64>) {
        self.lines += 1;
        let number = self.lines;
        let (event, point) = match number % 9 {
            3 => {
                let value = Value::Scalar(Scalar::Int(number));
                (Told::Param { key: format!("p{}", number % 4).into(), value }, None)
            }
            7 => (Told::Tag { key: "at".into(), value: number.to_string() }, None),
            _ => {
                // Every other one counts its steps itself.
                let step = (number % 2 == 0).then_some(number as u64);
                let value = Scalar::Int(number);
                (Told::Metric { key: METRIC.into(), value, step, rank: 0 }, Some(number))
            }
        };
        let mut line = serde_json::to_vec(&Entry { at: None, event }).expect("it is JSON");
        line.push(b'\n');
        (line, point)
    }
}

impl World {
    /// The job writes, and goes on with it.
    pub fn tells(&mut self, node: NodeId, boot: Life, key: Key) {
        let runs = self.machines[node].boot == Some(boot)
            && self.machines[node].supervisors.contains_key(&key);
        if let Some(every) = self.clients.plan(key.0).tells_every.filter(|_| runs) {
            self.write_lines(node, key);
            let after = self.rng.between(1, 2 * every);
            self.schedule.at(self.now + after, Event::Tells { node, boot, key });
        }
    }

    pub fn write_lines(&mut self, node: NodeId, key: Key) {
        let count = self.rng.between(1, 4);
        let torn_at = self.rng.percent(30).then(|| self.rng.next());
        // Another process of the job writes on where one was killed.
        let is_given_up = self.rng.percent(20);
        let written = self.ledger.0.entry(key).or_default();
        written.tell(count, torn_at, is_given_up);
        let length = written.bytes.len() as u64;
        self.machines[node].disk.get_mut(&key).expect("its job runs").spool = length;
    }

    /// Begins to ship what an attempt tells, or goes on with it in a new life of the agent.
    pub fn begins_to_ship(&mut self, node: NodeId, key: Key) {
        let tells = self.clients.plan(key.0).tells_every.is_some();
        let Some(agent) = self.machines[node].agent.as_mut().filter(|_| tells) else { return };
        let life = agent.life;
        if agent.shipping.insert(key, Shipping::default()).is_none() {
            self.schedule.at(self.now + 500, Event::Ships { node, life, key });
        }
    }

    /// Of attempts that an agent finds, those that it ships.
    pub fn spools_found(&self, node: NodeId) -> Vec<Key> {
        let machine = &self.machines[node];
        let found = machine
            .disk
            .iter()
            .filter(|(_, it)| it.exit.is_some() || (it.begun && machine.boot == Some(it.boot)));
        found.map(|it| *it.0).collect()
    }

    /// What stays behind of a spool that has come to its end.
    pub fn shipped(&self, node: NodeId, key: Key) -> Option<Option<String>> {
        let agent = self.machines[node].agent.as_ref();
        agent.and_then(|it| it.shipping.get(&key)).map_or(Some(None), |it| it.over.clone())
    }

    /// The length of the spool once it grows no more.
    fn spool_end(&self, node: NodeId, key: Key) -> Option<u64> {
        let machine = &self.machines[node];
        let entry = &machine.disk[&key];
        match &entry.exit {
            Some(exit) => Some(exit.spool_length),
            None => (entry.begun && !machine.supervisors.contains_key(&key)).then_some(entry.spool),
        }
    }

    pub fn ships(&mut self, node: NodeId, life: Life, key: Key) {
        if self.ship(node, life, key) {
            let after = self.rng.between(500, 8_000);
            self.schedule.at(self.now + after, Event::Ships { node, life, key });
        }
    }

    /// Sends what there is; false = there will be nothing more.
    pub fn ship(&mut self, node: NodeId, life: Life, key: Key) -> bool {
        let is_there = self.machines[node].disk.contains_key(&key);
        let agent = self.machines[node].agent.as_ref().filter(|it| it.life == life && is_there);
        if !agent.is_some_and(|it| it.shipping.contains_key(&key)) {
            return false;
        }
        let end = self.spool_end(node, key);
        let here = end.unwrap_or(self.machines[node].disk[&key].spool);
        let shipping = self.shipping(node, key);
        if end == Some(0) {
            shipping.over = Some(None);
        }
        if shipping.over.is_some() || shipping.waits.is_some() || here == 0 {
            return shipping.over.is_none();
        }
        let (offset, to) = shipping.there.map_or((0, 0), |it| (it, here.min(it + PIECE)));
        let is_asked = shipping.there.is_none();
        let last = !is_asked && end.is_some() && to == here;
        if is_asked || last || offset < to {
            let data = self.ledger.0[&key].bytes[offset as usize..to as usize].to_vec();
            let (job, attempt) = key;
            self.sends(Call { node, life, job, attempt, offset, data, last });
        }
        true
    }

    fn sends(&mut self, call: Call) {
        let number = self.new_life();
        self.shipping(call.node, (call.job, call.attempt)).waits = Some(number);
        self.calls.insert(number, call);
        self.schedule.at(self.now + PATIENCE, Event::GivesUp { call: number });
        let after = self.delay();
        self.schedule.at(self.now + after, Event::Asked { call: number });
    }

    /// What the master says comes back, or gets lost. Without a length it was refused for good.
    pub fn answers_call(&mut self, call: u64, length: Option<u64>) {
        let after = self.delay();
        if !self.rng.percent(3) {
            self.schedule.at(self.now + after, Event::Told { call, length });
        }
    }

    pub fn told(&mut self, number: u64, length: Option<u64>) {
        if self.machines[self.calls[&number].node].cut_until > self.now {
            return; // it is lost
        }
        let Some((call, shipping)) = self.waiting_for(number) else { return };
        shipping.waits = None;
        let Some(length) = length else {
            shipping.over = Some(Some("the master refused it".into()));
            return self.judge.saw("spool refused");
        };
        let was_known = shipping.there.replace(length).is_some();
        let key = (call.job, call.attempt);
        if was_known {
            let reaches = call.offset + call.data.len() as u64;
            let fits = call.offset <= length && length <= reaches;
            assert!(fits, "{}: sent {}..{reaches}, got {length}", self.name(key), call.offset);
            let name = self.name(key);
            assert!(!call.last || length == reaches, "{name}: the last piece was not taken");
            if call.last {
                self.shipping(call.node, key).over = Some(None);
            }
            if length == call.offset {
                return; // its last line has no end yet
            }
        }
        self.ship(call.node, call.life, key);
    }

    fn shipping(&mut self, node: NodeId, key: Key) -> &mut Shipping {
        let agent = self.machines[node].agent.as_mut().expect("it ships");
        agent.shipping.get_mut(&key).expect("it was begun")
    }

    pub fn gives_up_on(&mut self, number: u64) {
        if let Some((_, shipping)) = self.waiting_for(number) {
            (shipping.waits, shipping.there) = (None, None);
            self.judge.saw("answer of the tracker lost");
        }
    }

    /// The call, where its agent still waits for it.
    fn waiting_for(&mut self, number: u64) -> Option<(Call, &mut Shipping)> {
        let call = self.calls.get(&number)?.clone();
        if !self.agent_lives(call.node, call.life) {
            return None;
        }
        let agent = self.machines[call.node].agent.as_mut()?;
        let shipping = agent.shipping.get_mut(&(call.job, call.attempt))?;
        (shipping.waits == Some(number)).then_some((call, shipping))
    }
}
