//! What a requirements.txt asks for, as far as it decides which environment fits.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use atlas_core::spec::Bundle;
use sha2::{Digest, Sha256};

/// No list of packages is longer.
const LONGEST: u64 = 4 << 20;

/// The requirements of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirements {
    /// Two jobs with the same digest need the same packages.
    pub digest: [u8; 32],
    pub text: Vec<u8>,
    /// The bundle, where the list refers to files in it.
    pub bundle: Option<(PathBuf, Bundle)>,
}

impl Requirements {
    /// Reads the list of a job whose bundle this is.
    pub fn read(file: File, path: &Path, bundle: Bundle) -> io::Result<Self> {
        let mut text = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut text)?;
        if text.len() as u64 > LONGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 4 MiB"));
        }
        let local = String::from_utf8_lossy(&text).lines().any(refers_to_a_file);
        let mut hash = Sha256::new();
        hash.update(&text);
        if local {
            hash.update(bundle.id.to_string());
        }
        let bundle = local.then(|| (path.to_owned(), bundle));
        Ok(Self { digest: hash.finalize().into(), text, bundle })
    }
}

/// Options that say where packages come from, not which.
const PLAIN_OPTIONS: [&str; 9] = [
    "-i ",
    "--index-url",
    "--extra-index-url",
    "--no-index",
    "--no-binary",
    "--only-binary",
    "--prefer-binary",
    "--pre",
    "--trusted-host",
];

/// In doubt yes: then the environment is for jobs with this very bundle.
fn refers_to_a_file(line: &str) -> bool {
    let line = line.trim();
    let line = line.split(" #").next().unwrap_or_default();
    if line.starts_with('#') || line.is_empty() {
        return false;
    }
    if line.starts_with('-') {
        let hash = line.starts_with("--hash") || line.starts_with("--require-hashes");
        return !hash && !PLAIN_OPTIONS.iter().any(|option| line.starts_with(option));
    }
    let archive = [".whl", ".tar.gz", ".zip"].iter().any(|it| line.ends_with(it));
    let remote = line.contains("://") && !line.contains("file:");
    !remote && (line.starts_with('.') || line.contains('/') || line.contains("file:") || archive)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lists_that_refer_to_files_are_known() {
        for line in ["-r more.txt", "-c x", "-e .", ".", "./pkg", "a.whl", "a @ file:///x", "-f w"]
        {
            assert!(refers_to_a_file(line), "{line}");
        }
        for line in [
            "",
            "# ./comment",
            "numpy",
            "numpy>=1.2 # see ./notes",
            "a[extra]==1; python_version < '3.9'",
            "git+https://host/repo",
            "a @ https://host/a.whl",
            "--index-url https://host/simple",
            "-i https://host/simple",
            "    --hash=sha256:00",
        ] {
            assert!(!refers_to_a_file(line), "{line}");
        }
    }

    #[test]
    fn the_bundle_counts_only_where_the_list_refers_to_it() {
        let read = |text: &str, bundle: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let id = bundle.repeat(32).parse().unwrap();
            let bundle = Bundle { id, tar_size: 0, files: 0 };
            Requirements::read(file.reopen().unwrap(), Path::new("/b"), bundle).unwrap()
        };
        assert_eq!(read("numpy", "aa").digest, read("numpy", "bb").digest);
        assert_ne!(read("numpy", "aa").digest, read("numpy==1", "aa").digest);
        assert_ne!(read("-e .", "aa").digest, read("-e .", "bb").digest);
        assert!(read("-e .", "aa").bundle.is_some() && read("numpy", "aa").bundle.is_none());
    }
}
