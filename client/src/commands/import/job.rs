//! One job of an export on its way into a cluster.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use atlas_core::JobId;
use atlas_core::files::{Found, What};
use atlas_core::spec::Bundle;
use atlas_proto::wire;
use serde::Deserialize;

use crate::bundle::Packed;
use crate::connect::{Master, upload};
use crate::error::Error;
use crate::say::Say;
use crate::transfer::{Error as Wrong, Folder, Layout, Manifest, everything, parse, ship};

/// Where jobs come from and go to.
pub struct Import<'a> {
    pub master: &'a Master,
    pub layout: &'a Layout,
    pub dry_run: bool,
    pub say: Say,
}

/// What is read of a job.json here; the master reads all of it.
#[derive(Deserialize)]
struct Head {
    id: JobId,
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    bundle: Bundle,
}

/// What lies in the folder of a job.
#[derive(Default)]
struct Things {
    folders: BTreeMap<String, Vec<Found>>,
    points: Option<Found>,
    has_diff: bool,
}

impl Import<'_> {
    /// Whether it was there.
    pub async fn job(&self, id: JobId) -> Result<bool, Error> {
        let folder = self.layout.job(id);
        let below = self.layout.below(&folder);
        let path = folder.join("job.json");
        let job_json = self.layout.text(&below.join("job.json"))?;
        let Head { id: said, spec } = parse(&path, &job_json)?;
        if said != id {
            return Err(Wrong::wrong(&path, format!("id: is {said}")).into());
        }
        let mut request =
            wire::ImportJobRequest { job_json, only_check: true, ..Default::default() };
        if self.master.import_job(&request).await? {
            return Ok(true);
        }
        let manifest = folder.join("files.json");
        let written: Manifest = parse(&manifest, &self.layout.text(&below.join("files.json"))?)?;
        written.check(&Manifest::of(&folder)?, &folder)?;
        let things = Things::of(&folder)?;
        if things.has_diff {
            request.git_diff = Some(self.layout.text(&below.join("files/git.diff"))?);
        }
        self.bundle(spec.bundle).await?;
        if self.dry_run {
            return Ok(false);
        }
        self.ship(id, &folder, &things).await?;
        request.folders = things.folders.into_keys().collect();
        request.folders.extend(things.points.map(|_| SERIES.to_owned()));
        request.only_check = false;
        self.master.import_job(&request).await?;
        Ok(false)
    }

    /// The master looks whether it is what its name says.
    async fn bundle(&self, bundle: Bundle) -> Result<(), Error> {
        let path = self.layout.bundle(bundle.id);
        let file = self.layout.open(self.layout.below(&path))?;
        let size = file.metadata().map_err(Wrong::read(&path))?.len();
        if self.dry_run {
            return Ok(());
        }
        let bar = self.say.bar("Uploading", size);
        let sent = upload(self.master, file, &Packed { bundle, size }, &bar).await;
        bar.finish_and_clear();
        sent.map(drop).map_err(Error::from)
    }

    async fn ship(&self, job: JobId, root: &Path, things: &Things) -> Result<(), Error> {
        let bytes = |it: &Found| match it.what {
            What::File(meta) => meta.bytes,
            What::Link(_) | What::Folder { .. } => 0,
        };
        let points = things.points.as_slice();
        let bar = self
            .say
            .bar("Uploading", things.folders.values().flatten().chain(points).map(bytes).sum());
        for (name, things) in &things.folders {
            let below = &Path::new("files").join(name);
            ship(self.master, &Folder { job, name, root, below, things, bar: &bar }).await?;
        }
        if !points.is_empty() {
            let below = Path::new("");
            let folder = Folder { job, name: SERIES, root, below, things: points, bar: &bar };
            ship(self.master, &folder).await?;
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// The folder of a job in a cluster that its points are in.
const SERIES: &str = "series";

impl Things {
    fn of(job: &Path) -> Result<Self, Error> {
        let mut things = Self::default();
        for found in everything(job)? {
            let parts: Vec<_> = found.path.components().map(Component::as_os_str).collect();
            let is_folder = matches!(found.what, What::Folder { .. });
            let is_file = matches!(found.what, What::File(_));
            match parts[..] {
                [name] if name == "files" && is_folder => {}
                [name] if name == "points.parquet" && is_file => things.points = Some(found),
                [files, name] if files == "files" && name == "git.diff" && is_file => {
                    things.has_diff = true;
                }
                [files, name] if files == "files" && is_folder => {
                    things.folders.entry(name.to_string_lossy().into_owned()).or_default();
                }
                [files, name, _, ..] if files == "files" => {
                    let rest = found.path.components().skip(2).collect();
                    let name = name.to_string_lossy().into_owned();
                    let found = Found { path: rest, ..found };
                    things.folders.entry(name).or_default().push(found);
                }
                _ => return Err(Wrong::wrong(&job.join(&found.path), "is nothing of a job").into()),
            }
        }
        Ok(things)
    }
}
