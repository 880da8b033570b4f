//! Where in an export is what.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use atlas_core::{BundleId, JobId};
use atlas_runtime::process::write_atomic;
use atlas_runtime::storage;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Error;

/// Another form gets another number; this one is read for ever.
pub const FORMAT: u32 = 1;
/// What a job, a manifest or a project may be long, in bytes.
const LONGEST: u64 = 256 << 20;

/// export.json: of what this is an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    pub format: u32,
    /// The version that wrote it.
    pub atlas: String,
    /// Which cluster it was written from.
    pub cluster: String,
    /// In milliseconds since 1970.
    pub exported: u64,
    /// Of the jobs of the project, those that it finds; empty = all.
    pub filter: String,
    pub project: Project,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    pub name: String,
    /// In Markdown.
    pub description: String,
    pub notes: Vec<Note>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    pub number: u64,
    pub author: String,
    pub at: u64,
    pub text: String,
}

/// The paths of an export.
pub struct Layout(PathBuf);

impl Layout {
    pub fn new(root: PathBuf) -> Self {
        Self(root)
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    pub fn job(&self, id: JobId) -> PathBuf {
        self.0.join("jobs").join(id.to_string())
    }

    pub fn bundle(&self, id: BundleId) -> PathBuf {
        self.0.join("bundles").join(format!("{id}.tar.zst"))
    }

    fn about_path(&self) -> PathBuf {
        self.0.join("export.json")
    }

    /// `None` = there is none.
    pub fn about(&self) -> Result<Option<About>, Error> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let path = self.about_path();
        if !path.exists() {
            return Ok(None);
        }
        let text = self.text(Path::new("export.json"))?;
        let Version { format } = parse(&path, &text)?;
        if format != FORMAT {
            let why =
                format!("format: is {format}, and this atlas knows {FORMAT}: use a newer one");
            return Err(Error::wrong(&path, why));
        }
        parse(&path, &text).map(Some)
    }

    pub fn write_about(&self, about: &About) -> Result<(), Error> {
        write_json(&self.about_path(), about)
    }

    /// The jobs that are whole, in the order of their ids.
    pub fn jobs(&self) -> Result<Vec<JobId>, Error> {
        let path = self.0.join("jobs");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let mut jobs = Vec::new();
        for entry in fs::read_dir(&path).map_err(Error::read(&path))? {
            let entry = entry.map_err(Error::read(&path))?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|it| it.parse().ok());
            let id = id.ok_or_else(|| Error::wrong(&entry.path(), "is not named as a job"))?;
            // Of an export that was cut, the last one may have none.
            if entry.path().join("job.json").symlink_metadata().is_ok() {
                jobs.push(id);
            }
        }
        jobs.sort_unstable();
        Ok(jobs)
    }

    /// A file of the export itself, through no link.
    pub fn open(&self, below: &Path) -> Result<File, Error> {
        let path = self.0.join(below);
        let opened = File::open(&self.0).and_then(|it| storage::open(it.as_fd(), below));
        opened.map_err(Error::read(&path))
    }

    pub fn text(&self, below: &Path) -> Result<String, Error> {
        let path = self.0.join(below);
        let mut text = String::new();
        let file = self.open(below)?;
        file.take(LONGEST + 1).read_to_string(&mut text).map_err(Error::read(&path))?;
        if text.len() as u64 > LONGEST {
            return Err(Error::wrong(&path, format!("is longer than {LONGEST} bytes")));
        }
        Ok(text)
    }

    /// The path of something that lies in the export.
    pub fn below<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.0).unwrap_or(path)
    }
}

pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|why| Error::wrong(path, why.to_string()))
}

pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|it| Error::wrong(path, it.to_string()))?;
    text.push('\n');
    write_text(path, &text)
}

/// Whole or not at all.
pub fn write_text(path: &Path, text: &str) -> Result<(), Error> {
    write_atomic(path, text.as_bytes(), 0o644, false).map_err(Error::write(path))
}
