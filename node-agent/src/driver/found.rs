//! What an agent that starts finds on its disk. Nothing that runs is touched here: what should run is for the master to say.

use std::fs;
use std::io;
use std::sync::Arc;

use atlas_core::Timestamp;
use atlas_core::agent::Report;
use atlas_runtime::Chain;

use super::attempt::State;
use super::{Kept, exit, left};
use crate::executor::Supervised;
use crate::node::Node;
use crate::paths::{AttemptId, JobDir};
use crate::start::Running;
use crate::supervisor::{ExitFile, StartedFile};
use crate::trash;

/// An attempt that is held here.
pub struct Found {
    pub id: AttemptId,
    pub report: Report,
    pub state: State,
}

/// Finds every attempt, adopts those that run, and throws away starts that had not come to anything.
pub async fn find(node: &Arc<Node>) -> io::Result<Vec<Found>> {
    let dirs = attempts(node)?;
    let mut running = node.executor.adopt(&dirs).await;
    let mut found = Vec::new();
    for (id, dir) in dirs {
        match held(node, id, &dir, running.remove(&id)).await {
            Some((report, state)) => {
                tracing::info!(job = %id, "found: {}", word(&report));
                found.push(Found { id, report, state });
            }
            None => {
                // An engine that has not answered yet removes what has no folder, before anything else.
                if node.executor.answers() {
                    node.executor.forget(id).await;
                }
                trash::throw(node, dir.path()).await;
            }
        }
    }
    Ok(found)
}

fn attempts(node: &Node) -> io::Result<Vec<(AttemptId, JobDir)>> {
    let mut dirs = Vec::new();
    for entry in fs::read_dir(node.data.jobs())? {
        let name = entry?.file_name();
        match name.to_str().map(str::parse::<AttemptId>) {
            Some(Ok(id)) => dirs.push((id, node.data.job(id))),
            _ => tracing::warn!("{} in the folder of jobs is none", name.display()),
        }
    }
    Ok(dirs)
}

/// `None` = it had not begun; the master will ask for it again.
async fn held(
    node: &Node,
    id: AttemptId,
    dir: &JobDir,
    supervised: Option<Supervised>,
) -> Option<(Report, State)> {
    let over = |message: String| Some((Report::Lost { message }, State::Over));
    let kept = match Kept::read(&dir.assignment()) {
        Ok(Some(kept)) => kept,
        Ok(None) => return None,
        Err(error) => return over(Chain(&error).to_string()),
    };
    let control = dir.control();
    let started = StartedFile::read(&control).ok().flatten().map(|it| Timestamp(it.at_ms));
    let running = |supervised| {
        let report =
            started.map_or(Report::Starting, |at| Report::Started { at, image: left::image(dir) });
        let venv = fs::read_link(dir.venv()).ok().map(|it| node.venvs.hold(it));
        let running = Running { supervised, lease: node.leases.adopt(&control), venv };
        (report, State::Running { kept: kept.clone(), running: Box::new(running) })
    };
    if supervised.is_some() {
        return Some(running(supervised));
    }
    match ExitFile::read(&control) {
        // Why it ended is for the engine to say.
        Ok(Some(_)) if !node.executor.answers() => Some(running(None)),
        Ok(Some(file)) => {
            let out_of_memory = node.executor.ran_out_of_memory(id, &file).await;
            let report = exit::report(&file, started, out_of_memory);
            let state = match report {
                Report::Exited(_) => State::Exited { kept },
                _ => State::Over,
            };
            Some((report, state))
        }
        Ok(None) if kept.boot_id != node.identity.boot_id => {
            over("the node's machine was restarted".into())
        }
        // Its supervisor may be gone, or slow: nothing is said of it before that is known.
        Ok(None) if control.join("run.json").exists() => Some(running(None)),
        Ok(None) => None,
        Err(error) => over(error.chain()),
    }
}

fn word(report: &Report) -> &'static str {
    match report {
        Report::Starting => "it is starting",
        Report::Started { .. } => "it is running",
        Report::NotStarted { .. } => "it could not be started",
        Report::Exited(_) => "it has ended",
        Report::Archived { .. } => "it is archived",
        Report::Lost { .. } => "it is gone without an exit",
    }
}
