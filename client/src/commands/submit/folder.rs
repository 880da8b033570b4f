//! The job directory: what is in it that matters before anything is sent.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::Args;
use crate::bundle::{self, Rules, Tree};
use crate::error::Error;
use crate::output::{self, bytes};
use crate::say::Say;

/// More is worth a warning: data sets belong on volumes.
const LARGE: u64 = 100_000_000;
/// So many paths are named as the reason.
const NAMED: usize = 5;
const CONFIG: &str = "job.config.yaml";
const LONGEST_CONFIG: u64 = 1 << 20;

/// Looks at every file of the job directory and says what is worth knowing about it.
pub(super) async fn collect(
    dir: &Path,
    args: &Args,
    command: &[String],
    say: Say,
) -> Result<Tree, Error> {
    if let Some(first) = command.first().filter(|it| !is_known(dir, it)) {
        say.warn(format_args!(
            "'{first}' is neither a file of the job directory nor a program of this machine. If the job's image has it, all is well."
        ));
    }
    if command.is_empty() {
        say.warn("No command was specified: job.config.yaml or the image has to name one.");
    }
    say.info(format_args!(
        "Preparing to bundle contents of {} for execution. Estimating bundle size.",
        dir.canonicalize().unwrap_or_else(|_| dir.to_owned()).display()
    ));
    let rules = if args.no_ignore { Rules::SendAll } else { Rules::Ignore };
    let (owned, words) = (dir.to_owned(), command.to_vec());
    let collecting = tokio::task::spawn_blocking(move || {
        let tree = bundle::collect(&owned, rules)?;
        tree.check_command(&words)?;
        Ok::<_, bundle::Error>(tree)
    });
    let tree =
        collecting.await.map_err(|it| Error::io("look at the job directory")(it.into()))??;
    tell(&tree, say);
    Ok(tree)
}

fn tell(tree: &Tree, say: Say) {
    for notice in tree.notices() {
        say.warn(notice);
    }
    if !tree.excluded().is_empty() {
        say.info(output::counted(
            tree.excluded().len(),
            "file or folder stays behind by ignore rules (--dry-run lists it, --no-ignore sends it).",
            "files and folders stay behind by ignore rules (--dry-run lists them, --no-ignore sends them).",
        ));
    }
    let (_, size) = tree.totals();
    if size > LARGE {
        let largest = tree.largest(NAMED);
        let largest: Vec<_> = largest
            .iter()
            .map(|(path, size)| format!("\n  {:>9}  {}", bytes(*size), path.display()))
            .collect();
        say.warn(format_args!(
            "The job directory holds {}; the largest paths are:{}\nLeave out what the job does not need with .atlasignore, \
             and pass data sets by --volume.",
            bytes(size),
            largest.concat()
        ));
    }
}

/// The raw text of job.config.yaml, if there is one; the master checks it.
pub(super) fn job_config(dir: &Path) -> Result<Option<String>, Error> {
    let path = dir.join(CONFIG);
    match read(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Usage(format!("could not read {}: {error}", path.display()))),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST_CONFIG + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST_CONFIG {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(text)
}

/// Whether a command's first word is a file of the job directory, an option of python, or a program.
fn is_known(dir: &Path, word: &str) -> bool {
    if word.starts_with('-') || dir.join(word).exists() {
        return true;
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    !word.contains('/') && std::env::split_paths(&paths).any(|it| it.join(word).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_file_an_option_or_a_program() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("main.py"), "").unwrap();
        for known in ["main.py", "./main.py", "-m", "sh"] {
            assert!(is_known(dir.path(), known), "{known}");
        }
        for unknown in ["mian.py", "bin/sh", "no-such-program-anywhere"] {
            assert!(!is_known(dir.path(), unknown), "{unknown}");
        }
    }

    #[test]
    fn a_job_config_is_read_as_it_is_or_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(job_config(dir.path()).unwrap(), None);
        let path = dir.path().join(CONFIG);
        std::fs::write(&path, "num_gpus: many # sic\n").unwrap();
        assert_eq!(job_config(dir.path()).unwrap().as_deref(), Some("num_gpus: many # sic\n"));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(job_config(dir.path()).unwrap_err().to_string().contains(CONFIG));
        std::fs::write(&path, vec![b' '; 1 << 21]).unwrap();
        assert!(job_config(dir.path()).unwrap_err().to_string().contains("larger than 1 MiB"));
    }
}
