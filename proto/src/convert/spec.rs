//! What a user asked for.

use atlas_core::spec::{
    Bundle, Digest, Git, GitDiff, JobSpec, Outputs, Outside, Pull, Rerun, Volume, Worker,
};
use atlas_core::time::Millis;
use atlas_core::{BundleId, Demand, Timestamp};

use super::{Invalid, parse, required};
use crate::wire;

impl From<&JobSpec> for wire::JobSpec {
    fn from(spec: &JobSpec) -> Self {
        Self {
            project: spec.project.to_string(),
            user: spec.user.clone(),
            name: spec.name.clone(),
            tags: spec.tags.clone(),
            note: spec.note.clone(),
            bundle: Some((&spec.bundle).into()),
            command: spec.command.clone(),
            entrypoint: spec.entrypoint.clone().map(|words| wire::Words { words }),
            demand: Some((&spec.demand).into()),
            shm_bytes: spec.shm,
            time_limit_ms: spec.time_limit.map(|it| it.0),
            worker: Some((&spec.worker).into()),
            params_json: spec.params.clone(),
            outputs: Some((&spec.outputs).into()),
            wait_for_capacity: spec.wait_for_capacity,
            fresh_requirements: spec.fresh_requirements,
            git: spec.git.as_ref().map(Into::into),
            rerun: spec.rerun.as_ref().map(Into::into),
            outside: spec.outside.as_ref().map(Into::into),
            traceparent: spec.traceparent.clone(),
        }
    }
}

impl TryFrom<wire::JobSpec> for JobSpec {
    type Error = Invalid;
    fn try_from(spec: wire::JobSpec) -> Result<Self, Invalid> {
        let wire::JobSpec {
            project,
            user,
            name,
            tags,
            note,
            bundle,
            command,
            entrypoint,
            demand,
            shm_bytes,
            time_limit_ms,
            worker,
            params_json,
            outputs,
            wait_for_capacity,
            fresh_requirements,
            git,
            rerun,
            outside,
            traceparent,
        } = spec;
        Ok(Self {
            project: parse("project", &project)?,
            user,
            name,
            tags,
            note,
            bundle: required("bundle", bundle)?.try_into()?,
            command,
            entrypoint: entrypoint.map(|it| it.words),
            demand: required("demand", demand)?.into(),
            shm: shm_bytes,
            time_limit: time_limit_ms.map(Millis),
            worker: required("worker", worker)?.try_into()?,
            params: params_json,
            outputs: outputs.map(Into::into).unwrap_or_default(),
            wait_for_capacity,
            fresh_requirements,
            git: git.map(Into::into),
            rerun: rerun.map(TryInto::try_into).transpose()?,
            outside: outside.map(Into::into),
            traceparent,
        })
    }
}

impl From<&Rerun> for wire::Rerun {
    fn from(rerun: &Rerun) -> Self {
        Self { of: rerun.of.to_string(), resume: rerun.resume }
    }
}

impl TryFrom<wire::Rerun> for Rerun {
    type Error = Invalid;
    fn try_from(rerun: wire::Rerun) -> Result<Self, Invalid> {
        let wire::Rerun { of, resume } = rerun;
        Ok(Self { of: parse("rerun.of", &of)?, resume })
    }
}

impl From<&Outside> for wire::Outside {
    fn from(outside: &Outside) -> Self {
        Self { host: outside.host.clone(), started_ms: outside.started.0 }
    }
}

impl From<wire::Outside> for Outside {
    fn from(outside: wire::Outside) -> Self {
        let wire::Outside { host, started_ms } = outside;
        Self { host, started: Timestamp(started_ms) }
    }
}

impl From<&Bundle> for wire::Bundle {
    fn from(bundle: &Bundle) -> Self {
        Self { id: bundle.id.to_string(), tar_bytes: bundle.tar_size, files: bundle.files }
    }
}

impl TryFrom<wire::Bundle> for Bundle {
    type Error = Invalid;
    fn try_from(bundle: wire::Bundle) -> Result<Self, Invalid> {
        let wire::Bundle { id, tar_bytes, files } = bundle;
        Ok(Self { id: parse::<BundleId>("bundle.id", &id)?, tar_size: tar_bytes, files })
    }
}

impl From<&Demand> for wire::Demand {
    fn from(demand: &Demand) -> Self {
        Self { gpus: demand.gpus, cpu_milli: demand.cpu_milli, memory_bytes: demand.memory }
    }
}

impl From<wire::Demand> for Demand {
    fn from(demand: wire::Demand) -> Self {
        let wire::Demand { gpus, cpu_milli, memory_bytes } = demand;
        Self { gpus, cpu_milli, memory: memory_bytes }
    }
}

impl From<&Worker> for wire::Worker {
    fn from(worker: &Worker) -> Self {
        let pull = match worker.pull {
            Pull::Missing => wire::Pull::Missing,
            Pull::Always => wire::Pull::Always,
            Pull::Never => wire::Pull::Never,
        };
        Self {
            image: worker.image.clone(),
            pull: pull.into(),
            env: worker.env.clone(),
            volumes: worker.volumes.iter().map(Into::into).collect(),
            python: worker.python.clone(),
            working_dir: worker.working_dir.clone(),
            secrets: worker.secrets.iter().map(|(name, it)| (name.clone(), it.0.clone())).collect(),
        }
    }
}

