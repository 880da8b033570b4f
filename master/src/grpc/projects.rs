//! The service `Projects`.

use std::sync::Arc;

use atlas_core::project::Note;
use atlas_proto::wire::{self, projects_server};
use tonic::{Request, Response, Status};

use super::identity;
use super::status::status;
use crate::archive::sizes::Sizes;
use crate::retention::rule;
use crate::runs::index::{Across, Key, Project};
use crate::runs::query::Field;
use crate::service::{By, Described, Error, Group, Outliving, Service, Usage, WantedUsage};

/// Translates; the service layer does.
pub struct Projects(pub Arc<Service>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl projects_server::Projects for Projects {
    async fn list_projects(
        &self,
        _: Request<wire::ListProjectsRequest>,
    ) -> Answer<wire::ListProjectsReply> {
        let projects = self.0.projects().await.map_err(|it| status(&it))?;
        let projects = projects.into_iter().map(counted).collect();
        Ok(Response::new(wire::ListProjectsReply { projects }))
    }

    async fn get_project(
        &self,
        request: Request<wire::ProjectRef>,
    ) -> Answer<wire::GetProjectReply> {
        let wire::ProjectRef { project, retention } = request.get_ref();
        self.described(project, retention.as_deref()).await.map_err(|it| status(&it))
    }

    async fn change_project(
        &self,
        request: Request<wire::ChangeProjectRequest>,
    ) -> Answer<wire::GetProjectReply> {
        let who = identity(&request);
        let wire::ChangeProjectRequest { project, description, add_note, remove_note, retention } =
            request.into_inner();
        let change = async {
            if let Some(text) = description {
                self.0.describe(&who, &project, text).await?;
            }
            if let Some(text) = add_note {
                self.0.add_note(&who, &project, text).await?;
            }
            if let Some(number) = remove_note {
                self.0.remove_note(&who, &project, number).await?;
            }
            if let Some(rule) = retention {
                self.0.retain(&who, &project, &rule).await?;
            }
            self.described(&project, None).await
        };
        change.await.map_err(|it| status(&it))
    }

    async fn measure_usage(
        &self,
        request: Request<wire::UsageRequest>,
    ) -> Answer<wire::UsageReply> {
        let wire::UsageRequest { by, filter, ended, limit } = request.into_inner();
        let measured = async {
            let by = By::parse(&by)?;
            self.0.usage(&WantedUsage { by, filter, ended, limit: limit as usize }).await
        };
        let Usage { groups, more, total } = measured.await.map_err(|it| status(&it))?;
        let (groups, total) = (groups.into_iter().map(occupied).collect(), Some(occupied(total)));
        Ok(Response::new(wire::UsageReply { groups, more: more as u64, total }))
    }
}

impl Projects {
    async fn described(
        &self,
        name: &str,
        rule: Option<&str>,
    ) -> Result<Response<wire::GetProjectReply>, Error> {
        let outliving = self.0.outliving(name, rule).await?;
        let Described { project, about, keys } = self.0.project(name).await?;
        let note = |it: &Note| wire::Note {
            id: it.number,
            author: it.author.clone(),
            at_ms: it.at.0,
            text: it.text.clone(),
        };
        Ok(Response::new(wire::GetProjectReply {
            project: Some(counted(project)),
            description: about.description.clone(),
            notes: about.notes.iter().map(note).collect(),
            metrics: keys.into_iter().filter_map(metric).collect(),
            retention: rule::text(about.retention),
            outliving: outliving
                .map(|Outliving { jobs, filter }| wire::Outliving { jobs: jobs as u64, filter }),
        }))
    }
}

fn counted(project: Project) -> wire::Project {
    let Project { name, runs, queued, running, completed, failed, last_submitted } = project;
    let [jobs, queued, running, completed, failed] =
        [runs, queued, running, completed, failed].map(|it| it as u64);
    let last_submitted_ms = last_submitted.0;
    wire::Project { name, jobs, queued, running, completed, failed, last_submitted_ms }
}

fn occupied(group: Group) -> wire::Usage {
    let Group { name, jobs, unmeasured, files, bundles } = group;
    let Sizes { log, series, outputs, artifacts, checkpoints, synced, tensorboard, other } = files;
    wire::Usage {
        name,
        jobs,
        unmeasured,
        log_bytes: log,
        series_bytes: series,
        outputs_bytes: outputs,
        artifacts_bytes: artifacts,
        checkpoints_bytes: checkpoints,
        synced_bytes: synced,
        tensorboard_bytes: tensorboard,
        other_bytes: other,
        bundles_bytes: bundles,
    }
}

fn metric(key: Key) -> Option<wire::ProjectMetric> {
    let Key { field: Field::Metric(key, _), kinds: _, runs, across: Some(across) } = key else {
        return None;
    };
    let Across { last, min, max } = across;
    let json = |it: Option<_>| {
        it.map(|it: atlas_core::run::Value| {
            serde_json::to_string(&it).expect("a value has a JSON form")
        })
    };
    let [last_json, min_json, max_json] = [last, min, max].map(json);
    Some(wire::ProjectMetric { key, jobs: runs as u64, last_json, min_json, max_json })
}
