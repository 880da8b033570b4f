//! What `atlas-node` can be told, in layers (file, environment, flags), and the settings built from it. [`Settings::build`]
//! is the one place that refuses; past it the values hold.

mod user;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use atlas_core::NodeName;
use atlas_core::node::{AllowedVolume, ExecutorKind};
use atlas_core::spec::Volume;
use atlas_runtime::config::{self, Effective, Layers, Secret, Size};
use serde::{Deserialize, Serialize};

pub use user::JobUser;

use crate::inventory::Wanted;

/// The options as they are given.
#[derive(Debug, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The master's gRPC address
    #[arg(long, value_name = "URL")]
    pub master: Option<String>,
    /// The storage that all nodes and the master share; without it jobs' files and logs cannot be archived from here
    #[arg(long, value_name = "DIR")]
    pub shared: Option<PathBuf>,
    /// The node's own folder, on a local disk [default: ~/.atlas/node]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Jobs at the same time [default: 1; with --gpus: one per GPU]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Register this machine's NVIDIA GPUs
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub gpus: Option<bool>,
    /// docker, or process: no isolation but files and signals [default: docker]
    #[arg(long, value_name = "docker|process")]
    pub executor: Option<String>,
    /// Where the Docker engine listens: unix:///PATH or tcp://HOST:PORT [default: DOCKER_HOST, else /var/run/docker.sock]
    #[arg(long, value_name = "URL")]
    pub docker_host: Option<String>,
    /// Where the master reaches this node [default: what --listen says; for 0.0.0.0 this machine's address towards the master]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// Where this node listens, for its master alone [default: port 5000 of this machine's address towards the master]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// The node's name [default: the host's]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Host paths that jobs may mount; may be given several times
    #[arg(long, value_name = "PREFIX[:ro]")]
    pub allow_volume: Option<Vec<String>>,
    /// A volume that every job here gets; may be given several times
    #[arg(long, value_name = "HOST:PATH[:ro]")]
    pub default_volume: Option<Vec<String>>,
    /// The cluster's join token
    #[arg(long, value_name = "T")]
    pub token: Option<Secret<String>>,
    /// A file that holds the join token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Whom jobs run as [default: who started the agent; root must say so: --job-user root]
    #[arg(long, value_name = "UID:GID[,GROUPS]")]
    pub job_user: Option<JobUser>,
    /// Environment of every job here (package index, proxies, certificates); may be given several times
    #[arg(long, value_name = "K=V")]
    pub job_env: Option<Vec<String>>,
    /// The most bytes of changed files that are kept of one job [default: 20GB]
    #[arg(long, value_name = "SIZE")]
    pub max_output: Option<Size>,
    /// The most bytes of fetched bundles and of environments with requirements that are kept for the next job [default: 40GB]
    #[arg(long, value_name = "SIZE")]
    pub cache_size: Option<Size>,
    /// With less room than this on the disk of --data the node takes no new jobs [default: 1GB]
    #[arg(long, value_name = "SIZE")]
    pub min_free: Option<Size>,
    /// The image of jobs that name none
    #[arg(long, value_name = "IMAGE")]
    pub worker_image: Option<String>,
    /// Logins of registries, as `docker login` writes them [default: config.json in DOCKER_CONFIG, else in ~/.docker]
    #[arg(long, value_name = "FILE")]
    pub registry_config: Option<PathBuf>,
    /// The supervisor's program [default: atlas-supervisor beside this one]
    #[arg(long, value_name = "FILE")]
    pub supervisor: Option<PathBuf>,
}

/// The options as they are used.
#[derive(Clone, Debug)]
pub struct Settings {
    pub master: tonic::transport::Uri,
    pub shared: Option<PathBuf>,
    /// Absolute.
    pub data: PathBuf,
    pub inventory: Wanted,
    pub executor: ExecutorKind,
    pub docker_host: Option<String>,
    pub address: Option<String>,
    /// `None` = this machine's address towards the master.
    pub listen: Option<SocketAddr>,
    pub name: NodeName,
    pub volumes: Vec<AllowedVolume>,
    pub default_volumes: Vec<Volume>,
    pub token: Secret<String>,
    pub job_user: JobUser,
    pub job_env: BTreeMap<String, String>,
    pub max_output: u64,
    pub cache_size: u64,
    pub min_free: u64,
    pub worker_image: String,
    pub registry_config: Option<PathBuf>,
    pub supervisor: PathBuf,
}

impl Options {
    /// What holds where nothing is said.
    pub fn defaults() -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        Self {
            master: Some("http://127.0.0.1:5558".into()),
            data: home.map(|home| home.join(".atlas/node")),
            executor: Some("docker".into()),
            max_output: Some(Size::new(20_000_000_000)),
            cache_size: Some(Size::new(40_000_000_000)),
            min_free: Some(Size::new(1_000_000_000)),
            worker_image: Some("atlas/worker:latest".into()),
            ..Self::default()
        }
    }

    /// Lays the file, the environment and these flags over the defaults.
    pub fn effective(&self, file: Option<&Path>) -> Result<Effective<Self>, config::Error> {
        Layers::new(&Self::defaults())?
            .file(file)?
            .env(|name| std::env::var_os(name))?
            .flags(self)?
            .build()
    }
}

