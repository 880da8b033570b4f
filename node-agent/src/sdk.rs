//! The Python SDK, as this agent shows it to every job: `import foundations` works in any image, and fits the agent. It lies in
//! the data folder under the name of its content, for jobs that an agent before this one started go on using theirs.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::paths::Data;

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The name of the folder that holds it.
pub const fn version() -> &'static str {
    VERSION
}

/// Writes it where it is not, or not as it should be: without containers a job may run as the agent's own user.
pub fn lay_out(data: &Data) -> io::Result<()> {
    let folder = data.sdk();
    let is_there = |(name, text): &(&str, &str)| {
        fs::read(folder.join(name)).is_ok_and(|found| found == text.as_bytes())
    };
    if FILES.iter().all(is_there) {
        return Ok(());
    }
    let part = folder.with_extension("part");
    for old in [&part, &folder] {
        match fs::remove_dir_all(old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    for (name, text) in FILES {
        let path = part.join(name);
        let above = path.parent().expect("it lies below a folder");
        fs::create_dir_all(above)?;
        fs::write(&path, text)?;
        open_to_all(&path, 0o444)?;
        // Up to the folder of all versions: the job's user has to pass whatever the agent's umask is.
        for folder in above.ancestors().take_while(|it| *it != data.root()) {
            open_to_all(folder, 0o755)?;
        }
    }
    fs::rename(part, folder)
}

/// Removes the versions of other agents. Only where no job is left that could use one.
pub fn clean(data: &Data) -> io::Result<()> {
    let ours = data.sdk();
    for entry in fs::read_dir(ours.parent().expect("it lies below the folder of all versions"))? {
        let path = entry?.path();
        if path != ours {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

fn open_to_all(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_laid_out_whole_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::new(folder.path().to_owned());
        lay_out(&data).unwrap();
        let file = data.sdk().join("foundations/__init__.py");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("Python SDK"));
        assert!(data.sdk().join("foundations/parameters/__init__.py").exists());
        fs::remove_file(&file).unwrap();
        fs::write(&file, "changed").unwrap();
        lay_out(&data).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }

    #[test]
    fn other_versions_go_when_nobody_can_use_them() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::new(folder.path().to_owned());
        lay_out(&data).unwrap();
        let other = data.sdk().with_file_name("older");
        fs::create_dir(&other).unwrap();
        clean(&data).unwrap();
        assert!(data.sdk().exists() && !other.exists());
    }
}
