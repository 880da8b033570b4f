//! Images: whether they are here, one pull at a time for each, and what is in them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use atlas_core::JobSpec;
use atlas_core::spec::Pull;
use bollard::models::{ContainerCreateBody, ImageInspect};
use bollard::query_parameters::{ContainerArchiveInfoOptions, RemoveContainerOptions};
use tokio_util::sync::CancellationToken;

use super::container;
use super::engine::Engine;
use super::error::{self, Error};
use super::login::Logins;
use super::pull::Pulls;
use crate::logs::Prelude;
use crate::start::{DEFAULT_PATH, from_lines};

/// Images whose interpreter is remembered; the one that was seen first is forgotten first.
const REMEMBERED: usize = 256;

/// An image that is on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its digest, which stands for what is in it whatever its name comes to mean.
    pub id: String,
    /// By which it can be had again: what the registry calls it, else its id.
    pub digest: String,
    pub name: String,
    pub env: BTreeMap<String, String>,
    pub entrypoint: Vec<String>,
    pub python: Option<String>,
}

/// The images of this node.
pub(super) struct Images {
    engine: Engine,
    default: String,
    /// The node's identity.
    node: String,
    pulls: Pulls,
    /// The interpreter of each image, by its digest.
    pythons: Mutex<Vec<(String, Option<String>)>>,
}

impl Images {
    pub(super) fn new(engine: Engine, logins: Logins, default: String, node: String) -> Self {
        let pulls = Pulls::new(engine.clone(), logins);
        Self { engine, default, node, pulls, pythons: Mutex::default() }
    }

    /// The job's image, pulled as the job says.
    pub(super) async fn ensure(
        &self,
        spec: &JobSpec,
        log: &mut Prelude,
        cancel: &CancellationToken,
    ) -> Result<Arc<Image>, Error> {
        let name = reference(spec.worker.image.as_deref().unwrap_or(&self.default))?;
        let found = match spec.worker.pull {
            Pull::Always => None,
            Pull::Missing | Pull::Never => self.inspect(&name).await?,
        };
        let found = match (found, spec.worker.pull) {
            (Some(found), _) => found,
            (None, Pull::Never) => return Err(Error::NotHere { image: name }),
            (None, how) => {
                let pulled = cancel.run_until_cancelled(self.pull(&name, how, log));
                pulled.await.unwrap_or(Err(Error::Cancelled))?
            }
        };
        self.describe(name, found).await
    }

    async fn inspect(&self, name: &str) -> Result<Option<ImageInspect>, Error> {
        match self.engine.get().await.inspect_image(name).await {
            Ok(found) => Ok(Some(found)),
            Err(source) if error::status(&source) == Some(404) => Ok(None),
            Err(source) => Err(Error::of("look at image", name, source)),
        }
    }

    async fn pull(&self, name: &str, how: Pull, log: &mut Prelude) -> Result<ImageInspect, Error> {
        self.pulls.pull(name, how, log).await?;
        let found = self.inspect(name).await?;
        let found = found.ok_or_else(|| Error::NotHere { image: name.to_owned() })?;
        log.write(format!("Image {name} is here: {}\n", digest(name, &found)).as_bytes())?;
        Ok(found)
    }

