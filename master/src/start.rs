//! How a master comes to serve: its state restored, its tasks named, its listeners open.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use atlas_core::cluster::{Effect, Input, Lease};
use atlas_core::{Cluster, Epoch};
use atlas_runtime::process::{
    InstanceLock, LockError, is_network_filesystem, port_holder, write_atomic,
};
use atlas_runtime::tasks::Tasks;
use atlas_runtime::{Chain, connection};
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::age::{self, Age};
use crate::archive::Archive;
use crate::bundles::{self, Bundles};
use crate::config::Config;
use crate::edge::host::Names;
use crate::edge::keys::Keys;
use crate::edge::seal::Seals;
use crate::edge::token::JobTokens;
use crate::edge::{self, Edge};
use crate::grpc::{self, JoinToken};
use crate::http::{self, App};
use crate::metrics::Metrics;
use crate::projects::Projects;
use crate::proxy::Proxy;
use crate::reactor::{Feed, Handle, Parts, Reactor, WelcomeFacts, now};
use crate::retention::Rules;
use crate::runs::Runs;
use crate::service::{Fillings, Service};
use crate::share::Share;
use crate::store::{Lead, Store};
use crate::tracker::{self, Compactor, Tracker};
use crate::turns::Storage;
use crate::{belongs, state, store, trash};

/// How often a node says that it is there.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(3);
/// In the data folder: the key of the jobs' tokens.
const JOB_KEY: &str = "job-token-key";
/// In the data folder: the key that the jobs' secrets are sealed with.
const SECRET_KEY: &str = "secret-key";
/// How often trash, unused bundles and broken uploads are looked for.
const SWEEP: Duration = Duration::from_secs(3600);

