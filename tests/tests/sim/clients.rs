//! Users: they submit, send again when no answer comes, stop, clear, delete; and what their jobs do.

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas_core::agent::ExitKind;
use atlas_core::cluster::{Input, Rejection};
use atlas_core::resources::Demand;
use atlas_core::spec::{Bundle, Digest, Sealed, Worker};
use atlas_core::time::Millis;
use atlas_core::{BundleId, Cause, JobId, JobSpec, JobState};

use crate::master::{Reply, Request};
use crate::rng::Rng;
use crate::schedule::{Event, NodeId};
use crate::world::World;

const SENDS_AGAIN_AFTER: u64 = 5_000;

#[derive(Default)]
pub struct Clients {
    pub jobs: Vec<ClientJob>,
    by_id: BTreeMap<JobId, usize>,
}

pub struct ClientJob {
    pub id: JobId,
    spec: Arc<JobSpec>,
    plan: Plan,
    pub acknowledged: bool,
    /// The master said no: there is no such job.
    refused: bool,
    stop: Option<Ask>,
    delete: Option<Ask>,
}

/// A request that is sent until it is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Sent,
    Answered,
}

/// What a job does when it is started.
#[derive(Clone, Debug)]
pub struct Plan {
    pub unpacking: u64,
    pub prepare: u64,
    pub runs: u64,
    pub archiving: u64,
    pub exit: ExitKind,
    /// Of its spec.
    pub time_limit: Option<Millis>,
    /// After SIGTERM; `None` = it ignores the signal.
    pub obeys_after: Option<u64>,
    /// How often it tells something of itself, if it does.
    pub tells_every: Option<u64>,
    pub image_missing: bool,
    pub requirements_fail: bool,
}

impl Clients {
    pub fn plan(&self, job: JobId) -> Plan {
        self.jobs[self.by_id[&job]].plan.clone()
    }

    /// How people call it.
    pub fn number(&self, job: JobId) -> usize {
        self.by_id[&job]
    }

    pub fn add(&mut self, rng: &mut Rng, most_gpus: u64) {
        let id = JobId::from_random(rng.bytes());
        self.by_id.insert(id, self.jobs.len());
        let spec = spec(rng, most_gpus);
        let plan = plan(rng, spec.time_limit);
        self.jobs.push(ClientJob {
            id,
            spec: Arc::new(spec),
            plan,
            acknowledged: false,
            refused: false,
            stop: None,
            delete: None,
        });
    }
}

fn plan(rng: &mut Rng, time_limit: Option<Millis>) -> Plan {
    let exit = match rng.below(10) {
        0..=5 => ExitKind::Code(0),
        6..=8 => ExitKind::Code(rng.between(1, 255) as i32),
        _ => ExitKind::Signal(11),
    };
    Plan {
        unpacking: rng.between(0, 2_000),
        prepare: rng.pick(&[0, 0, 100, 8_000]),
        runs: rng.pick(&[0, 50, 3_000, 20_000, 90_000, 300_000]) + rng.below(1_000),
        archiving: rng.pick(&[10, 500, 15_000]),
        exit,
        time_limit,
        obeys_after: rng.pick(&[Some(10), Some(2_000), None]),
        tells_every: rng.pick(&[None, None, None, Some(3_000), Some(20_000)]),
        image_missing: rng.percent(4),
        requirements_fail: rng.percent(4),
    }
}

fn spec(rng: &mut Rng, most_gpus: u64) -> JobSpec {
    let gpus = if rng.percent(50) { 0 } else { rng.between(0, most_gpus) as u32 };
    let cpu_milli = rng.pick(&[0, 0, 1_000, 4_000]);
    let mut worker = Worker::default();
    if rng.percent(30) {
        worker.secrets.insert("TOKEN".into(), Digest::default());
    }
    JobSpec {
        project: "sim".parse().expect("a name"),
        user: "ada".into(),
        name: None,
        tags: BTreeMap::new(),
        note: String::new(),
        bundle: Bundle { id: BundleId::from_sha256([1; 32]), tar_size: 0, files: 0 },
        command: vec!["main.py".into()],
        entrypoint: None,
        demand: Demand { gpus, cpu_milli, memory: 0 },
        shm: None,
        time_limit: rng.pick(&[None, None, Some(10), Some(15_000), Some(100_000)]).map(Millis),
        worker,
        params: None,
        outputs: Default::default(),
        wait_for_capacity: rng.percent(50),
        fresh_requirements: false,
        git: None,
        rerun: None,
        outside: None,
        traceparent: None,
    }
}

impl World {
    /// Whether a request reaches the master at all.
    fn answers(&mut self) -> bool {
        self.master.lead.is_some() && !self.rng.percent(5)
    }

