//! Projects: what jobs are grouped under.

use super::{Error, Service};
use crate::runs::index::{Key, Project};

impl Service {
    pub async fn projects(&self) -> Result<Vec<Project>, Error> {
        Ok(self.runs.projects().await?)
    }

    /// A project, and every tag, parameter and metric of its jobs.
    pub async fn project(&self, name: &str) -> Result<(Project, Vec<Key>), Error> {
        let project = self.projects().await?.into_iter().find(|it| it.name == name);
        let project = project.ok_or_else(|| Error::NoProject(name.into()))?;
        let keys = self.runs.keys(project.name.clone()).await?;
        Ok((project, keys))
    }
}