impl TryFrom<wire::Worker> for Worker {
    type Error = Invalid;
    fn try_from(worker: wire::Worker) -> Result<Self, Invalid> {
        let asked = worker.pull();
        let wire::Worker { image, pull, env, volumes, python, working_dir, secrets } = worker;
        let pull = match asked {
            wire::Pull::Missing => Pull::Missing,
            wire::Pull::Always => Pull::Always,
            wire::Pull::Never => Pull::Never,
            wire::Pull::Unspecified => {
                return Err(Invalid::new("worker.pull", format!("{pull} is not a rule")));
            }
        };
        Ok(Self {
            image,
            pull,
            env,
            volumes: volumes.into_iter().map(Into::into).collect(),
            python,
            working_dir,
            secrets: secrets.into_iter().map(|(name, it)| (name, Digest(it))).collect(),
        })
    }
}

impl From<&Volume> for wire::Volume {
    fn from(volume: &Volume) -> Self {
        Self { host: volume.host.clone(), bind: volume.bind.clone(), read_only: volume.read_only }
    }
}

impl From<wire::Volume> for Volume {
    fn from(volume: wire::Volume) -> Self {
        let wire::Volume { host, bind, read_only } = volume;
        Self { host, bind, read_only }
    }
}

impl From<&Outputs> for wire::Outputs {
    fn from(outputs: &Outputs) -> Self {
        Self { exclude: outputs.exclude.clone(), max_bytes: outputs.max_bytes }
    }
}

impl From<wire::Outputs> for Outputs {
    fn from(outputs: wire::Outputs) -> Self {
        let wire::Outputs { exclude, max_bytes } = outputs;
        Self { exclude, max_bytes }
    }
}

impl From<&Git> for wire::Git {
    fn from(git: &Git) -> Self {
        let Git { commit, branch, dirty, diff } = git;
        let diff = diff.as_ref().map(Into::into);
        Self { commit: commit.clone(), branch: branch.clone(), dirty: *dirty, diff }
    }
}

impl From<wire::Git> for Git {
    fn from(git: wire::Git) -> Self {
        let wire::Git { commit, branch, dirty, diff } = git;
        Self { commit, branch, dirty, diff: diff.map(Into::into) }
    }
}

impl From<&GitDiff> for wire::GitDiff {
    fn from(diff: &GitDiff) -> Self {
        let GitDiff { sha256, files, bytes } = diff;
        Self { sha256: sha256.clone(), files: *files, bytes: *bytes }
    }
}

impl From<wire::GitDiff> for GitDiff {
    fn from(diff: wire::GitDiff) -> Self {
        let wire::GitDiff { sha256, files, bytes } = diff;
        Self { sha256, files, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> JobSpec {
        JobSpec {
            project: "p".parse().unwrap(),
            user: "ada".into(),
            name: Some("n".into()),
            tags: [("k".into(), "v".into())].into(),
            note: "note".into(),
            bundle: Bundle { id: "ab".repeat(32).parse().unwrap(), tar_size: 1, files: 2 },
            command: vec!["main.py".into()],
            entrypoint: Some(vec!["python".into()]),
            demand: Demand { gpus: 1, cpu_milli: 500, memory: 7 },
            shm: Some(8),
            time_limit: Some(Millis(9)),
            worker: Worker {
                image: Some("i".into()),
                pull: Pull::Never,
                env: [("A".into(), "b".into())].into(),
                volumes: vec![Volume { host: "/h".into(), bind: "/b".into(), read_only: true }],
                python: Some("/usr/bin/python3".into()),
                working_dir: Some("/w".into()),
                secrets: [("T".into(), Digest("d".into()))].into(),
            },
            params: Some("{}".into()),
            outputs: Outputs { exclude: vec!["*.tmp".into()], max_bytes: Some(9) },
            wait_for_capacity: true,
            fresh_requirements: true,
            git: Some(Git {
                commit: "c".into(),
                branch: "b".into(),
                dirty: true,
                diff: Some(GitDiff { sha256: "d".into(), files: 2, bytes: 3 }),
            }),
            rerun: Some(Rerun {
                of: "45540b52-ffe2-44ab-9838-db467d3499c0".parse().unwrap(),
                resume: true,
            }),
            outside: Some(Outside { host: "h".into(), started: Timestamp(7) }),
            traceparent: Some("t".into()),
        }
    }

    #[test]
    fn a_spec_survives_the_wire() {
        assert_eq!(JobSpec::try_from(wire::JobSpec::from(&spec())), Ok(spec()));
    }

    #[test]
    fn a_bad_field_is_named() {
        let mut bad = wire::JobSpec::from(&spec());
        bad.project = "a/b".into();
        assert_eq!(JobSpec::try_from(bad).unwrap_err().field, "project");
        let mut bad = wire::JobSpec::from(&spec());
        bad.bundle = None;
        assert_eq!(JobSpec::try_from(bad).unwrap_err().to_string(), "bundle: is missing");
    }
}
