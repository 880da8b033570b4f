//! The agent from its start to its end.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atlas_core::Epoch;
use atlas_core::node::{Condition, ExecutorKind, NodeSpec};
use atlas_core::resources::Capacity;
use atlas_runtime::process::{InstanceLock, LockError, is_network_filesystem};
use atlas_runtime::tasks::Tasks;
use tokio::sync::{Semaphore, watch};

use crate::api::{self, Api};
use crate::cache::Cache;
use crate::conditions::share::{Place, Share};
use crate::conditions::{Conditions, disk};
use crate::driver::{self, Driver};
use crate::executor::{Docker, DockerError, Executor, Process};
use crate::identity::{self, Identity};
use crate::inventory;
use crate::leases::Leases;
use crate::master::Token;
use crate::node::Node;
use crate::options::{JobUser, Settings};
use crate::paths::{Data, Shared};
use crate::proxy::{self, Proxy};
use crate::reach::Reach;
use crate::sdk;
use crate::session::Session;
use crate::spare::{self, Spares};
use crate::start::{Bundles, Machine};
use crate::storage::{Remote, Storage};
use crate::trash;
use crate::venv::Venvs;

/// A node joins without its engine when that says nothing for so long.
const FIRST_WORD: Duration = Duration::from_secs(3);
const NOT_ASKED: &str = "the Docker engine has not answered yet";
/// Folders of finished jobs that are emptied at the same time.
const EMPTYING: usize = 2;

