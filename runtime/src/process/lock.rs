//! One process per data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Held by the one process that may use a data folder; given back on drop and at the process' death, however it
/// dies. For local disks: [`super::is_network_filesystem`] first.
///
/// ```
/// use atlas_runtime::process::InstanceLock;
/// # let data = tempfile::tempdir().unwrap();
/// let lock = InstanceLock::acquire(data.path(), "atlas-master")?;
/// let error = InstanceLock::acquire(data.path(), "atlas-master").unwrap_err();
/// assert!(error.to_string().contains(&format!("pid {}", std::process::id())));
/// # Ok::<(), atlas_runtime::process::LockError>(())
/// ```
#[derive(Debug)]
pub struct InstanceLock {
    /// The kernel's lock lives as long as this is open; Rust opens close-on-exec, so no child inherits it.
    _file: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process uses it.
    #[error("{} is in use by {holder}: stop that process or take another folder", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The name and pid that the holder wrote.
        holder: String,
    },
    /// The lock file cannot be opened, locked or written.
    #[error("could not lock {}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl InstanceLock {
    /// Takes `folder`, which must exist, for the process called `name`.
    pub fn acquire(folder: &Path, name: &str) -> Result<Self, Error> {
        let path = folder.join("lock");
        let failed = |source| Error::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false) // it names its holder
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Held { folder: folder.to_owned(), holder: holder(&file) });
            }
        }
        name_holder(&mut file, name).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn name_holder(file: &mut File, name: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{name} (pid {})", std::process::id())
}

/// What the holder wrote; it may not have come to it yet.
fn holder(file: &File) -> String {
    let mut text = String::new();
    let read = file.take(200).read_to_string(&mut text);
    match text.lines().next() {
        Some(line) if read.is_ok() => line.chars().filter(|c| !c.is_control()).collect(),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_with_the_first_ones_name_and_pid() {
        let folder = tempfile::tempdir().unwrap();
        let _lock = InstanceLock::acquire(folder.path(), "atlas-master").unwrap();
        let error = InstanceLock::acquire(folder.path(), "atlas-node").unwrap_err().to_string();
        let expected = format!("is in use by atlas-master (pid {})", std::process::id());
        assert!(error.contains(&expected), "{error}");
    }

    #[test]
    fn a_lock_that_was_given_back_can_be_taken_and_names_the_new_holder() {
        let folder = tempfile::tempdir().unwrap();
        drop(InstanceLock::acquire(folder.path(), "a-process-with-a-long-name").unwrap());
        let _lock = InstanceLock::acquire(folder.path(), "atlas").unwrap();
        let text = std::fs::read_to_string(folder.path().join("lock")).unwrap();
        assert_eq!(text, format!("atlas (pid {})\n", std::process::id()));
    }

    #[test]
    fn a_lock_file_left_by_a_dead_process_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lock"), "atlas-master (pid 1)\n").unwrap();
        InstanceLock::acquire(folder.path(), "atlas-master").unwrap();
    }

    #[test]
    fn a_holder_that_has_not_written_its_name_is_still_a_holder() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("lock")).unwrap();
        file.try_lock().unwrap();
        let error = InstanceLock::acquire(folder.path(), "atlas").unwrap_err().to_string();
        assert!(error.contains("in use by another process"), "{error}");
    }

    #[test]
    fn a_folder_that_does_not_exist_is_named() {
        let error = InstanceLock::acquire(Path::new("/nowhere/data"), "atlas").unwrap_err();
        assert_eq!(error.to_string(), "could not lock /nowhere/data/lock");
    }
}
