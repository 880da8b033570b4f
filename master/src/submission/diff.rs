//! What was not committed: a text that comes with a submission and becomes the job's file `git.diff`.

use atlas_core::JobSpec;
use atlas_core::spec::GitDiff;
use sha2::{Digest, Sha256};

use super::Invalid;

/// Bytes; clients cut at a file before it becomes longer.
pub const LONGEST: u64 = 256 << 10;
/// What a line begins with that names a file: git's own, and two of ours for those that git shows nothing of. Lines of a file's
/// text begin with ` `, `+`, `-` or `\`.
const NAMES: [&str; 3] = ["diff --git ", "# new: ", "# cut: "];

/// A text that holds, and what is said of it in the spec of each job that it belongs to.
pub struct Changes {
    text: String,
    measured: GitDiff,
}

impl Changes {
    /// `None` = nothing was changed.
    pub fn read(text: String) -> Result<Option<Self>, Invalid> {
        Ok(check(text)?.map(|text| Self { measured: measure(&text), text }))
    }

    pub fn belong_to(&self, spec: &mut JobSpec) -> Result<(), Invalid> {
        let git = spec.git.as_mut();
        let git =
            git.ok_or_else(|| Invalid::new("git_diff", "is there, but not the commit in git"))?;
        git.diff = Some(self.measured.clone());
        Ok(())
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

fn check(text: String) -> Result<Option<String>, Invalid> {
    if text.len() as u64 > LONGEST {
        let why = format!("is {} bytes long; {LONGEST} are kept at most", text.len());
        return Err(Invalid::new("git_diff", why));
    }
    if text.contains('\0') {
        return Err(Invalid::new("git_diff", "holds a NUL character: it is text"));
    }
    Ok(Some(text).filter(|it| !it.is_empty()))
}

pub fn measure(text: &str) -> GitDiff {
    let names = |it: &&str| NAMES.iter().any(|name| it.starts_with(name));
    GitDiff {
        sha256: Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect(),
        files: text.lines().filter(names).count() as u64,
        bytes: text.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_where_they_are_named_and_not_where_their_text_says_so() {
        let text = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-diff --git a b\n+# new: x\n\
            diff --git a/m.pt b/m.pt\nBinary files a/m.pt and b/m.pt differ\n# new: b.py\n# cut: c.ipynb\n";
        let GitDiff { sha256, files, bytes } = measure(text);
        assert_eq!((sha256.len(), files, bytes), (64, 4, text.len() as u64));
        assert_ne!(measure("").sha256, sha256);
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused_by_name() {
        let most = usize::try_from(LONGEST).unwrap();
        assert_eq!(check(String::new()).unwrap(), None);
        assert!(check("x".repeat(most)).unwrap().is_some());
        for wrong in ["x".repeat(most + 1), "a\0b".into()] {
            assert_eq!(check(wrong).unwrap_err().field, "git_diff");
        }
    }
}