/// Why the agent does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not make {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("--data {} lies on {kind}, where sockets and renames are not what they should be: take a local disk", path.display())]
    Network { path: PathBuf, kind: &'static str },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("jobs run as user {user}, who cannot enter {}: give --data a folder below which all may pass (chmod o+x), such as /var/lib/atlas", path.display())]
    Closed { user: JobUser, path: PathBuf },
    #[error(transparent)]
    Identity(#[from] identity::Error),
    #[error(transparent)]
    Inventory(#[from] inventory::Error),
    #[error("--token holds characters that a header cannot carry")]
    Token,
    #[error(transparent)]
    Proxy(#[from] proxy::Error),
    #[error("could not listen in {}", path.display())]
    Api { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error("could not clean up {}", path.display())]
    Clean { path: PathBuf, source: io::Error },
    #[error("could not look through {}", path.display())]
    Look { path: PathBuf, source: io::Error },
}

/// Runs the agent until `tasks` shuts down. The jobs are left to their supervisors.
pub async fn run(settings: Settings, tasks: Tasks) -> Result<(), Error> {
    let data = Data::new(settings.data.clone());
    let lock = prepare(&data)?;
    if settings.executor == ExecutorKind::Process {
        check_reach(&data, &settings.job_user)?;
    }
    let identity = Identity::load(&data)?;
    let capacity = inventory::capacity(settings.inventory)?;
    let token = Token::new(&settings.token).ok_or(Error::Token)?;
    let Some(reach) = tasks.token().run_until_cancelled(Reach::open(&settings)).await else {
        return Ok(());
    };
    let Reach { listener, listens, address } = reach?;
    let api = api::listen(&data).map_err(|source| Error::Api { path: data.api(), source })?;
    let master = remote(&settings, &token, &identity, &tasks);
    let storage = storage(&settings, &master);
    let executor = executor(&settings, &data, &identity, &capacity)?;
    let leases = Leases::default();
    let (epoch, led) = watch::channel(Epoch::default());
    let spec = node_spec(&settings, &identity, address, executor.kind(), capacity);
    let conditions = Conditions::default();
    let cache = Cache::new(&data, settings.cache_size);
    let node = Arc::new(Node {
        machine: machine(&spec.capacity),
        venvs: Venvs::new(&data, &cache),
        bundles: Bundles::new(&storage, &data, &cache),
        cache,
        identity,
        data: data.clone(),
        storage,
        master,
        executor,
        tasks: tasks.clone(),
        leases: leases.clone(),
        epoch: led,
        spares: Spares::default(),
        emptying: Semaphore::new(EMPTYING),
        settings,
    });
    let share = watch_conditions(&node, &conditions).await;
    let Some(found) = tasks.token().run_until_cancelled(driver::find(&node)).await else {
        return Ok(());
    };
    let found = found.map_err(|source| Error::Look { path: data.jobs(), source })?;
    let cluster = identity::cluster(&data)?;
    let holds = !found.is_empty();
    clean(&node, holds)?;
    watch_disk(&node, &conditions).await;
    let (driver, handle) = Driver::new(node.clone(), epoch, found);
    let session = Session {
        master: node.settings.master.clone(),
        token: token.clone(),
        node: spec,
        data,
        cluster,
        driver: handle.clone(),
        leases,
        conditions,
        share,
        holds,
    };
    tracing::info!(address = %listens, executor = node.executor.kind().word(), "node {} is up", node.settings.name);
    tasks.spawn_essential("driver", driver.run());
    tasks.spawn_essential("api", Api::of(&node, &token).serve(api));
    tasks.spawn_essential("proxy", Proxy::new(handle, tasks.clone()).serve(listener, token));
    spawn_session(&tasks, session);
    tasks.cancelled().await;
    drop(lock);
    Ok(())
}

fn spawn_session(tasks: &Tasks, session: Session) {
    let token = tasks.token().clone();
    tasks.spawn_essential("session", async move {
        token.run_until_cancelled(session.run()).await.unwrap_or(Ok(()))
    });
}

/// Watches what this machine needs for jobs, until the agent shuts down.
async fn watch_conditions(node: &Arc<Node>, conditions: &Conditions) -> Option<Share> {
    let (docker, attended) = (node.clone(), conditions.clone());
    let mut changes = conditions.subscribe();
    if !node.executor.answers() {
        conditions.unknown(Condition::Docker, NOT_ASKED);
    }
    watch(node, "executor-condition", async move { docker.executor.attend(&attended).await });
    // What it says first decides whether this node joins with a trouble.
    let said = changes.wait_for(|it| it.reason(Condition::Docker) != Some(NOT_ASKED));
    let _ = tokio::time::timeout(FIRST_WORD, said).await;
    let shared = node.storage.mount()?.clone();
    let (identity, job_user) = (node.identity.node.clone(), node.settings.job_user.clone());
    let place = Place { shared, node: identity, job_user };
    let (share, watcher) = Share::watch(place, conditions.clone());
    watch(node, "share-condition", watcher);
    Some(share)
}

/// Keeps room on the disk, once it is known what is in use.
async fn watch_disk(node: &Node, conditions: &Conditions) {
    let (root, least) = (node.data.root().to_owned(), node.settings.min_free);
    disk::look_after(root.clone(), least, node.cache.clone(), conditions).await;
    watch(node, "disk-condition", disk::watch(root, least, node.cache.clone(), conditions.clone()));
    watch(node, "cache", node.cache.clone().keep_bounded());
}

fn watch(node: &Node, name: &str, watcher: impl Future<Output = ()> + Send + 'static) {
    let token = node.tasks.token().clone();
    node.tasks.spawn(name, async move {
        token.run_until_cancelled(watcher).await;
    });
}

/// After the supervisors of unfinished builds were ended.
fn clean(node: &Node, holds_jobs: bool) -> Result<(), Error> {
    let data = &node.data;
    node.venvs.clean().map_err(|source| Error::Clean { path: data.environments(), source })?;
    if !holds_jobs {
        sdk::clean(data).map_err(|source| Error::Clean { path: data.sdk(), source })?;
    }
    Ok(())
}

/// Mounted here, or through the master.
fn storage(settings: &Settings, master: &Remote) -> Storage {
    match &settings.shared {
        Some(shared) => Storage::Mounted(Shared::new(shared.clone())),
        None => Storage::Master(master.clone()),
    }
}

fn remote(settings: &Settings, token: &Token, identity: &Identity, tasks: &Tasks) -> Remote {
    let (name, identity) = (settings.name.clone(), identity.node.clone());
    Remote::new(&settings.master, token, name, identity, tasks.token().clone())
}

/// This node as the master knows it.
fn node_spec(
    settings: &Settings,
    identity: &Identity,
    address: String,
    executor: ExecutorKind,
    capacity: Capacity,
) -> NodeSpec {
    NodeSpec {
        name: settings.name.clone(),
        identity: identity.node.clone(),
        boot_id: identity.boot_id.clone(),
        address,
        version: env!("CARGO_PKG_VERSION").into(),
        executor,
        capacity,
        volumes: settings.volumes.clone(),
    }
}

fn machine(capacity: &Capacity) -> Machine {
    let driver = if capacity.gpus.is_empty() { None } else { inventory::driver() };
    Machine { gpus: capacity.gpus.clone(), driver }
}

fn executor(
    settings: &Settings,
    data: &Data,
    identity: &Identity,
    capacity: &Capacity,
) -> Result<Executor, Error> {
    Ok(match settings.executor {
        ExecutorKind::Process => Executor::Process(Process::new(settings, data, capacity.slots)),
        ExecutorKind::Docker => {
            let docker = Docker::new(settings, data, identity, capacity.memory)?;
            Executor::Docker(Box::new(docker))
        }
    })
}

/// Without a container a job must be able to walk to its own directory.
fn check_reach(data: &Data, user: &JobUser) -> Result<(), Error> {
    let enters = |path: &Path| {
        let Ok(meta) = path.metadata() else { return false };
        let mode = meta.permissions().mode();
        (meta.uid() == user.uid && mode & 0o100 != 0)
            || ((meta.gid() == user.gid || user.groups.contains(&meta.gid())) && mode & 0o010 != 0)
            || mode & 0o001 != 0
    };
    if user.uid == 0 || user.is_this_process() {
        return Ok(());
    }
    match data.jobs().ancestors().find(|path| !enters(path)) {
        Some(path) => Err(Error::Closed { user: user.clone(), path: path.to_owned() }),
        None => Ok(()),
    }
}

/// The node's own folders, used by this process alone.
fn prepare(data: &Data) -> Result<InstanceLock, Error> {
    let root = data.root();
    let folder =
        |path: PathBuf| fs::create_dir_all(&path).map_err(|source| Error::Folder { path, source });
    let kind = is_network_filesystem(root)
        .map_err(|source| Error::Folder { path: root.to_owned(), source })?;
    if let Some(kind) = kind {
        return Err(Error::Network { path: root.to_owned(), kind });
    }
    for path in [root.to_owned(), data.slots(), data.jobs(), data.trash()] {
        folder(path)?;
    }
    let lock = InstanceLock::acquire(root, "atlas-node")?;
    sdk::lay_out(data).map_err(|source| Error::Folder { path: data.sdk(), source })?;
    spare::clear(data).map_err(|source| Error::Folder { path: data.spare(), source })?;
    let trash = data.trash();
    std::thread::Builder::new()
        .name("empty-trash".into())
        .spawn(move || trash::empty(&trash))
        .map_err(|source| Error::Folder { path: data.trash(), source })?;
    Ok(lock)
}
