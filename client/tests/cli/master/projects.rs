//! Projects of the master in the test: one, with what was changed of it.

use std::sync::{Arc, Mutex};

use atlas_proto::wire::{self, projects_server::Projects};
use tonic::{Request, Response, Status};

use super::{Answer, State};

pub struct ServedProjects(pub Arc<Mutex<State>>);

impl ServedProjects {
    fn find(&self, name: &str) -> Result<wire::GetProjectReply, Status> {
        let state = self.0.lock().unwrap();
        let is_it =
            |it: &wire::GetProjectReply| it.project.as_ref().is_some_and(|it| it.name == name);
        let unknown = || Status::not_found(format!("there is no project {name:?}"));
        state.project.clone().filter(is_it).ok_or_else(unknown)
    }
}

#[tonic::async_trait]
impl Projects for ServedProjects {
    async fn list_projects(
        &self,
        _: Request<wire::ListProjectsRequest>,
    ) -> Answer<wire::ListProjectsReply> {
        let state = self.0.lock().unwrap();
        let projects = state.project.iter().filter_map(|it| it.project.clone()).collect();
        Ok(Response::new(wire::ListProjectsReply { projects }))
    }

    async fn get_project(
        &self,
        request: Request<wire::ProjectRef>,
    ) -> Answer<wire::GetProjectReply> {
        Ok(Response::new(self.find(&request.get_ref().project)?))
    }

    async fn change_project(
        &self,
        request: Request<wire::ChangeProjectRequest>,
    ) -> Answer<wire::GetProjectReply> {
        let request = request.into_inner();
        let mut project = self.find(&request.project)?;
        let mut state = self.0.lock().unwrap();
        if let Some(rule) = &request.retention {
            project.retention.clone_from(rule);
            state.project = Some(project.clone());
        }
        state.project_changes.push(request);
        Ok(Response::new(project))
    }

    async fn measure_usage(
        &self,
        request: Request<wire::UsageRequest>,
    ) -> Answer<wire::UsageReply> {
        let mut state = self.0.lock().unwrap();
        state.usage_requests.push(request.into_inner());
        Ok(Response::new(state.usage.clone()))
    }
}
