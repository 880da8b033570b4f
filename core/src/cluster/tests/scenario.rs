//! The words of a scenario, the store that it keeps its records in, and the clock.
//!
//! ```text
//! policy lease=SECONDS|until-reboot      first of all, where it matters
//! join NODE [gpus=N] [slots=N] [cpu=N] [memory=N] [volume=PREFIX] [boot=N] [identity=X] [at=ADDRESS] [trouble=CONDITION]… [held=JOB#ATTEMPT:REPORT]…
//! submit JOB [gpus=N] [cpu=N] [memory=N] [volume=PATH] [wait] [user=X]      stop JOB      clear [limit=N]
//! begin RUN      heard RUN      end RUN REPORT       outside the scheduler
//! report NODE JOB#ATTEMPT REPORT [session=N]      leave NODE      beat NODE [session=N]      remove NODE
//! troubles NODE [CONDITION]…     all that the node finds wrong with itself now
//! delete JOB      trashed JOB      empty JOB [user=X]      emptied JOB      planned-stop      restart
//! wait SECONDS [beats=NODE,…]    ticks once a second, the named nodes' heartbeats before each
//! stall SECONDS                  the master stands still, then ticks
//! jobs                           shows every live job, and why it waits
//! REPORT = starting started code-N code-N-stopped signal-N lease-ended failed-image
//!          not-started[-strike] archived archived-partly lost
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use super::words;
use crate::cluster::{Cluster, Held, Input, Policy, Session, Snapshot, Trash};
use crate::id::{JobId, NodeName, Position};
use crate::job::JobStatus;
use crate::node::{AllowedVolume, ExecutorKind, NodeRecord, NodeSpec, Troubles};
use crate::record::Record;
use crate::resources::{Capacity, Demand, Gpu};
use crate::spec::{Bundle, Digest, JobSpec, Outside, Sealed, Volume, Worker};
use crate::time::{Millis, Mono, Now, Timestamp};

/// A cluster, its clock and its store.
pub(super) struct Scenario {
    cluster: Cluster,
    now: Now,
    store: Store,
    sessions: BTreeMap<NodeName, Session>,
    last_session: u64,
    output: String,
}

/// Puts whole values, like every store.
#[derive(Clone, Default)]
pub(super) struct Store {
    pub jobs: BTreeMap<JobId, (Arc<JobSpec>, JobStatus)>,
    pub nodes: BTreeMap<NodeName, NodeRecord>,
    pub next_position: Position,
    pub granted: Option<Millis>,
}

impl Default for Scenario {
    fn default() -> Self {
        let now = Now { wall: Timestamp(0), mono: Mono(1_000_000) };
        Self {
            cluster: Cluster::new(Policy::default(), now),
            now,
            store: Store::default(),
            sessions: BTreeMap::new(),
            last_session: 0,
            output: String::new(),
        }
    }
}

impl Scenario {
    pub fn output(&self) -> &str {
        &self.output
    }

    pub fn with_lease(secs: u64) -> Self {
        let mut scenario = Self::default();
        scenario.play(&format!("policy lease={secs}"));
        scenario
    }

    /// Everything that the cluster knows.
    pub fn state(&self) -> String {
        format!("{:?}", self.cluster)
    }

    /// The names of the secrets that are kept of a job.
    pub fn secrets(&self, job: &str) -> Vec<&str> {
        self.store.jobs[&words::job(job)].1.sealed.0.keys().map(String::as_str).collect()
    }

    pub fn live_jobs(&self) -> String {
        format!("{:?}", self.cluster.jobs)
    }

    /// Plays a line unless it speaks of a session or a finished job that never was; says what came of it.
    pub fn play_if_possible(&mut self, line: &str) -> String {
        let words = Words::of(line);
        let possible = match words.verb {
            "report" | "leave" | "beat" | "troubles" => {
                self.sessions.contains_key(&node(words.first()))
            }
            "delete" | "empty" => self.store.jobs.contains_key(&words::job(words.first())),
            _ => true,
        };
        let from = self.output.len();
        if possible {
            self.play(line);
        }
        self.output[from..].to_owned()
    }

