//! What a job's container looks like. Pure.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use atlas_core::{ClusterId, Epoch, GpuId};
use bollard::models::{
    ContainerCreateBody, DeviceRequest, HealthConfig, HostConfig, HostConfigLogConfig, Mount,
    MountType, ResourcesUlimits,
};

use super::image::Image;
use crate::options::JobUser;
use crate::start::Launch;
use crate::venv;

/// Paths in every container.
pub const WORK: &str = "/job";
pub const CONTROL: &str = "/atlas/control";
pub const API: &str = "/atlas/api";
pub const HOME: &str = "/atlas/home";
pub const CHECKPOINTS: &str = "/atlas/checkpoints";
pub const RESUME: &str = "/atlas/resume";
pub const VENV: &str = "/atlas/venv";
pub const SDK: &str = "/atlas/sdk";
pub const BIN: &str = "/atlas/bin";
pub const TMP: &str = "/tmp";
const SUPERVISOR: &str = "/atlas/supervisor";

/// Labels by which an agent finds its containers again.
pub(super) const NODE: &str = "atlas.node";
pub(super) const JOB: &str = "atlas.job";
pub(super) const ATTEMPT: &str = "atlas.attempt";
const CLUSTER: &str = "atlas.cluster";
const EPOCH: &str = "atlas.epoch";
const IMAGE: &str = "atlas.image";

const PROCESSES: i64 = 32_768;
const OPEN_FILES: i64 = 1_048_576;
const STACK: i64 = 64 << 20;
/// The kernel's least quota is a millisecond in each tenth of a second.
const LEAST_CPU_MILLI: u64 = 10;
/// A job's is 1024: where processors are short, builds wait for jobs.
const BUILD_SHARES: i64 = 256;

pub(super) struct Labels<'a> {
    pub node: &'a str,
    pub cluster: Option<ClusterId>,
    pub epoch: Epoch,
}

/// What all containers of a node have in common.
pub(super) struct Common<'a> {
    pub image: &'a Image,
    pub supervisor: &'a Path,
    /// The folder of the agent's socket for jobs.
    pub api: PathBuf,
    /// The folder of the Python SDK.
    pub sdk: PathBuf,
    /// The `atlas` that jobs are lent.
    pub command: Option<PathBuf>,
    pub user: &'a JobUser,
    /// Of the machine, in bytes.
    pub memory: u64,
}