impl Settings {
    /// Checks every value; an error names the field and where it was set.
    pub fn build(given: &Effective<Options>) -> Result<Self, config::Error> {
        let it = &given.options;
        let refuse = |field: &str| {
            let field = field.to_owned();
            move |why: String| given.invalid(&field, why)
        };
        let missing = |field: &str, what: &str| given.invalid(field, format!("give {what}"));
        let data = it.data.as_deref().ok_or_else(|| missing("data", "a folder for the node"))?;
        let executor = it.executor.as_deref().unwrap_or_default();
        let executor = values::executor(executor).map_err(refuse("executor"))?;
        let token = match (&it.token, &it.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(file)) => values::token(file).map_err(refuse("token_file"))?,
            (None, None) => {
                return Err(missing(
                    "token",
                    "the cluster's join token by --token or --token-file",
                ));
            }
        };
        let volumes = it.allow_volume.iter().flatten().map(|text| values::allowed_volume(text));
        let default_volumes = it.default_volume.iter().flatten().map(|text| values::volume(text));
        let job_env = it.job_env.iter().flatten().map(|text| values::variable(text));
        Ok(Self {
            master: values::master(it.master.as_deref().unwrap_or_default())
                .map_err(refuse("master"))?,
            shared: it
                .shared
                .as_deref()
                .map(values::absolute)
                .transpose()
                .map_err(refuse("shared"))?,
            data: values::absolute(data).map_err(refuse("data"))?,
            inventory: values::inventory(it.workers, it.gpus).map_err(refuse("workers"))?,
            executor,
            docker_host: it.docker_host.clone(),
            address: it.address.clone(),
            listen: it
                .listen
                .as_deref()
                .map(values::listen)
                .transpose()
                .map_err(refuse("listen"))?,
            name: values::name(it.name.as_deref()).map_err(refuse("name"))?,
            volumes: volumes.collect::<Result<_, _>>().map_err(refuse("allow_volume"))?,
            default_volumes: default_volumes
                .collect::<Result<_, _>>()
                .map_err(refuse("default_volume"))?,
            token,
            job_user: values::job_user(it.job_user.as_ref()).map_err(refuse("job_user"))?,
            job_env: job_env.collect::<Result<_, _>>().map_err(refuse("job_env"))?,
            max_output: it.max_output.map_or(u64::MAX, Size::bytes),
            cache_size: it.cache_size.map_or(0, Size::bytes),
            min_free: it.min_free.map_or(0, Size::bytes),
            worker_image: it.worker_image.clone().unwrap_or_default(),
            registry_config: it
                .registry_config
                .as_deref()
                .map(values::readable)
                .transpose()
                .map_err(refuse("registry_config"))?,
            supervisor: values::supervisor(it.supervisor.as_deref())
                .map_err(refuse("supervisor"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(change: impl FnOnce(&mut Options)) -> Result<Settings, String> {
        let mut flags = Options {
            token: Some(Secret::new("t".into())),
            data: Some("/tmp/d".into()),
            job_user: Some("1000:1000".parse().unwrap()),
            supervisor: Some("/bin/true".into()),
            ..Options::default()
        };
        change(&mut flags);
        let layers = Layers::new(&Options::defaults()).unwrap().flags(&flags).unwrap();
        Settings::build(&layers.build().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let settings = build(|_| {}).unwrap();
        assert_eq!(settings.executor, ExecutorKind::Docker);
        assert_eq!(settings.inventory, Wanted { workers: None, gpus: false });
        assert_eq!(settings.listen, None);
        assert_eq!(settings.min_free, 1_000_000_000);
        assert_eq!(settings.max_output, 20_000_000_000);
        assert_eq!(settings.cache_size, 40_000_000_000);
    }

    #[test]
    fn a_bad_value_is_refused_with_the_name_of_its_flag() {
        type Change = fn(&mut Options);
        let cases: [(&str, Change); 12] = [
            ("--executor", |it| it.executor = Some("podman".into())),
            ("--workers", |it| it.workers = Some(0)),
            ("--listen", |it| it.listen = Some("localhost".into())),
            ("--name", |it| it.name = Some("a/b".into())),
            ("--allow-volume", |it| it.allow_volume = Some(vec!["data".into()])),
            ("--allow-volume", |it| it.allow_volume = Some(vec!["/data/../etc".into()])),
            ("--default-volume", |it| it.default_volume = Some(vec!["/a:b".into()])),
            ("--default-volume", |it| it.default_volume = Some(vec!["/a/..:/b".into()])),
            ("--job-env", |it| it.job_env = Some(vec!["=x".into()])),
            ("--master", |it| it.master = Some("http://".into())),
            ("--registry-config", |it| it.registry_config = Some("/nowhere/config.json".into())),
            ("--supervisor", |it| it.supervisor = Some("/nowhere/atlas-supervisor".into())),
        ];
        for (flag, change) in cases {
            let error = build(change).unwrap_err();
            assert!(error.contains(flag), "{flag}: {error}");
        }
    }

    #[test]
    fn without_a_token_there_is_no_way_in() {
        let error = build(|it| it.token = None).unwrap_err();
        assert!(error.contains("--token-file"), "{error}");
    }
}
