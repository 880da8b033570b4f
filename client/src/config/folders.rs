//! The folders that configurations are looked for in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, variable};

const SUFFIX: &str = ".config.yaml";
/// Where nobody has more configurations, this is the wrong folder.
const MOST: usize = 1000;

/// Folders with submission configurations; of two with the same name the one in the earlier folder counts.
#[derive(Clone, Debug)]
pub struct Folders(Vec<PathBuf>);

/// A file of configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub name: String,
    pub path: PathBuf,
    /// It came with the folder that the user stands in, not from the user's home.
    pub local: bool,
}

/// The folder of Atlas in the user's home: `$ATLAS_HOME`, else `~/.atlas`.
pub fn home() -> PathBuf {
    under_home("ATLAS_HOME", ".atlas")
}

impl Folders {
    /// `./config/submission`, then that of Atlas, then that of 2020.
    pub fn of_user() -> Self {
        let homes = [home(), under_home("FOUNDATIONS_HOME", ".foundations")];
        let homes = homes.into_iter().map(|it| it.join("config/submission"));
        Self([PathBuf::from("config/submission")].into_iter().chain(homes).collect())
    }

    #[cfg(test)]
    pub(super) const fn new(folders: Vec<PathBuf>) -> Self {
        Self(folders)
    }

    /// All configurations that have a file, sorted by name.
    pub fn known(&self) -> Result<Vec<Known>, Error> {
        let mut known: Vec<Known> = Vec::new();
        for folder in &self.0 {
            for path in
                files(folder).map_err(|source| Error::Read { path: folder.clone(), source })?
            {
                let name = path
                    .file_name()
                    .and_then(|it| it.to_str())
                    .and_then(|it| it.strip_suffix(SUFFIX));
                let Some(name) = name.filter(|it| !it.is_empty()).map(str::to_owned) else {
                    continue;
                };
                if !known.iter().any(|it| it.name == name) {
                    known.push(Known { name, path, local: folder.is_relative() });
                }
            }
        }
        known.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(known)
    }
}

fn under_home(name: &str, folder: &str) -> PathBuf {
    match variable(name) {
        Some(path) => path.into(),
        None => std::env::home_dir().unwrap_or_default().join(folder),
    }
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.take(MOST).map(|it| it.map(|it| it.path())).collect(),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}