    /// One line of a script.
    #[track_caller]
    pub fn play(&mut self, line: &str) {
        self.say(&format!("> {line}"));
        let words = Words::of(line);
        match words.verb {
            "policy" => self.policy(&words),
            "wait" => self.wait(&words),
            "stall" => {
                self.pass(words.first().parse().unwrap());
                self.input(Input::Tick);
            }
            "restart" => self.restart(),
            "jobs" => self.show(),
            _ => {
                let input = self.parse(&words);
                self.input(input);
            }
        }
    }

    fn policy(&mut self, words: &Words) {
        let lease = match words.get("lease") {
            Some("until-reboot") => crate::cluster::Lease::UntilReboot,
            Some(secs) => crate::cluster::Lease::Lasts(Millis::from_secs(secs.parse().unwrap())),
            None => Policy::default().lease,
        };
        self.cluster = Cluster::new(Policy { lease, ..Policy::default() }, self.now);
    }

    fn parse(&mut self, words: &Words) -> Input {
        let first = words.first();
        let by = words.get("user").unwrap_or("ada").to_owned();
        match words.verb {
            "submit" => {
                let spec = Arc::new(spec(words));
                let seal = |name: &String| (name.clone(), format!("sealed {name}"));
                let sealed = Sealed(spec.worker.secrets.keys().map(seal).collect());
                Input::Submit { id: words::job(first), spec, sealed }
            }
            "begin" => {
                let outside = Some(Outside { host: "laptop".into(), started: Timestamp(0) });
                let spec = Arc::new(JobSpec { outside, ..spec(words) });
                Input::Begin { id: words::job(first), spec }
            }
            "heard" => Input::Heard { job: words::job(first) },
            "end" => {
                Input::EndOutside { job: words::job(first), exit: words::exit(words.plain[1]) }
            }
            "stop" => Input::Stop { job: words::job(first), by },
            "clear" => Input::ClearQueue { by, limit: words.number("limit", 1000) as usize },
            "delete" => {
                let job = words::job(first);
                Input::Delete { job, status: Box::new(self.store.jobs[&job].1.clone()) }
            }
            "trashed" => Input::Trashed { job: words::job(first), what: Trash::Everything },
            "empty" => words::empty(first, by, |job| self.store.jobs[&job].1.clone()),
            "emptied" => Input::Trashed { job: words::job(first), what: Trash::Outputs },
            "join" => self.join(words),
            "leave" => Input::Leave { node: node(first), session: self.session(words) },
            "beat" => Input::Heartbeat { node: node(first), session: self.session(words) },
            "remove" => Input::RemoveNode { node: node(first) },
            "troubles" => Input::Troubles {
                node: node(first),
                session: self.session(words),
                troubles: troubles(words.plain[1..].iter().copied()),
            },
            "report" => Input::Report {
                node: node(first),
                session: self.session(words),
                held: words::held(words.plain[1], words.plain[2]),
            },
            "planned-stop" => Input::PlannedStop,
            other => panic!("no such word in a scenario: {other}"),
        }
    }

    fn join(&mut self, words: &Words) -> Input {
        self.last_session += 1;
        let session = Session(self.last_session);
        let name = node(words.first());
        self.sessions.insert(name.clone(), session);
        let held = words.all("held").map(|it| {
            let (attempt, report) = it.split_once(':').expect("held=JOB#ATTEMPT:REPORT");
            words::held(attempt, report)
        });
        let held: Vec<Held> = held.collect();
        let troubles = troubles(words.all("trouble"));
        Input::Join { spec: Box::new(node_spec(name, words)), session, troubles, held }
    }

    fn session(&self, words: &Words) -> Session {
        match words.get("session") {
            Some(number) => Session(number.parse().unwrap()),
            None => self.sessions[&node(words.first())],
        }
    }