/// A master that could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not make the folder {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("--data {} is on {kind}, a network file system, where the state would not be safe; name a folder on a local disk", path.display())]
    Network { path: PathBuf, kind: &'static str },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("could not open the bundles in {}", path.display())]
    Bundles { path: PathBuf, source: bundles::Error },
    #[error(transparent)]
    Age(#[from] age::Error),
    #[error(transparent)]
    Belongs(#[from] belongs::Error),
    #[error("could not read or make the secret in {}", path.display())]
    Secret { path: PathBuf, source: io::Error },
    #[error("{} is empty: everybody could know that; remove it, and a secret is made", path.display())]
    NoSecret { path: PathBuf },
    #[error("the join token in {} is not one line of plain text", path.display())]
    TokenText { path: PathBuf },
    #[error("could not listen on {address}{holder}")]
    Listen { address: SocketAddr, holder: String, source: io::Error },
    #[error("could not write {}", path.display())]
    Endpoints { path: PathBuf, source: io::Error },
}

/// Opens everything, spawns every task, and returns once requests are served. Where it listens is in `endpoints.json` then.
pub async fn start(config: Config, tasks: Tasks) -> Result<(), Error> {
    let lock = prepare(&config)?;
    let token = secret(&config.token_file)?;
    let keys = keys(&config)?;
    let listeners = [listen(config.http).await?, listen(config.grpc).await?];
    let opened = state::open(&config.data, config.redis.as_ref(), &tasks).await?;
    let Some(store) = opened else { return Ok(()) };
    let (lead, age) = take_the_lead(&config, store.as_ref()).await?;
    let (cluster, effects) = restore(&config, store.as_ref(), &lead).await?;
    let archive = archive(&config)?;
    let Listening { runs, compactor, rules, feed } = listening(&store, lead.mark.epoch, &tasks);
    let (trash, to_trash) = mpsc::unbounded_channel();
    let parts = Parts {
        cluster,
        store: store.clone(),
        mark: lead.mark,
        welcome: welcome(&config, &lead),
        keys: keys.clone(),
        feed: feed.clone(),
        trash,
        effects,
        tasks: tasks.clone(),
    };
    let (reactor, handle) = Reactor::new(parts);
    tasks.spawn_essential("reactor", async move {
        let _held_until_the_end = lock;
        reactor.run().await
    });
    let storage = Storage::default();
    let tracker = Tracker::new(tracker::Parts {
        store: store.clone(),
        reactor: handle.clone(),
        archive: archive.clone(),
        epoch: lead.mark.epoch,
        turns: storage.spools.clone(),
        tables: storage.tables.clone(),
        tasks: tasks.clone(),
    });
    let projects = Projects::new(store.clone(), handle.clone(), tasks.clone());
    let share = Share::mark(&config.shared, &lead.cluster);
    let service = Arc::new(Service {
        reactor: handle.clone(),
        store,
        feed,
        runs,
        bundles: Arc::new(bundles(&config)?),
        archive,
        proxy: proxy(&token, &config)?,
        keys,
        share_mark: share.name().to_owned(),
        cluster: lead.cluster,
        age,
        max_bundle: config.max_bundle,
        max_output: config.max_output,
        storage,
        fillings: Fillings::default(),
        measured: Arc::default(),
        removals: Default::default(),
        tracker,
        projects,
        tasks: tasks.clone(),
    });
    tasks.spawn("compactor", compactor.run(service.tracker.clone(), service.runs.clone()));
    tasks.spawn("trash", trash::run(to_trash, service.clone(), lead.mark.epoch));
    tasks.spawn("retention", rules.keep(service.clone()));
    tasks.spawn("sweep", sweep(service.clone()));
    tasks.spawn("share", share.keep(tasks.clone()));
    tasks.spawn("planned-stop", planned_stop(tasks.clone(), handle));
    serve(listeners, &service, JoinToken(token), &config, &tasks)
}

/// Who hears of everything that is kept.
struct Listening {
    runs: Runs,
    compactor: Compactor,
    rules: Rules,
    feed: Feed,
}

fn listening(store: &Arc<dyn Store>, epoch: Epoch, tasks: &Tasks) -> Listening {
    let compactor = Compactor::default();
    let runs = Runs::start(store.clone(), compactor.listener(), tasks);
    let rules = Rules::default();
    let listeners = vec![runs.listener(), compactor.listener(), rules.listener()];
    Listening { runs, compactor, rules, feed: Feed::new(epoch, listeners) }
}

async fn restore(
    config: &Config,
    store: &dyn Store,
    lead: &Lead,
) -> Result<(Cluster, Vec<Effect>), Error> {
    let snapshot = store.restore().await?;
    let (jobs, nodes) = (snapshot.jobs.len(), snapshot.nodes.len());
    tracing::info!(
        epoch = lead.mark.epoch.0,
        jobs,
        nodes,
        "leading cluster {} with {jobs} live jobs",
        lead.cluster
    );
    Ok(Cluster::restore(config.policy, now(), snapshot))
}

fn welcome(config: &Config, lead: &Lead) -> WelcomeFacts {
    WelcomeFacts {
        cluster: lead.cluster.clone(),
        epoch: lead.mark.epoch,
        lease_ms: lease_ms(config.policy.lease),
        heartbeat_ms: u64::try_from(HEARTBEAT.as_millis()).expect("it is short"),
    }
}

/// Of this folder's cluster, and of nothing that is known to be older than what was acknowledged.
async fn take_the_lead(config: &Config, store: &dyn Store) -> Result<(Lead, Age), Error> {
    // Before the lead, which another cluster's master would lose.
    belongs::check(&config.data, store.cluster().await?)?;
    let lost = age::check(&config.data, config.accept_older_store)?;
    let lead = store.lead_above(lost).await?;
    belongs::remember(&config.data, &lead.cluster)?;
    let age = Age::begin(&config.data, lead.mark, config.accept_older_store)?;
    Ok((lead, age))
}

fn keys(config: &Config) -> Result<Keys, Error> {
    Ok(Keys {
        tokens: JobTokens::new(&secret(&config.data.join(JOB_KEY))?),
        seals: Seals::new(&secret(&config.data.join(SECRET_KEY))?),
    })
}

fn proxy(token: &str, config: &Config) -> Result<Proxy, Error> {
    let path = config.token_file.clone();
    token.parse().map(Proxy::new).map_err(|_| Error::TokenText { path })
}

fn archive(config: &Config) -> Result<Archive, Error> {
    let archive = Archive::new(config.shared.clone());
    archive.prepare().map_err(|source| Error::Folder { path: archive.jobs(), source })?;
    Ok(archive)
}

fn bundles(config: &Config) -> Result<Bundles, Error> {
    let failed = |source| Error::Bundles { path: config.shared.clone(), source };
    Bundles::open(&config.shared, config.max_bundle).map_err(failed)
}

/// Folders, and that nobody else uses them.
fn prepare(config: &Config) -> Result<InstanceLock, Error> {
    let lock = take(&config.data)?;
    make(&config.shared)?;
    Ok(lock)
}

/// Takes the data folder, which is made if it is not there.
pub(crate) fn take(data: &Path) -> Result<InstanceLock, Error> {
    let path = data.to_owned();
    match is_network_filesystem(&path) {
        Ok(None) => {}
        Ok(Some(kind)) => return Err(Error::Network { path, kind }),
        Err(source) => return Err(Error::Folder { path, source }),
    }
    make(data)?;
    Ok(InstanceLock::acquire(data, "atlas-master")?)
}

fn make(folder: &Path) -> Result<(), Error> {
    let failed = |source| Error::Folder { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)
}

/// The secret of the file, made from the kernel's randomness if there is no file.
fn secret(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Secret { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => {
            return Err(Error::NoSecret { path: path.to_owned() });
        }
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    write_atomic(path, format!("{secret}\n").as_bytes(), 0o600, true).map_err(failed)?;
    Ok(secret)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| {
        let taken = (source.kind() == io::ErrorKind::AddrInUse)
            .then(|| port_holder(address.port()))
            .flatten();
        let holder = taken.map(|it| format!(": {it} listens there")).unwrap_or_default();
        Error::Listen { address, holder, source }
    })
}

/// Everything that is served, and once more for jobs.
fn router(service: &Arc<Service>, token: JoinToken, names: &Names, tasks: &Tasks) -> Router {
    let app = App { service: service.clone(), metrics: Arc::new(Metrics::new()) };
    let routes = grpc::routes(service, token.clone()).merge(http::routes(app));
    let through = |routes: Router, jobs_only| {
        let edge = Edge { service: service.clone(), names: names.clone(), jobs_only };
        routes
            .layer(axum::middleware::from_fn_with_state(edge, edge::authenticate))
            .layer(atlas_runtime::telemetry::ServerTrace)
    };
    let of_jobs = through(routes.clone(), true);
    through(routes.merge(edge::tunnel::routes(of_jobs, token, tasks.clone())), false)
}

/// One router behind both listeners.
fn serve(
    listeners: [TcpListener; 2],
    service: &Arc<Service>,
    token: JoinToken,
    config: &Config,
    tasks: &Tasks,
) -> Result<(), Error> {
    let names = Names::of_this_machine(config.hosts.iter().cloned());
    let router = router(service, token, &names, tasks);
    let path = config.data.join("endpoints.json");
    let failed = |source| Error::Endpoints { path: path.clone(), source };
    let mut addresses = Vec::new();
    for listener in &listeners {
        addresses.push(listener.local_addr().map_err(failed)?);
    }
    let [http, grpc] = addresses.as_slice() else { unreachable!("there are two listeners") };
    let endpoints = serde_json::json!({
        "http": format!("http://{http}"), "grpc": format!("http://{grpc}"), "pid": std::process::id(),
    });
    for (name, listener) in ["http", "grpc"].into_iter().zip(listeners) {
        let (router, token) = (router.clone(), tasks.token().clone());
        tasks.spawn_essential(name, async move {
            let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
                // A small message must not wait for the next one; a socket without the options works all the same.
                let _ = stream.set_nodelay(true);
                let _ = connection::end_when_vanished(&*stream);
            });
            tokio::select! {
                served = async { axum::serve(listener, router).await } => served,
                () = async { token.cancelled().await; tokio::time::sleep(Duration::from_millis(200)).await } => Ok(()),
            }
        });
    }
    write_atomic(&path, endpoints.to_string().as_bytes(), 0o644, false).map_err(failed)?;
    tracing::info!("serving dashboard and REST on http://{http}, gRPC and REST on http://{grpc}");
    Ok(())
}

/// Removes what nobody needs any more.
async fn sweep(service: Arc<Service>) {
    let mut tick = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = service.tasks.cancelled() => return,
        }
        let archive = service.archive.clone();
        let emptied =
            tokio::task::spawn_blocking(move || archive.empty_trash(SystemTime::now())).await;
        if let Ok(Err(error)) = emptied {
            tracing::warn!("could not empty the trash: {}", Chain(&error));
        }
        if let Err(error) = service.sweep_bundles().await {
            tracing::warn!("could not remove unused bundles: {}", Chain(&error));
        }
    }
}

/// A stop on purpose gives every node time until the next master is there.
async fn planned_stop(tasks: Tasks, reactor: Handle) {
    tasks.cancelled().await;
    if let Err(error) = reactor.ask_for(Input::PlannedStop).await {
        tracing::warn!("could not prepare the nodes for the stop: {}", Chain(&error));
    }
    reactor.close().await;
}

fn lease_ms(lease: Lease) -> u64 {
    match lease {
        Lease::Lasts(span) => span.0,
        Lease::UntilReboot => 0,
    }
}
