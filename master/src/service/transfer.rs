//! Jobs that go to another cluster, and such that come from one. What comes is hostile until it was checked.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use atlas_core::access::{Verb, allow};
use atlas_core::cluster::{Input, Rejection};
use atlas_core::project::{Change, Note, Refused};
use atlas_core::{Identity, JobId};
use atlas_runtime::process::remove_all;
use tokio::sync::oneshot;

use super::changes::NAME as GIT_DIFF;
use super::shipping::run;
use super::submit::{invalid, is_as_declared};
use super::{Error, Service};
use crate::archive::{SERIES, WRITTEN, kept};
use crate::submission::diff;
use crate::transfer::Exported;
use crate::{projects, reactor, tracker};

/// A job as it goes.
pub struct Outgoing {
    /// The text of job.json.
    pub json: String,
    /// The file of its points below its archive.
    pub points: Option<String>,
    /// Folders that are kept of it, and `git.diff`.
    pub kept: Vec<String>,
}

/// A job as it comes.
pub struct Incoming {
    /// The text of job.json.
    pub json: String,
    pub git_diff: Option<String>,
    /// Those that came.
    pub folders: Vec<String>,
    /// Nothing is to be changed.
    pub only_check: bool,
}

impl Service {
    /// A job that has ended, with its points in one file.
    pub async fn export(&self, job: &str) -> Result<Outgoing, Error> {
        let id = self.find(job).await?.id;
        self.tracker.compact(id).await?;
        let (job, run) = self.run(&id.to_string()).await?;
        let exported = Exported::of(&job, &run, &self.cluster).ok_or_else(|| {
            let why = format!(
                "{id} is {}: only a job that has ended can be exported",
                job.status.phase().word()
            );
            Error::invalid("job", why)
        })?;
        if run.has_segments() {
            let why = "its points are still being brought into one file; try again later";
            return Err(Error::Unavailable(format!("job {id}: {why}")));
        }
        let json = exported.to_json().map_err(|error| Error::Io {
            what: format!("write job {id} as JSON"),
            source: error.into(),
        })?;
        let file = run.table.map(|it| self.archive.table(id, &it));
        let name = file.as_ref().and_then(|it| it.file_name()).and_then(|it| it.to_str());
        let points = name.map(|it| format!("{SERIES}/{it}"));
        let there = self.archive.job(id);
        let removed = job.status.state.removal().is_some();
        let look = move || {
            let names = kept().chain([GIT_DIFF]);
            let goes = |it: &&str| there.join(it).exists() && !(removed && WRITTEN.contains(it));
            Ok(names.filter(goes).map(ToOwned::to_owned).collect())
        };
        let kept = self::run(&self.storage.looks, "look at the files of the job", look).await?;
        Ok(Outgoing { json, points, kept })
    }

    /// The folder of a job that does not exist yet, for what comes of it.
    pub fn folder_of_import(
        &self,
        who: &Identity,
        job: &str,
        folder: &str,
    ) -> Result<(JobId, &'static str), Error> {
        allow(who, Verb::Import)?;
        let job = job
            .parse()
            .map_err(|why: atlas_core::id::Invalid| Error::invalid("job", why.to_string()))?;
        let known = kept().chain([SERIES]).find(|it| *it == folder);
        let folder = known.ok_or_else(|| Error::invalid("folder", "is none that a job has"))?;
        Ok((job, folder))
    }

    /// Makes the job one of this cluster, all of it or nothing. Returns whether it was one before.
    pub async fn import(
        self: &Arc<Self>,
        who: &Identity,
        incoming: Incoming,
    ) -> Result<bool, Error> {
        allow(who, Verb::Import)?;
        let exported = Exported::parse(&incoming.json).map_err(invalid)?;
        let changes = exported.spec.git.as_ref().and_then(|it| it.diff.as_ref());
        let came = incoming.git_diff.as_deref().map(diff::measure);
        if came.is_some() && came.as_ref() != changes {
            return Err(Error::invalid("git_diff", "is not the one that spec.git.diff measures"));
        }
        if self.is_known(&exported).await? {
            return Ok(true);
        }
        if incoming.only_check {
            return Ok(false);
        }
        let bundle = exported.spec.bundle;
        let measure = self.measure(bundle.id).await?.ok_or(Error::NoBundle(bundle.id))?;
        is_as_declared(&bundle, measure)?;
        let (service, by) = (self.clone(), who.user.clone());
        let (to, answer) = oneshot::channel();
        // Goes on when nobody waits any more: until it is known what became of it, nobody else may touch the folder.
        self.tasks.spawn("import", async move {
            let _ = to.send(service.enter_import(exported, by, incoming).await);
        });
        let answered = self.reactor.unless_it_refuses(answer).await?;
        answered.map_err(|_| Error::Unavailable("the master is stopping".into()))?
    }