    async fn describe(&self, name: String, found: ImageInspect) -> Result<Arc<Image>, Error> {
        let digest = digest(&name, &found);
        let config = found.config.unwrap_or_default();
        let id = found.id.unwrap_or_else(|| name.clone());
        let mut env = from_lines(&config.env.unwrap_or_default());
        let path = env.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into()).clone();
        let entrypoint = config.entrypoint.unwrap_or_default();
        // One that has an entrypoint needs no interpreter from us.
        let python = if entrypoint.is_empty() { self.python(&id, &path).await? } else { None };
        Ok(Arc::new(Image { id, digest, name, env, entrypoint, python }))
    }

    /// The interpreter that commands without an entrypoint run under: `python`, else `python3`.
    async fn python(&self, id: &str, path: &str) -> Result<Option<String>, Error> {
        let known = |it: &[(String, Option<String>)]| {
            it.iter().find(|(known, _)| known == id).map(|(_, python)| python.clone())
        };
        if let Some(python) = known(&self.remembered()) {
            return Ok(python);
        }
        let python = self.look_for_python(id, path).await?;
        let mut remembered = self.remembered();
        if remembered.len() == REMEMBERED {
            remembered.remove(0);
        }
        remembered.push((id.to_owned(), python.clone()));
        Ok(python)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Vec<(String, Option<String>)>> {
        self.pythons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks into the image through a container that never runs.
    async fn look_for_python(&self, id: &str, path: &str) -> Result<Option<String>, Error> {
        let body = ContainerCreateBody {
            image: Some(id.to_owned()),
            cmd: Some(vec!["-".into()]),
            // One that could not be removed is, when the agent starts again.
            labels: Some(HashMap::from([(container::NODE.to_owned(), self.node.clone())])),
            ..Default::default()
        };
        let created = self.engine.get().await.create_container(None, body).await;
        let probe = created.map_err(|source| Error::of("look into image", id, source))?.id;
        let found = self.find_python(&probe, path).await;
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        if let Err(error) = self.engine.get().await.remove_container(&probe, Some(options)).await {
            tracing::warn!("could not remove the container that looked into an image: {error}");
        }
        found.map_err(|source| Error::of("look into image", id, source))
    }

    async fn find_python(
        &self,
        probe: &str,
        path: &str,
    ) -> Result<Option<String>, bollard::errors::Error> {
        for name in ["python", "python3"] {
            for folder in path.split(':').filter(|it| !it.is_empty()) {
                let file = format!("{}/{name}", folder.trim_end_matches('/'));
                let options = Some(ContainerArchiveInfoOptions { path: file });
                match self.engine.get().await.get_container_archive_info(probe, options).await {
                    Ok(_) => return Ok(Some(name.to_owned())),
                    // What the engine says of a path is about the image; silence is not.
                    Err(source) if error::status(&source).is_some() => {}
                    Err(source) => return Err(source),
                }
            }
        }
        Ok(None)
    }
}

/// The registry's word for what it gave under this name; what is on this node alone has none.
fn digest(name: &str, found: &ImageInspect) -> String {
    let (repository, _) = name.split_once('@').unwrap_or((name, ""));
    let last = repository.rfind('/').map_or(0, |it| it + 1);
    let end = repository[last..].find(':').map_or(repository.len(), |it| last + it);
    let known = found.repo_digests.iter().flatten();
    let of_it = known.filter_map(|it| it.strip_prefix(&repository[..end]).map(|rest| (it, rest)));
    let digest = of_it.filter(|(_, rest)| rest.starts_with('@')).map(|it| it.0.clone()).next();
    digest.or_else(|| found.id.clone()).unwrap_or_default()
}

/// A full name: without a tag the engine would pull all of them. The name becomes part of an address, so that it must be one.
fn reference(text: &str) -> Result<String, Error> {
    let plain = |it: char| it.is_ascii_alphanumeric() || "._-/:@".contains(it);
    let last = text.rsplit('/').next().unwrap_or_default();
    if text.len() > 500 || text.contains("..") || !text.chars().all(plain) || last.is_empty() {
        return Err(Error::Name(text.chars().take(100).collect()));
    }
    if text.contains('@') || last.contains(':') {
        Ok(text.to_owned())
    } else {
        Ok(format!("{text}:latest"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_means_the_latest() {
        let full = |text| reference(text).unwrap();
        assert_eq!(full("atlas/worker"), "atlas/worker:latest");
        assert_eq!(full("registry:5000/atlas/worker"), "registry:5000/atlas/worker:latest");
        assert_eq!(full("registry:5000/worker:1"), "registry:5000/worker:1");
        let digest = format!("worker@sha256:{}", "ab".repeat(32));
        assert_eq!(full(&digest), digest);
    }

    #[test]
    fn the_digest_is_the_one_of_the_repository_that_was_asked() {
        let found = ImageInspect {
            id: Some("sha256:1".into()),
            repo_digests: Some(vec!["r:5000/ab@sha256:2".into(), "r:5000/a@sha256:3".into()]),
            ..Default::default()
        };
        assert_eq!(digest("r:5000/a:1", &found), "r:5000/a@sha256:3");
        assert_eq!(digest("r:5000/ab@sha256:2", &found), "r:5000/ab@sha256:2");
        assert_eq!(digest("a:1", &found), "sha256:1");
    }

    #[test]
    fn what_could_mean_another_address_is_no_name() {
        for text in ["", "a/../../containers/x", "a b", "a?x=1", "a#", "a%2f", "a/", "é"] {
            assert!(matches!(reference(text), Err(Error::Name(_))), "{text:?} was taken");
        }
    }
}