    fn wait(&mut self, words: &Words) {
        let beats: Vec<NodeName> =
            words.get("beats").map(|it| it.split(',').map(node).collect()).unwrap_or_default();
        for _ in 0..words.first().parse::<u64>().unwrap() {
            self.pass(1);
            for node in &beats {
                let session = self.sessions[node];
                self.input(Input::Heartbeat { node: node.clone(), session });
            }
            self.input(Input::Tick);
        }
    }

    fn pass(&mut self, secs: u64) {
        self.now.mono.0 += secs * 1000;
        self.now.wall.0 += secs * 1000;
    }

    #[track_caller]
    fn input(&mut self, input: Input) {
        match self.cluster.handle(self.now, input) {
            Err(rejection) => {
                self.say(&format!("refused: {}", words::short(&rejection.to_string())));
            }
            Ok(step) => {
                for record in &step.records {
                    self.say(&words::record(record));
                }
                for effect in &step.effects {
                    self.say(&words::effect(effect));
                }
                self.store.keep(&step.records);
            }
        }
        self.cluster.check(self.now).unwrap();
        self.store.check(&self.cluster);
    }

    fn restart(&mut self) {
        self.pass(1);
        let policy = self.cluster.policy;
        let (cluster, effects) = Cluster::restore(policy, self.now, self.store.snapshot());
        self.cluster = cluster;
        self.sessions.clear();
        for effect in &effects {
            self.say(&words::effect(effect));
        }
        self.cluster.check(self.now).unwrap();
        self.store.check(&self.cluster);
    }

    fn show(&mut self) {
        let lines: Vec<String> = self
            .cluster
            .jobs
            .iter()
            .map(|(id, job)| {
                let why = self.cluster.reason(self.now, *id);
                let why = why.map(|it| words::short(&format!(": {it}"))).unwrap_or_default();
                format!("{} {}{why}", words::number(*id), job.status.phase().word())
            })
            .collect();
        for line in lines {
            self.say(&line);
        }
    }

    fn say(&mut self, line: &str) {
        self.output.push_str(line);
        self.output.push('\n');
    }
}

impl Store {
    pub fn keep(&mut self, records: &[Record]) {
        for record in records.iter().cloned() {
            match record {
                Record::JobQueued { id, spec, status } => {
                    self.next_position = self.next_position.max(status.position.next());
                    self.jobs.insert(id, (spec, status));
                }
                Record::JobChanged { id, status, .. } => {
                    let kept = self.jobs.get_mut(&id).expect("a job is queued before it changes");
                    if let Some(end) = kept.1.state.end() {
                        assert_eq!(Some(end), status.state.end(), "an end was changed");
                    }
                    assert!(status.attempt >= kept.1.attempt, "an attempt went backwards");
                    assert!(
                        status.state.end().is_none() || status.sealed.is_empty(),
                        "its secrets stay"
                    );
                    assert_eq!(status.position, kept.1.position, "a job lost its position");
                    kept.1 = status;
                }
                Record::JobDeleted { id } => drop(self.jobs.remove(&id)),
                Record::NodeChanged(node) => {
                    self.nodes.insert(node.spec.name.clone(), node);
                }
                Record::NodeRemoved(name) => drop(self.nodes.remove(&name)),
                Record::RunChanged { .. } | Record::ProjectChanged { .. } => {
                    unreachable!("the cluster makes none")
                }
                Record::LeaseGranted(span) => self.granted = (span > Millis(0)).then_some(span),
            }
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let live = self.jobs.iter().filter(|it| it.1.1.is_live());
        Snapshot {
            jobs: live.map(|(id, (spec, status))| (*id, spec.clone(), status.clone())).collect(),
            nodes: self.nodes.values().cloned().collect(),
            next_position: self.next_position,
            granted: self.granted,
        }
    }

    /// What was kept is what the cluster knows.
    #[track_caller]
    pub fn check(&self, cluster: &Cluster) {
        let is_over = |status: &JobStatus| {
            matches!(status.state, crate::JobState::Done { .. } | crate::JobState::Deleting { .. })
        };
        let kept = self.jobs.iter().filter(|(_, (_, status))| !is_over(status));
        let kept: Vec<_> = kept.map(|(id, (spec, status))| (id, spec, status)).collect();
        let known: Vec<_> =
            cluster.jobs.iter().map(|(id, job)| (id, &job.spec, &job.status)).collect();
        assert_eq!(kept, known, "what was kept is not what is known of the jobs");
        let known: Vec<_> = cluster.nodes.values().map(|node| &node.record).collect();
        assert_eq!(self.nodes.values().collect::<Vec<_>>(), known, "nor of the nodes");
    }
}

/// `verb plain… key=value…`
struct Words<'a> {
    verb: &'a str,
    plain: Vec<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let verb = words.next().expect("a line has a verb");
        let (mut plain, mut named) = (Vec::new(), Vec::new());
        for word in words {
            match word.split_once('=') {
                Some(pair) => named.push(pair),
                None => plain.push(word),
            }
        }
        Self { verb, plain, named }
    }

    fn first(&self) -> &'a str {
        self.plain.first().copied().unwrap_or_default()
    }

    fn all(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.named.iter().filter(move |it| it.0 == key).map(|it| it.1)
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.named.iter().find(|it| it.0 == key).map(|it| it.1)
    }

    fn number(&self, key: &str, otherwise: u64) -> u64 {
        self.get(key).map_or(otherwise, |it| it.parse().unwrap())
    }
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn troubles<'a>(conditions: impl Iterator<Item = &'a str>) -> Troubles {
    conditions.map(|it| (it.parse().unwrap(), "as told".to_owned())).collect()
}