    async fn enter_import(
        &self,
        exported: Exported,
        by: String,
        incoming: Incoming,
    ) -> Result<bool, Error> {
        let id = exported.id;
        // Nobody ships into the folder from here on, and nobody else makes this job.
        let _alone = self.alone_in(&self.archive.job(id)).await;
        if self.is_known(&exported).await? {
            return Ok(true);
        }
        let Incoming { json: _, git_diff, folders, only_check: _ } = incoming;
        let (spec, ended, run) = exported.into_parts(by, &folders);
        self.tidy_import(id, folders, git_diff.is_some()).await?;
        if let Some(text) = git_diff {
            self.keep_changes(&[id], text).await?;
        }
        let run = self.tracker.adopt(id, run).await.map_err(of_points)?.into();
        self.reactor.settle(Input::Import { id, spec, ended, run }).await?;
        Ok(false)
    }

    /// Whether the very same job is here; one of another content is refused.
    async fn is_known(&self, exported: &Exported) -> Result<bool, Error> {
        let id = exported.id;
        let Some(job) = self.store.job(id).await.map_err(Error::unchanged)? else {
            return Ok(false);
        };
        let run = self.store.run(id).await?.unwrap_or_default();
        let here = Exported::of(&job, &run, &self.cluster)
            .ok_or(Error::Rejected(Rejection::IdTaken(id)))?;
        match here.differs_from(exported) {
            None => Ok(true),
            Some(field) => Err(Error::ImportDiffers { job: id, field }),
        }
    }

    /// Of a try that was given up, there may be more than what came now.
    async fn tidy_import(&self, id: JobId, came: Vec<String>, has_diff: bool) -> Result<(), Error> {
        let folder = self.archive.job(id);
        let tidy = move || {
            std::fs::create_dir_all(&folder)?;
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let name = entry.file_name();
                let came = came.iter().any(|it| name == **it) || (has_diff && name == GIT_DIFF);
                if !came {
                    remove_all(&entry.path()).map_err(io::Error::other)?;
                }
            }
            Ok(())
        };
        run(&self.storage.shipments, "tidy the folder of the job", tidy).await
    }

    /// What was written of a project, where nothing is. Returns whether it was taken.
    pub async fn import_project(
        &self,
        who: &Identity,
        project: &str,
        description: String,
        notes: Vec<Note>,
        only_check: bool,
    ) -> Result<bool, Error> {
        allow(who, Verb::Import)?;
        let name = project
            .parse()
            .map_err(|why: atlas_core::id::Invalid| Error::invalid("project", why.to_string()))?;
        let change = Change::Restore { description, notes };
        let restored = if only_check {
            let about = self.projects.about(&name).await.map_err(Error::unchanged)?;
            let mut about = Arc::unwrap_or_clone(about);
            about.change(reactor::now().wall, change).map_err(projects::Error::from)
        } else {
            self.projects.change(&name, change).await.map(drop)
        };
        match restored {
            Ok(()) => Ok(true),
            Err(projects::Error::Refused(Refused::Written)) => Ok(false),
            Err(error) => Err(Error::of_project(error, project, "project")),
        }
    }
}

/// That the file is not what it should be is the fault of whoever sent it.
fn of_points(error: tracker::Error) -> Error {
    match error {
        tracker::Error::Compact { job: _, source }
            if matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::NotFound) =>
        {
            Error::invalid(tracker::POINTS, source.to_string())
        }
        other => other.into(),
    }
}
