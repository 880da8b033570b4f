//! What is asked of the master about projects, and about what jobs are called.

use atlas_proto::wire;

use super::{Error, Master};

impl Master {
    pub async fn projects(&self) -> Result<Vec<wire::Project>, Error> {
        let mut projects = self.projects.clone();
        Ok(self.unary(projects.list_projects(wire::ListProjectsRequest {})).await?.projects)
    }

    pub async fn project(&self, name: &str) -> Result<wire::GetProjectReply, Error> {
        let mut projects = self.projects.clone();
        let request = wire::ProjectRef { project: name.into(), retention: None };
        self.unary(projects.get_project(request)).await
    }

    /// What a rule would remove of it now; `None` = nothing ever.
    pub async fn outliving(
        &self,
        name: &str,
        rule: &str,
    ) -> Result<Option<wire::Outliving>, Error> {
        let mut projects = self.projects.clone();
        let request = wire::ProjectRef { project: name.into(), retention: Some(rule.into()) };
        Ok(self.unary(projects.get_project(request)).await?.outliving)
    }

    /// The project as it is then.
    pub async fn change_project(
        &self,
        request: wire::ChangeProjectRequest,
    ) -> Result<wire::GetProjectReply, Error> {
        let mut projects = self.projects.clone();
        self.unary(projects.change_project(request)).await
    }

    /// What jobs occupy.
    pub async fn usage(&self, request: wire::UsageRequest) -> Result<wire::UsageReply, Error> {
        let mut projects = self.projects.clone();
        self.unary(projects.measure_usage(request)).await
    }

    /// The job as it is called then.
    pub async fn label(&self, request: wire::LabelJobRequest) -> Result<wire::Job, Error> {
        let mut jobs = self.jobs.clone();
        self.unary(jobs.label_job(request)).await
    }
}
