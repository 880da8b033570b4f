//! A whole Atlas on one machine: master and node as children of one process that stays in the foreground.

mod child;
mod data;
mod engine;
mod error;
mod ports;
mod ready;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;

use atlas_proto::wire;
use atlas_runtime::tasks::{Signal, signals};

use crate::config::{Config, variable};
use crate::connect::{Master, watch};
use crate::exit::Exit;
use crate::output;
use crate::say::Say;

pub use child::become_child;
use child::{Child, Programs};
pub use data::{Data, stop};
pub use engine::Executor;
pub use error::Error;
pub use ports::Listen;
use ready::Endpoints;

/// What `atlas up` was told.
#[derive(Clone, Debug)]
pub struct Settings {
    pub data: PathBuf,
    /// None = only the master.
    pub workers: Option<Workers>,
    /// None = docker where it can be had.
    pub executor: Option<Executor>,
    /// End what runs when Atlas ends.
    pub stop_jobs: bool,
    pub http: Listen,
    pub grpc: Listen,
    pub node: Listen,
    /// Whom jobs run as, for an Atlas that root starts.
    pub job_user: Option<String>,
    pub insecure_no_accounts: bool,
}

/// How many jobs run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    Number(u32),
    PerGpu,
}

/// What runs.
struct Up {
    master: Child,
    node: Option<Child>,
    client: Master,
    data: Data,
}

/// Runs Atlas until a signal, or until a part of it ends by itself.
pub async fn run(settings: Settings, say: Say) -> Result<Exit, Error> {
    let mut signal = pin!(signals().map_err(Error::Signals)?);
    let programs = Programs::beside_this_one()?;
    let data = Data::claim(&settings.data)?;
    let port = settings.workers.map(|_| ("--node", settings.node));
    ports::check([("--http", settings.http), ("--grpc", settings.grpc)].into_iter().chain(port))?;
    let node = match settings.workers {
        Some(workers) => Some((workers, engine::choose(settings.executor, say).await?)),
        None => None,
    };
    let mut up = tokio::select! {
        up = start(&settings, &programs, data, node, say) => up?,
        signal = &mut signal => return Ok(signal.into()),
    };
    let ended = tokio::select! {
        signal = &mut signal => Ok(signal),
        error = up.ended() => Err(error),
    };
    match ended {
        Ok(signal) => up.stop(signal, settings.stop_jobs, say).await,
        Err(error) => {
            up.end().await;
            Err(error)
        }
    }
}

async fn start(
    settings: &Settings,
    programs: &Programs,
    data: Data,
    workers: Option<(Workers, Executor)>,
    say: Say,
) -> Result<Up, Error> {
    ready::forget_endpoints(&data.master())?;
    let mut master = Child::start(&programs.master, &master_args(settings, &data), &data)?;
    let endpoints = master.or_ended(ready::endpoints(&data.master())).await??;
    let config = Config { url: endpoints.grpc.clone(), ..Config::default() };
    let client = Master::connect(&config, say).await.map_err(Error::Connect)?;
    let mut node = None;
    let mut joined = None;
    if let Some((workers, executor)) = workers {
        let args = node_args(settings, &data, &endpoints, workers, executor);
        let child = node.insert(Child::start(&programs.node, &args, &data)?);
        // What the node says may be why the master ends.
        let found = master.or_ended(child.or_ended(ready::node(&client))).await;
        joined = Some((found???, executor));
    }
    data.write_endpoints(&endpoints, joined.as_ref().map(|it| it.0.address.as_str()))?;
    announce(&endpoints, joined.as_ref().map(|it| (&it.0, it.1)), &data, say);
    Ok(Up { master, node, client, data })
}

fn master_args(settings: &Settings, data: &Data) -> Vec<String> {
    let mut args = vec![
        format!("--data={}", data.master().display()),
        format!("--shared={}", data.shared().display()),
        format!("--token-file={}", data.token().display()),
        format!("--http={}", SocketAddr::from(settings.http)),
        format!("--grpc={}", SocketAddr::from(settings.grpc)),
        "--log-format=text".into(),
    ];
    // One machine: what runs ends with its boot, and never because of a slow moment. Nodes elsewhere may be away for ever.
    if settings.workers.is_some() {
        args.push("--lease=until-reboot".into());
    }
    if settings.insecure_no_accounts {
        args.push("--insecure-no-accounts".into());
    }
    args
}

fn node_args(
    settings: &Settings,
    data: &Data,
    endpoints: &Endpoints,
    workers: Workers,
    executor: Executor,
) -> Vec<String> {
    let mut args = vec![
        format!("--master={}", endpoints.grpc),
        format!("--data={}", data.node().display()),
        format!("--shared={}", data.shared().display()),
        format!("--token-file={}", data.token().display()),
        format!("--listen={}", SocketAddr::from(settings.node)),
        format!("--executor={}", executor.word()),
        "--allow-volume=/".into(),
        "--log-format=text".into(),
    ];
    args.push(match workers {
        Workers::Number(workers) => format!("--workers={workers}"),
        Workers::PerGpu => "--gpus".into(),
    });
    args.extend(settings.job_user.as_ref().map(|user| format!("--job-user={user}")));
    args
}