    pub fn submits(&mut self, job: usize) {
        let it = &self.clients.jobs[job];
        if it.acknowledged || it.refused {
            return;
        }
        self.schedule.at(self.now + SENDS_AGAIN_AFTER, Event::Submits { job });
        let (id, spec) = (it.id, it.spec.clone());
        if !self.answers() {
            return;
        }
        // The service looks into the store before it asks the core.
        if self.store.jobs.contains_key(&id) {
            return self.answered(Reply { request: Request::Submit { job }, result: Ok(()) });
        }
        let sealed = |name: &String| (name.clone(), format!("sealed {name}"));
        let sealed = Sealed(spec.worker.secrets.keys().map(sealed).collect());
        self.input(Input::Submit { id, spec, sealed }, Some(Request::Submit { job }));
    }

    pub fn stops(&mut self, job: usize) {
        let it = &mut self.clients.jobs[job];
        if it.stop == Some(Ask::Answered) {
            return;
        }
        it.stop = Some(Ask::Sent);
        let id = it.id;
        self.schedule.at(self.now + SENDS_AGAIN_AFTER, Event::Stops { job });
        if self.answers() {
            self.judge.stop_asked(id, &format!("user-{job}"));
            let input = Input::Stop { job: id, by: format!("user-{job}") };
            self.input(input, Some(Request::Stop { job }));
        }
    }

    pub fn clears(&mut self) {
        if self.answers() {
            self.judge.queue_cleared();
            self.input(Input::ClearQueue { by: "root".into(), limit: 5 }, None);
        }
    }

    pub fn deletes(&mut self, job: usize) {
        let it = &mut self.clients.jobs[job];
        if it.delete == Some(Ask::Answered) {
            return;
        }
        it.delete = Some(Ask::Sent);
        let id = it.id;
        let Some((_, status)) = self.store.jobs.get(&id).cloned() else {
            // The answer was lost, the deed was done.
            it.delete = Some(Ask::Answered);
            return;
        };
        self.schedule.at(self.now + SENDS_AGAIN_AFTER, Event::Deletes { job });
        if self.answers() && matches!(status.state, JobState::Done { .. }) {
            self.judge.delete_asked(id);
            let status = Box::new(status);
            self.input(Input::Delete { job: id, status }, Some(Request::Delete { job }));
        }
    }

    pub fn removes_node(&mut self, node: NodeId) {
        if self.answers() {
            let node = self.machines[node].spec.name.clone();
            if self.input(Input::RemoveNode { node }, None) {
                self.judge.node_removed();
            }
        }
    }

    /// The answer may get lost on its way back.
    pub fn answered(&mut self, reply: Reply) {
        if self.rng.percent(5) {
            return;
        }
        let Reply { request, result } = reply;
        match (request, result) {
            (Request::Submit { job }, Ok(())) => self.acknowledged(job),
            (Request::Submit { job }, Err(rejection)) => {
                let expected = matches!(rejection, Rejection::FitsNoNode { .. });
                assert!(expected, "a submission was refused: {rejection}");
                self.clients.jobs[job].refused = true;
            }
            (Request::Stop { job }, Err(Rejection::UnknownJob(_)))
                if !self.clients.jobs[job].acknowledged => {} // not there yet
            (Request::Stop { job }, _) => self.clients.jobs[job].stop = Some(Ask::Answered),
            (Request::Delete { job }, _) => self.clients.jobs[job].delete = Some(Ask::Answered),
        }
    }

    fn acknowledged(&mut self, job: usize) {
        let it = &mut self.clients.jobs[job];
        it.acknowledged = true;
        self.judge.acknowledged(it.id);
        if self.rng.percent(15) {
            let after = self.rng.between(0, 60_000);
            self.schedule.at(self.now + after, Event::Stops { job });
        }
        if self.rng.percent(10) {
            let after = self.rng.between(0, 300_000);
            self.schedule.at(self.now + after, Event::Deletes { job });
        }
    }

    /// What only patience could bring is given up, so that the world comes to an end.
    pub fn gives_up_waiting(&mut self) {
        for job in 0..self.clients.jobs.len() {
            let it = &self.clients.jobs[job];
            let waits = self.store.jobs.get(&it.id);
            if waits.is_some_and(|(_, it)| matches!(it.state, JobState::Queued { .. })) {
                self.schedule.at(self.now, Event::Stops { job });
            }
        }
    }

    /// Whether every acknowledged job has ended and every request was answered.
    pub fn clients_are_done(&self) -> bool {
        self.clients.jobs.iter().all(|it| {
            let asks_end = it.stop != Some(Ask::Sent) && it.delete != Some(Ask::Sent);
            let ended = match self.store.jobs.get(&it.id) {
                None => it.refused || it.acknowledged,
                Some((_, status)) => matches!(status.state, JobState::Done { .. }),
            };
            ended && asks_end && (it.acknowledged || it.refused)
        })
    }
}

/// The cause that a plan leads to where nothing else happens.
pub fn planned_cause(kind: &ExitKind) -> Option<Cause> {
    match kind {
        ExitKind::Code(0) | ExitKind::LeaseEnded => None,
        ExitKind::Code(code) => Some(Cause::ExitCode(*code)),
        ExitKind::Signal(signal) => Some(Cause::Signal(*signal)),
        ExitKind::Failed(cause) => Some(cause.clone()),
    }
}
