//! Master and nodes among themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas_core::agent::{Assignment, Duty, Exit, ExitKind, Report, Work};
use atlas_core::cluster::Held;
use atlas_core::node::{AllowedVolume, Condition, ExecutorKind, NodeSpec, Troubles};
use atlas_core::resources::{Capacity, Gpu};
use atlas_core::spec::Sealed;
use atlas_core::time::Millis;
use atlas_core::{Attempt, ClusterId, JobId, Timestamp};

use super::{Invalid, parse, required};
use crate::wire::{self, held, master_message};

impl From<&NodeSpec> for wire::Join {
    fn from(spec: &NodeSpec) -> Self {
        Self {
            name: spec.name.to_string(),
            identity: spec.identity.clone(),
            boot_id: spec.boot_id.clone(),
            address: spec.address.clone(),
            version: spec.version.clone(),
            executor: spec.executor.word().into(),
            slots: spec.capacity.slots,
            gpus: spec.capacity.gpus.iter().map(|gpu| gpu_view(gpu, false)).collect(),
            cpu_milli: spec.capacity.cpu_milli,
            memory_bytes: spec.capacity.memory,
            volumes: spec
                .volumes
                .iter()
                .map(|it| wire::AllowedVolume {
                    prefix: it.prefix.clone(),
                    read_only: it.read_only,
                })
                .collect(),
            cluster_id: String::new(),
            troubles: None,
        }
    }
}

impl From<&Troubles> for wire::Troubles {
    fn from(troubles: &Troubles) -> Self {
        let trouble = |(condition, reason): (Condition, &str)| wire::Trouble {
            condition: condition.word().into(),
            reason: reason.into(),
        };
        Self { troubles: troubles.iter().map(trouble).collect() }
    }
}

impl TryFrom<wire::Troubles> for Troubles {
    type Error = Invalid;
    fn try_from(troubles: wire::Troubles) -> Result<Self, Invalid> {
        let trouble = |wire::Trouble { condition, reason }| {
            Ok((parse("troubles.condition", &condition)?, reason))
        };
        troubles.troubles.into_iter().map(trouble).collect()
    }
}

/// What a master says to whoever is about to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterFacts {
    pub cluster: ClusterId,
    pub version: String,
    /// The name of a file, and of nothing else.
    pub share_mark: String,
    pub wall_ms: u64,
}

impl TryFrom<wire::MasterFacts> for MasterFacts {
    type Error = Invalid;
    fn try_from(facts: wire::MasterFacts) -> Result<Self, Invalid> {
        let wire::MasterFacts { cluster_id, version, share_mark, wall_ms } = facts;
        if share_mark.is_empty() || !share_mark.bytes().all(|it| it.is_ascii_alphanumeric()) {
            return Err(Invalid::new("share_mark", format!("{share_mark:?} is no file's name")));
        }
        Ok(Self { cluster: parse("cluster_id", &cluster_id)?, version, share_mark, wall_ms })
    }
}

/// A GPU for the wire.
pub fn gpu_view(gpu: &Gpu, free: bool) -> wire::Gpu {
    wire::Gpu {
        id: gpu.id.to_string(),
        index: gpu.index,
        model: gpu.model.clone(),
        memory_bytes: gpu.memory,
        free,
    }
}

impl TryFrom<wire::Join> for NodeSpec {
    type Error = Invalid;
    fn try_from(join: wire::Join) -> Result<Self, Invalid> {
        let wire::Join {
            name,
            identity,
            boot_id,
            address,
            version,
            executor,
            slots,
            gpus,
            cpu_milli,
            memory_bytes,
            volumes,
            cluster_id: _, // compared by the session, before the node is looked at
            troubles: _,   // told beside the node, as they are not part of it
        } = join;
        let executor = match executor.as_str() {
            "docker" => ExecutorKind::Docker,
            "process" => ExecutorKind::Process,
            other => {
                return Err(Invalid::new(
                    "executor",
                    format!("{other:?} is neither docker nor process"),
                ));
            }
        };
        let gpus = gpus.into_iter().map(gpu).collect::<Result<_, _>>()?;
        let capacity = Capacity { slots, gpus, cpu_milli, memory: memory_bytes };
        let volumes = volumes
            .into_iter()
            .map(|it| AllowedVolume { prefix: it.prefix, read_only: it.read_only })
            .collect();
        let name = parse("name", &name)?;
        Ok(Self { name, identity, boot_id, address, version, executor, capacity, volumes })
    }
}

fn gpu(gpu: wire::Gpu) -> Result<Gpu, Invalid> {
    let wire::Gpu { id, index, model, memory_bytes, free: _ } = gpu;
    Ok(Gpu { id: parse("gpus.id", &id)?, index, model, memory: memory_bytes })
}

impl From<&Held> for wire::Held {
    fn from(held: &Held) -> Self {
        Self::of(held.job, held.attempt, &held.report)
    }
}

impl wire::Held {
    /// What a node says of one attempt.
    pub fn of(job: JobId, attempt: Attempt, report: &Report) -> Self {
        let report = match report {
            Report::Starting => held::Report::Starting(wire::Starting {}),
            Report::Started { at, image } => {
                held::Report::Started(wire::Started { at_ms: at.0, image: image.clone() })
            }
            Report::NotStarted { cause, message, strike } => {
                held::Report::NotStarted(wire::NotStarted {
                    cause: Some(cause.into()),
                    message: message.clone(),
                    strike: *strike,
                })
            }
            Report::Exited(exit) => held::Report::Exited(exit.into()),
            Report::Archived { left_behind } => {
                held::Report::Archived(wire::Archived { left_behind: left_behind.clone() })
            }
            Report::Lost { message } => held::Report::Lost(wire::Lost { message: message.clone() }),
        };
        Self { job: job.to_string(), attempt: attempt.0, report: Some(report) }
    }
}