fn announce(endpoints: &Endpoints, node: Option<(&wire::Node, Executor)>, data: &Data, say: Say) {
    match node {
        Some((node, executor)) => say.info(format_args!(
            "Atlas is up: {} on {}, jobs run {}.",
            output::counted(node.slots, "worker", "workers"),
            node.name,
            executor.in_words()
        )),
        None => say.info("Atlas is up, without workers of its own: `atlas join-token` says how a machine becomes a node."),
    }
    say.info(format_args!("Dashboard: {}", endpoints.http));
    let default = endpoints.grpc == crate::config::DEFAULT_URL;
    let hint = if default { "" } else { " (scheduler_url of a configuration)" };
    say.info(format_args!("Address for commands: {}{hint}", endpoints.grpc));
    if let Some((node, _)) = node {
        say.info(format_args!(
            "The node listens on {}. Logs are in {}.",
            node.address,
            data.logs().display()
        ));
        if node.state != "ready" {
            say.warn(format_args!("The node takes no jobs: {}", node.reason));
        }
    }
    say.info("Ctrl-C stops Atlas; running jobs go on.");
}

impl Up {
    /// The first child that ends although nobody asked it to.
    async fn ended(&mut self) -> Error {
        match &mut self.node {
            None => self.master.ended().await,
            Some(node) => tokio::select! {
                error = self.master.ended() => error,
                error = node.ended() => error,
            },
        }
    }

    async fn stop(mut self, signal: Signal, stop_jobs: bool, say: Say) -> Result<Exit, Error> {
        say.info(format_args!("{signal} received, stopping; once more ends at once."));
        let mut left = running(&self.client).await;
        if stop_jobs && !left.is_empty() {
            let jobs = output::counted(left.len(), "job", "jobs");
            say.info(format_args!("Stopping {jobs}."));
            match end_jobs(&self.client).await {
                Ok(()) => left.clear(),
                Err(error) => say.warn(format_args!(
                    "{jobs} could not be stopped: {}",
                    atlas_runtime::Chain(&error)
                )),
            }
        }
        self.end().await;
        match left.len() {
            0 => say.info("Atlas has stopped; no job is running."),
            many => say.info(format_args!(
                "Atlas has stopped; {} again by the next `atlas up`.",
                output::counted(
                    many,
                    "job goes on under its supervisor and is found",
                    "jobs go on under their supervisors and are found"
                )
            )),
        }
        Ok(Exit::SUCCESS)
    }

    /// The node first, so that it can tell the master what it knows.
    async fn end(&mut self) {
        if let Some(node) = &mut self.node {
            node.end().await;
        }
        self.master.end().await;
        self.data.remove_endpoints();
    }
}

/// Jobs that hold a worker now; none where that cannot be told.
async fn running(client: &Master) -> Vec<String> {
    let nodes = client.nodes().await.unwrap_or_default();
    nodes.into_iter().flat_map(|it| it.jobs).collect()
}

/// Ends the queue, or its jobs would take the place of those that are stopped, then what runs, and waits for it.
async fn end_jobs(client: &Master) -> Result<(), crate::connect::Error> {
    use futures::StreamExt;
    client.clear_queue().await?;
    let jobs = running(client).await;
    for job in &jobs {
        match client.stop(job).await {
            // It ended by itself.
            Ok(_)
            | Err(crate::connect::Error::Refused { .. } | crate::connect::Error::NoSuch { .. }) => {
            }
            Err(error) => return Err(error),
        }
    }
    for job in &jobs {
        let mut states = watch(client, job);
        while let Some(now) = states.next().await {
            if now?.ended_ms.is_some() {
                break;
            }
        }
    }
    Ok(())
}

/// The folder of one machine's Atlas where none is named.
pub fn default_data() -> PathBuf {
    crate::config::home().join("data")
}

/// As `atlas-server stop`: the Atlas of this folder, stopped as by Ctrl-C.
pub async fn stop_running(data: &Path, say: Say) -> Result<Exit, Error> {
    stop(data).await?;
    say.info("Atlas has stopped.");
    Ok(Exit::SUCCESS)
}

/// Whom jobs run as where nobody says: who started Atlas. Behind sudo that is who called it; root itself is worth a word.
pub fn job_user(say: Say) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    if let (Some(uid), Some(gid)) = (variable("SUDO_UID"), variable("SUDO_GID"))
        && uid != "0"
    {
        return Some(format!("{uid}:{gid}"));
    }
    say.warn("Root starts Atlas, so jobs run as root; --job-user UID:GID chooses another user.");
    Some("root".into())
}