fn node_spec(name: NodeName, words: &Words) -> NodeSpec {
    let gpus = words.number("gpus", 0) as u32;
    let gpu = |index| Gpu {
        id: format!("GPU-{name}{index}").parse().unwrap(),
        index,
        model: "test".into(),
        memory: 0,
    };
    let capacity = Capacity {
        slots: words.number("slots", u64::from(gpus.max(1))) as u32,
        gpus: (0..gpus).map(gpu).collect(),
        cpu_milli: words.number("cpu", 8) * 1000,
        memory: words.number("memory", 16) * 1_000_000_000,
    };
    let volumes =
        words.all("volume").map(|it| AllowedVolume { prefix: it.into(), read_only: false });
    NodeSpec {
        identity: words.get("identity").unwrap_or(name.as_str()).to_owned(),
        boot_id: words.get("boot").unwrap_or("1").to_owned(),
        address: words.get("at").map_or_else(|| format!("{name}:5000"), str::to_owned),
        version: "0.1.0".into(),
        executor: ExecutorKind::Process,
        capacity,
        volumes: volumes.collect(),
        name,
    }
}

/// Of a job of which nothing is said.
pub(super) fn any_spec() -> JobSpec {
    spec(&Words::of("submit"))
}

fn spec(words: &Words) -> JobSpec {
    let demand = Demand {
        gpus: words.number("gpus", 0) as u32,
        cpu_milli: words.number("cpu", 0) * 1000,
        memory: words.number("memory", 0) * 1_000_000_000,
    };
    let volume = |it: &str| Volume { host: it.into(), bind: it.into(), read_only: false };
    JobSpec {
        project: "test".parse().unwrap(),
        user: words.get("user").unwrap_or("ada").to_owned(),
        name: None,
        tags: BTreeMap::new(),
        note: String::new(),
        bundle: Bundle { id: crate::BundleId::from_sha256([7; 32]), tar_size: 1024, files: 1 },
        command: vec!["main.py".into()],
        entrypoint: None,
        demand,
        shm: None,
        time_limit: None,
        worker: Worker {
            volumes: words.all("volume").map(volume).collect(),
            secrets: words.all("secret").map(|it| (it.into(), Digest::default())).collect(),
            ..Worker::default()
        },
        params: None,
        outputs: Default::default(),
        wait_for_capacity: words.plain.contains(&"wait"),
        fresh_requirements: false,
        git: None,
        rerun: None,
        outside: None,
        traceparent: words.get("trace").map(str::to_owned),
    }
}
