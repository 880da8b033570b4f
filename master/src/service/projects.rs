//! Projects: what jobs are grouped under, and what people write of them.

use std::sync::Arc;

use atlas_core::access::{Verb, allow};
use atlas_core::project::{About, Change, Note};
use atlas_core::{Identity, ProjectName};

use super::{Error, Service};
use crate::retention::rule;
use crate::runs::index::{Key, Project};
use crate::runs::query::Query;

/// All that is known of a project.
pub struct Described {
    pub project: Project,
    pub about: Arc<About>,
    /// Every tag, parameter and metric of its jobs.
    pub keys: Vec<Key>,
}

/// Jobs that have outlived a rule.
pub struct Outliving {
    pub jobs: usize,
    /// That finds them.
    pub filter: String,
}

impl Service {
    pub async fn projects(&self) -> Result<Vec<Project>, Error> {
        Ok(self.runs.projects().await?)
    }

    /// One that has jobs, or of which somebody wrote something.
    pub async fn project(&self, name: &str) -> Result<Described, Error> {
        let (project, about) = self.known(name).await?;
        let keys = self.runs.keys(project.name.clone()).await?;
        Ok(Described { project, about, keys })
    }

    pub async fn notes(&self, project: &str) -> Result<Vec<Note>, Error> {
        Ok(self.known(project).await?.1.notes.clone())
    }

    /// In Markdown; empty = none.
    pub async fn describe(&self, who: &Identity, project: &str, text: String) -> Result<(), Error> {
        self.write(who, project, Change::Describe(text), "description").await.map(drop)
    }

    pub async fn add_note(
        &self,
        who: &Identity,
        project: &str,
        text: String,
    ) -> Result<Note, Error> {
        let change = Change::AddNote { author: who.user.clone(), text };
        let about = self.write(who, project, change, "text").await?;
        Ok(about.notes.last().cloned().expect("it was added last"))
    }

    pub async fn remove_note(
        &self,
        who: &Identity,
        project: &str,
        number: u64,
    ) -> Result<(), Error> {
        self.write(who, project, Change::RemoveNote(number), "note").await.map(drop)
    }

    /// `outputs 30d`, or `off`.
    pub async fn retain(&self, who: &Identity, project: &str, rule: &str) -> Result<(), Error> {
        let rule = rule::parse(rule).map_err(|why| Error::invalid("retention", why))?;
        self.write(who, project, Change::Retain(rule), "retention").await.map(drop)
    }

    /// What a rule would remove now, or the project's own if none is given; `None` = nothing, for there is no rule.
    pub async fn outliving(
        &self,
        project: &str,
        rule: Option<&str>,
    ) -> Result<Option<Outliving>, Error> {
        let rule = match rule {
            Some(rule) => rule::parse(rule).map_err(|why| Error::invalid("retention", why))?,
            None => self.known(project).await?.1.retention,
        };
        let Some(rule) = rule else { return Ok(None) };
        let jobs = self.due(project, rule, 1).await?.total;
        let query = Query::parse(&rule::due(rule)).expect("a rule is a filter");
        Ok(Some(Outliving { jobs, filter: query.of_project(project).to_string() }))
    }

    async fn write(
        &self,
        who: &Identity,
        project: &str,
        change: Change,
        field: &str,
    ) -> Result<Arc<About>, Error> {
        allow(who, Verb::Change)?;
        self.known(project).await?;
        let name = parse(project)?;
        let written = self.projects.change(&name, change).await;
        written.map_err(|it| Error::of_project(it, project, field))
    }

    async fn known(&self, name: &str) -> Result<(Project, Arc<About>), Error> {
        let about = self.projects.about(&parse(name)?).await?;
        let counted = self.projects().await?.into_iter().find(|it| it.name == name);
        match counted {
            Some(project) => Ok((project, about)),
            None if about.is_nothing() => Err(Error::NoProject(name.into())),
            None => Ok((Project { name: name.into(), ..Project::default() }, about)),
        }
    }
}

/// A name that none can have is one of no project.
fn parse(name: &str) -> Result<ProjectName, Error> {
    name.parse().map_err(|_| Error::NoProject(name.into()))
}
