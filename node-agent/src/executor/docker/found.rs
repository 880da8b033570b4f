//! What became of containers: jobs are found again by their supervisors, their ends told as the engine knows them. An engine that
//! says nothing has told nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::ContainerState;
use bollard::query_parameters::{ListContainersOptions, WaitContainerOptions};
use futures::StreamExt;

use super::{Docker, Error, container, error, name};
use crate::executor::{Error as ExecutorError, Fate, Standing, Supervised};
use crate::paths::{AttemptId, JobDir};
use crate::slot::Slot;
use crate::supervisor::{End, ExitFile};

/// A supervisor that runs answers at once.
const ANSWERS: Duration = Duration::from_secs(5);
/// How long a container may take to be gone after its supervisor said that the job has ended, or after SIGKILL.
const GOES: Duration = Duration::from_secs(20);

/// A container that is there already.
struct Found {
    name: String,
    /// `None` = it builds an environment.
    id: Option<AttemptId>,
}

impl Docker {
    /// By their supervisors alone: they answer without the engine.
    pub(in crate::executor) async fn adopt(
        &self,
        dirs: &[(AttemptId, JobDir)],
    ) -> BTreeMap<AttemptId, Supervised> {
        let mut adopted = BTreeMap::new();
        for (id, dir) in dirs {
            let control = dir.control();
            if control.join("exit").exists() {
                continue;
            }
            if let Ok(slot) = Slot::attach(&control, ANSWERS).await {
                adopted.insert(*id, Supervised { slot: Some(slot), first: None, seat: None });
            }
        }
        adopted
    }

    /// Removes builds that nobody waits for any more, and jobs whose folder was removed on their master's word. To be called
    /// before anything new is made.
    pub(super) async fn clean(&self, engine: &bollard::Docker) -> Result<(), Error> {
        for Found { name, id } in self.list(engine).await? {
            if id.is_none_or(|id| !self.data.job(id).path().exists()) {
                self.remove_from(engine, &name).await?;
            }
        }
        Ok(())
    }

    /// The containers of this node.
    async fn list(&self, engine: &bollard::Docker) -> Result<Vec<Found>, Error> {
        let label = format!("{}={}", container::NODE, self.node);
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let listed = engine.list_containers(Some(options)).await;
        let listed = listed.map_err(|source| Error::of("list", "the node's containers", source))?;
        let attempt = |labels: HashMap<String, String>| {
            let id = format!("{}.{}", labels.get(container::JOB)?, labels.get(container::ATTEMPT)?);
            id.parse::<AttemptId>().ok()
        };
        let each = listed
            .into_iter()
            .filter_map(|it| Some(Found { name: it.id?, id: it.labels.and_then(attempt) }));
        Ok(each.collect())
    }

    /// What has become of a job whose supervisor was not heard. An error = that cannot be known now.
    pub(in crate::executor) async fn look(
        &self,
        id: AttemptId,
        dir: &JobDir,
    ) -> Result<Standing, ExecutorError> {
        let control = dir.control();
        let silence = match Slot::attach(&control, ANSWERS).await {
            Ok(slot) => {
                let supervised = Supervised { slot: Some(slot), first: None, seat: None };
                return Ok(Standing::Runs(Box::new(supervised)));
            }
            Err(silence) => silence,
        };
        match self.state(&name(id)).await? {
            Some(state) if state.running == Some(true) => Err(silence.into()),
            state => Ok(Standing::Gone(fate(state))),
        }
    }

    /// Ends what is left of a job. An error = it may go on.
    pub(in crate::executor) async fn end(&self, id: AttemptId) -> Result<Fate, Error> {
        let name = name(id);
        match self.engine.get().await.kill_container(&name, None).await {
            Ok(()) => {}
            // There is none, or it does not run.
            Err(source) if matches!(error::status(&source), Some(404 | 409)) => {}
            Err(source) => return Err(Error::of("kill", &name, source)),
        }
        self.gone(id).await;
        match self.state(&name).await? {
            Some(state) if state.running == Some(true) => Err(Error::Runs { name }),
            state => Ok(fate(state)),
        }
    }

    /// Whether the kernel ended processes of a job for want of memory. The engine says so once the container is gone.
    pub(in crate::executor) async fn ran_out_of_memory(
        &self,
        id: AttemptId,
        exit: &ExitFile,
    ) -> bool {
        if let End::Code { code: 0 } | End::LeaseEnded = exit.end {
            return false;
        }
        self.gone(id).await;
        let state = self.state(&name(id)).await;
        state.ok().flatten().and_then(|it| it.oom_killed).unwrap_or(false)
    }

    /// Waits some time until a container does not run any more.
    async fn gone(&self, id: AttemptId) {
        let options = WaitContainerOptions { condition: "not-running".into() };
        let name = name(id);
        let mut ended =
            std::pin::pin!(self.engine.get().await.wait_container(&name, Some(options)));
        // Whether it is gone is looked at afterwards.
        let _ = tokio::time::timeout(GOES, ended.next()).await;
    }

    /// Removes the attempt's container, whatever it does.
    pub(in crate::executor) async fn forget(&self, id: AttemptId) {
        self.remove_or_warn(&name(id)).await;
    }

    pub(super) async fn state(&self, name: &str) -> Result<Option<ContainerState>, Error> {
        state(self.engine.get().await, name).await
    }
}

/// `None` = the engine has no such container. An error = it did not say.
pub(super) async fn state(
    engine: &bollard::Docker,
    name: &str,
) -> Result<Option<ContainerState>, Error> {
    match engine.inspect_container(name, None).await {
        Ok(inspected) => Ok(Some(inspected.state.unwrap_or_default())),
        Err(source) if error::status(&source) == Some(404) => Ok(None),
        Err(source) => Err(Error::of("look at", name, source)),
    }
}

/// What is said of a container that does not run.
fn fate(state: Option<ContainerState>) -> Fate {
    let Some(state) = state else {
        return Fate { message: "its container is gone".into(), out_of_memory: false };
    };
    let out_of_memory = state.oom_killed.unwrap_or(false);
    let why = state.error.filter(|it| !it.is_empty());
    let code = state.exit_code.unwrap_or_default();
    let message = match (out_of_memory, why) {
        (true, _) => "its container ran out of memory and took the supervisor along".into(),
        (false, Some(why)) => format!("its container ended: {why}"),
        (false, None) => format!("its container ended with code {code}, its supervisor with it"),
    };
    Fate { message, out_of_memory }
}