impl Common<'_> {
    /// The container of a job.
    pub(super) fn job(&self, launch: &Launch<'_>, labels: &Labels<'_>) -> ContainerCreateBody {
        let Launch { id, dir, kept, files, venv, .. } = launch;
        let mut mounts = vec![
            bind(&dir.control(), CONTROL, false),
            bind(&dir.work(), WORK, false),
            bind(&dir.home(), HOME, false),
            bind(&dir.tmp(), TMP, false),
            bind(&files.checkpoints, CHECKPOINTS, false),
            bind(&self.api, API, true),
            bind(&self.sdk, SDK, true),
        ];
        mounts.extend(self.command.as_ref().map(|it| bind(it, &format!("{BIN}/atlas"), true)));
        mounts.extend(files.resume.as_ref().map(|it| bind(it, RESUME, true)));
        mounts.extend(venv.map(|venv| bind(&venv.path(), VENV, true)));
        mounts.extend(files.mounts.iter().map(|it| bind(&it.host, &it.bind, it.read_only)));
        let demand = &kept.spec.demand;
        let memory = (demand.memory > 0).then(|| signed(demand.memory));
        let half = if demand.memory > 0 { demand.memory / 2 } else { self.memory / 2 };
        let host = HostConfig {
            memory,
            memory_swap: memory, // as much in all: none of it swap
            nano_cpus: (demand.cpu_milli > 0)
                .then(|| signed(demand.cpu_milli.max(LEAST_CPU_MILLI).saturating_mul(1_000_000))),
            shm_size: Some(signed(kept.spec.shm.unwrap_or(half))),
            device_requests: devices(&kept.gpus),
            ..self.host(mounts)
        };
        ContainerCreateBody {
            hostname: Some(format!("job-{}", &id.job.to_string()[..8])),
            // The supervisor gives the job its own environment; this is for the runtime's hooks.
            env: Some(vec![nvidia(&kept.gpus)]),
            labels: Some(labels.of(launch, &self.image.name)),
            ..self.body(host)
        }
    }

    /// The container in which a virtual environment is built.
    pub(super) fn build(&self, folder: &Path, node: &str) -> ContainerCreateBody {
        let mounts = vec![
            bind(&folder.join(venv::CONTROL), CONTROL, false),
            bind(&folder.join(venv::SOURCE), WORK, false),
            bind(&folder.join(venv::HOME), HOME, false),
            bind(&folder.join(venv::TMP), TMP, false),
            bind(&folder.join(venv::VENV), VENV, false),
        ];
        let labels = HashMap::from([(NODE.to_owned(), node.to_owned())]);
        // Not the limits of the job that waits for it: other jobs use the environment too.
        let memory = Some(signed(self.memory / 2));
        let host = HostConfig {
            memory,
            memory_swap: memory,
            cpu_shares: Some(BUILD_SHARES),
            ..self.host(mounts)
        };
        ContainerCreateBody {
            env: Some(vec![nvidia(&[])]),
            labels: Some(labels),
            ..self.body(host)
        }
    }

    fn body(&self, host: HostConfig) -> ContainerCreateBody {
        let argv = ["job", "--control", CONTROL].map(str::to_owned);
        ContainerCreateBody {
            image: Some(self.image.id.clone()),
            entrypoint: Some(vec![SUPERVISOR.into()]),
            cmd: Some(argv.into()),
            user: Some(self.supervisor_user()),
            working_dir: Some("/".into()),
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".into()]),
                ..Default::default()
            }),
            host_config: Some(host),
            ..Default::default()
        }
    }

    fn host(&self, mut mounts: Vec<Mount>) -> HostConfig {
        mounts.insert(0, bind(self.supervisor, SUPERVISOR, true));
        HostConfig {
            mounts: Some(mounts),
            log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
            pids_limit: Some(PROCESSES),
            ulimits: Some(vec![
                limit("memlock", -1),
                limit("stack", STACK),
                limit("nofile", OPEN_FILES),
            ]),
            group_add: Some(self.user.groups.iter().map(ToString::to_string).collect()),
            security_opt: Some(vec!["no-new-privileges".into()]),
            ..Default::default()
        }
    }

    /// A supervisor that is root takes on the job's user itself, and keeps its files from it.
    fn supervisor_user(&self) -> String {
        if rustix::process::geteuid().is_root() {
            "0:0".into()
        } else {
            format!("{}:{}", self.user.uid, self.user.gid)
        }
    }
}

