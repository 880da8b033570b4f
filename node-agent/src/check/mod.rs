//! `atlas-node check`: what this machine needs to be a node, looked at by what the agent itself goes by, each with what to do.

mod machine;
mod print;

use atlas_core::node::ExecutorKind;
use atlas_runtime::Chain;

use crate::conditions::clock;
use crate::conditions::share::{self, Expected, Place, Rights};
use crate::identity::{self, Identity};
use crate::master::{self, Token};
use crate::options::{JobUser, Settings};
use crate::paths::{Data, Shared};
use crate::session::{Greeted, Known, greet};

pub use print::{Output, print};

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// Jobs run, but not all of them, or not as they could.
    Warning,
    Failed,
}

/// What was looked at, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub state: State,
    pub detail: String,
}

impl Finding {
    fn new(check: &'static str, state: State, detail: impl Into<String>) -> Self {
        Self { check, state, detail: detail.into() }
    }

    /// What is right, or what is wrong with the whole row of causes.
    fn of<E>(check: &'static str, looked: Result<String, E>) -> Self
    where
        E: std::error::Error + 'static,
    {
        match looked {
            Ok(detail) => Self::new(check, State::Ok, detail),
            Err(error) => Self::new(check, State::Failed, Chain(&error).to_string()),
        }
    }
}

/// Looks at everything. Nothing is changed, but for a folder that is made on the shared storage and removed at once.
pub async fn check(settings: &Settings) -> Vec<Finding> {
    let (master, greeted) = master(settings).await;
    let mut findings = vec![master, clock(greeted.as_ref()), shared(settings, greeted).await];
    findings.push(machine::data(settings));
    findings.push(machine::port(settings).await);
    findings.push(machine::cgroups());
    if settings.executor == ExecutorKind::Docker {
        findings.extend(machine::docker(settings).await);
    }
    if settings.inventory.gpus {
        findings.push(machine::gpus(settings));
    }
    findings
}

async fn master(settings: &Settings) -> (Finding, Option<Greeted>) {
    const NAME: &str = "master";
    let failed = |why: String| (Finding::new(NAME, State::Failed, why), None);
    let Some(token) = Token::new(&settings.token) else {
        return failed("--token holds characters that a header cannot carry".into());
    };
    let cluster = match identity::cluster(&Data::new(settings.data.clone())) {
        Ok(cluster) => cluster,
        Err(error) => return failed(Chain(&error).to_string()),
    };
    let mut client = match master::connect(&settings.master).await {
        Ok(client) => client,
        Err(source) => {
            let error = crate::session::Error::Connect { master: settings.master.clone(), source };
            return failed(Chain(&error).to_string());
        }
    };
    // A look changes nothing: what was heard of is said by the agent.
    let known = Known { name: &settings.name, cluster: cluster.as_ref(), seen: Default::default() };
    match greet(&mut client, &settings.master, &token, known).await {
        Ok(greeted) => {
            let detail = format!(
                "{} answers, takes the token and is version {}; cluster {}",
                settings.master, greeted.facts.version, greeted.facts.cluster
            );
            (Finding::new(NAME, State::Ok, detail), Some(greeted))
        }
        Err(error) => failed(Chain(&error).to_string()),
    }
}

const UNKNOWN: &str = "not known as long as the master does not let this node in";

fn clock(greeted: Option<&Greeted>) -> Finding {
    const NAME: &str = "clock";
    match greeted.map(|it| (it.ahead, clock::trouble(it.ahead))) {
        None => Finding::new(NAME, State::Warning, UNKNOWN),
        Some((_, Some(trouble))) => Finding::new(NAME, State::Failed, trouble),
        Some((ahead, None)) => {
            let seconds = ahead.unsigned_abs() / 1000;
            Finding::new(NAME, State::Ok, format!("{seconds} s from the master's"))
        }
    }
}

async fn shared(settings: &Settings, greeted: Option<Greeted>) -> Finding {
    const NAME: &str = "shared";
    let Some(shared) = settings.shared.clone() else {
        return Finding::new(
            NAME,
            State::Ok,
            "there is no --shared: files travel through the master",
        );
    };
    let Some(Greeted { facts, .. }) = greeted else {
        return Finding::new(NAME, State::Warning, UNKNOWN);
    };
    let node = Identity::try_node(&Data::new(settings.data.clone()));
    let place = Place {
        shared: Shared::new(shared.clone()),
        node: node.unwrap_or_else(|| format!("check-{}", std::process::id())),
        job_user: settings.job_user.clone(),
    };
    let expected = Expected { mark: facts.share_mark, cluster: facts.cluster };
    let path = shared.display();
    match share::look_once(place, expected).await {
        Ok(Rights::Full) => {
            Finding::new(NAME, State::Ok, format!("{path} is the cluster's and can be written"))
        }
        Ok(Rights::Squashed) => {
            let (user, me) = (&settings.job_user, JobUser::this_process());
            let detail = format!(
                "{path} is the cluster's, but does not let {me} give folders to the jobs' user {user} (root_squash): checkpoints are open to \
                 everybody there. Run the agent as that user, or export with no_root_squash"
            );
            Finding::new(NAME, State::Warning, detail)
        }
        Err(problem) => Finding::new(NAME, State::Failed, Chain(&problem).to_string()),
    }
}