impl TryFrom<wire::Held> for Held {
    type Error = Invalid;
    fn try_from(held: wire::Held) -> Result<Self, Invalid> {
        let wire::Held { job, attempt, report } = held;
        let report = match required("report", report)? {
            held::Report::Starting(wire::Starting {}) => Report::Starting,
            held::Report::Started(wire::Started { at_ms, image }) => {
                Report::Started { at: Timestamp(at_ms), image }
            }
            held::Report::NotStarted(wire::NotStarted { cause, message, strike }) => {
                Report::NotStarted {
                    cause: required("not_started.cause", cause)?.try_into()?,
                    message,
                    strike,
                }
            }
            held::Report::Exited(exit) => Report::Exited(exit.try_into()?),
            held::Report::Archived(wire::Archived { left_behind }) => {
                Report::Archived { left_behind }
            }
            held::Report::Lost(wire::Lost { message }) => Report::Lost { message },
        };
        Ok(Self { job: parse("job", &job)?, attempt: Attempt(attempt), report })
    }
}

impl From<&Exit> for wire::Exited {
    fn from(exit: &Exit) -> Self {
        let kind = match &exit.kind {
            ExitKind::Code(code) => wire::exited::Kind::Code(*code),
            ExitKind::Signal(signal) => wire::exited::Kind::Signal(*signal),
            ExitKind::Failed(cause) => wire::exited::Kind::Failed(cause.into()),
            ExitKind::LeaseEnded => wire::exited::Kind::LeaseEnded(wire::LeaseEnded {}),
        };
        Self {
            kind: Some(kind),
            stopped: exit.stopped,
            at_ms: exit.at.0,
            started_ms: exit.started.map(|it| it.0),
            log_bytes: exit.log_length,
            spool_bytes: exit.spool_length,
            detail: exit.detail.clone(),
        }
    }
}

impl TryFrom<wire::Exited> for Exit {
    type Error = Invalid;
    fn try_from(exit: wire::Exited) -> Result<Self, Invalid> {
        let wire::Exited { kind, stopped, at_ms, started_ms, log_bytes, spool_bytes, detail } =
            exit;
        let kind = match required("exited.kind", kind)? {
            wire::exited::Kind::Code(code) => ExitKind::Code(code),
            wire::exited::Kind::Signal(signal) => ExitKind::Signal(signal),
            wire::exited::Kind::Failed(cause) => ExitKind::Failed(cause.try_into()?),
            wire::exited::Kind::LeaseEnded(wire::LeaseEnded {}) => ExitKind::LeaseEnded,
        };
        Ok(Self {
            kind,
            stopped,
            at: Timestamp(at_ms),
            started: started_ms.map(Timestamp),
            log_length: log_bytes,
            spool_length: spool_bytes,
            detail,
        })
    }
}

impl wire::Assignment {
    /// What a node hears of an assignment. What is for the job alone is asked for only where it is to run.
    pub fn of(assignment: &Assignment, entrust: impl FnOnce(&Sealed) -> Entrusted) -> Self {
        let Assignment { job, attempt, duty } = assignment;
        let duty = match duty {
            Duty::Run(Work { spec, gpus, sealed }) => {
                let Entrusted { token, secrets } = entrust(sealed);
                wire::assignment::Duty::Run(wire::Run {
                    spec: Some(spec.as_ref().into()),
                    gpus: gpus.iter().map(ToString::to_string).collect(),
                    token,
                    secrets,
                })
            }
            Duty::Stop { grace } => {
                wire::assignment::Duty::Stop(wire::StopDuty { grace_ms: grace.0 })
            }
            Duty::Archive => wire::assignment::Duty::Archive(wire::ArchiveDuty {}),
        };
        Self { job: job.to_string(), attempt: attempt.0, duty: Some(duty) }
    }
}

/// An assignment as a node hears it.
pub struct Assigned {
    pub assignment: Assignment,
    /// Where the job is to run.
    pub entrusted: Option<Entrusted>,
}

/// What is for a job alone. It has no Debug, so that it is shown nowhere.
#[derive(Clone)]
pub struct Entrusted {
    /// What the job shows to the master.
    pub token: String,
    /// By name; one that the spec names and that is not here could not be opened.
    pub secrets: BTreeMap<String, String>,
}

impl TryFrom<wire::Assignment> for Assigned {
    type Error = Invalid;
    fn try_from(assignment: wire::Assignment) -> Result<Self, Invalid> {
        let wire::Assignment { job, attempt, duty } = assignment;
        let (duty, entrusted) = match required("duty", duty)? {
            wire::assignment::Duty::Run(wire::Run { spec, gpus, token, secrets }) => {
                if token.is_empty() {
                    return Err(Invalid::new("run.token", "is missing"));
                }
                let work = Work {
                    spec: Arc::new(required("run.spec", spec)?.try_into()?),
                    gpus: gpus.iter().map(|it| parse("run.gpus", it)).collect::<Result<_, _>>()?,
                    sealed: Sealed::default(),
                };
                (Duty::Run(work), Some(Entrusted { token, secrets }))
            }
            wire::assignment::Duty::Stop(wire::StopDuty { grace_ms }) => {
                (Duty::Stop { grace: Millis(grace_ms) }, None)
            }
            wire::assignment::Duty::Archive(wire::ArchiveDuty {}) => (Duty::Archive, None),
        };
        let assignment = Assignment { job: parse("job", &job)?, attempt: Attempt(attempt), duty };
        Ok(Self { assignment, entrusted })
    }
}

/// A message of the master to a node.
pub fn master(message: master_message::Message) -> wire::MasterMessage {
    wire::MasterMessage { message: Some(message) }
}