impl Labels<'_> {
    fn of(&self, launch: &Launch<'_>, image: &str) -> HashMap<String, String> {
        let Self { node, cluster, epoch } = self;
        let cluster = cluster.as_ref().map(|it| (CLUSTER, it.to_string()));
        let all = [
            (NODE, (*node).to_owned()),
            (JOB, launch.id.job.to_string()),
            (ATTEMPT, launch.id.attempt.to_string()),
            (EPOCH, epoch.to_string()),
            (IMAGE, image.to_owned()),
        ];
        all.into_iter().chain(cluster).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Leaves the limits to the engine. False = they were left to it already.
pub(super) fn without_limits(body: &mut ContainerCreateBody) -> bool {
    body.host_config.as_mut().and_then(|host| host.ulimits.take()).is_some()
}

/// For NVIDIA's runtime: exactly these, whatever the image says.
fn nvidia(gpus: &[GpuId]) -> String {
    let gpus: Vec<&str> = gpus.iter().map(GpuId::as_str).collect();
    let visible = if gpus.is_empty() { "void".into() } else { gpus.join(",") };
    format!("NVIDIA_VISIBLE_DEVICES={visible}")
}

fn devices(gpus: &[GpuId]) -> Option<Vec<DeviceRequest>> {
    (!gpus.is_empty()).then(|| {
        vec![DeviceRequest {
            device_ids: Some(gpus.iter().map(ToString::to_string).collect()),
            capabilities: Some(vec![vec!["gpu".into()]]),
            ..Default::default()
        }]
    })
}

/// Unlike a plain bind, this never makes a host path that is not there.
fn bind(host: &Path, inside: &str, read_only: bool) -> Mount {
    Mount {
        source: Some(host.to_string_lossy().into_owned()),
        target: Some(inside.to_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        ..Default::default()
    }
}

fn limit(name: &str, value: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.into()), soft: Some(value), hard: Some(value) }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::driver::Kept;
    use crate::executor::Base;
    use crate::paths::Data;
    use crate::start::Files;

    fn body(change: impl FnOnce(&mut Kept)) -> ContainerCreateBody {
        let mut kept = Kept {
            spec: Arc::new(crate::tests::spec()),
            gpus: Vec::new(),
            boot_id: "b".into(),
            epoch: Epoch(7),
        };
        change(&mut kept);
        let id = "45540b52-ffe2-44ab-9838-db467d3499c0.2".parse().unwrap();
        let dir = Data::new("/d".into()).job(id);
        let files = Files {
            checkpoints: "/s/c".into(),
            resume: Some("/s/r".into()),
            mounts: Vec::new(),
            requirements: None,
        };
        let base = Base::default();
        let launch = Launch { id, dir: &dir, kept: &kept, files: &files, base: &base, venv: None };
        let labels = Labels { node: "n", cluster: Some("c".parse().unwrap()), epoch: kept.epoch };
        with_common(|common| common.job(&launch, &labels))
    }

    fn with_common(make: impl FnOnce(&Common<'_>) -> ContainerCreateBody) -> ContainerCreateBody {
        let image = Image {
            id: "sha256:1".into(),
            digest: "sha256:1".into(),
            name: "i:1".into(),
            env: Default::default(),
            entrypoint: Vec::new(),
            python: None,
        };
        make(&Common {
            image: &image,
            supervisor: Path::new("/bin/atlas-supervisor"),
            api: "/d/api".into(),
            sdk: "/d/sdk/1".into(),
            command: Some("/bin/atlas".into()),
            user: &"1000:1000,44".parse().unwrap(),
            memory: 1000,
        })
    }

    #[test]
    fn a_build_has_limits_and_sees_no_gpu() {
        let body = with_common(|common| common.build(Path::new("/d/venvs/1"), "n"));
        assert_eq!(body.env.unwrap(), ["NVIDIA_VISIBLE_DEVICES=void"]);
        let host = body.host_config.unwrap();
        assert_eq!((host.memory, host.memory_swap), (Some(500), Some(500)));
        assert_eq!((host.cpu_shares, host.pids_limit), (Some(BUILD_SHARES), Some(PROCESSES)));
    }

    #[test]
    fn a_container_can_be_found_again() {
        let labels = body(|_| {}).labels.unwrap();
        let mut lines: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        lines.sort();
        expect_test::expect![[r#"
            atlas.attempt=2
            atlas.cluster=c
            atlas.epoch=7
            atlas.image=i:1
            atlas.job=45540b52-ffe2-44ab-9838-db467d3499c0
            atlas.node=n"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn limits_are_those_that_were_asked_for() {
        let host = body(|kept| {
            let spec = Arc::make_mut(&mut kept.spec);
            spec.demand.memory = 4000;
            spec.demand.cpu_milli = 1500;
        })
        .host_config
        .unwrap();
        assert_eq!((host.memory, host.memory_swap), (Some(4000), Some(4000)));
        assert_eq!((host.nano_cpus, host.shm_size), (Some(1_500_000_000), Some(2000)));
        let host = body(|_| {}).host_config.unwrap();
        assert_eq!((host.memory, host.nano_cpus, host.shm_size), (None, None, Some(500)));
        let little = body(|kept| Arc::make_mut(&mut kept.spec).demand.cpu_milli = 1);
        assert_eq!(little.host_config.unwrap().nano_cpus, Some(10_000_000));
    }

    #[test]
    fn a_job_sees_the_gpus_it_was_given_and_no_other() {
        let gpus = body(|kept| kept.gpus = vec!["GPU-1".parse().unwrap()]);
        let request = gpus.host_config.unwrap().device_requests.unwrap().remove(0);
        assert_eq!(request.device_ids.unwrap(), ["GPU-1"]);
        assert_eq!(gpus.env.unwrap(), ["NVIDIA_VISIBLE_DEVICES=GPU-1"]);
        let none = body(|_| {});
        assert_eq!(none.host_config.unwrap().device_requests, None);
        assert_eq!(none.env.unwrap(), ["NVIDIA_VISIBLE_DEVICES=void"]);
    }
}
