//! What differs between the folders that two jobs were submitted from.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::commands::get_job::Fetch;
use crate::connect::Master;
use crate::error::Error;
use crate::say::Say;

const SOURCE: &str = "source";

/// By path: A = only in the second, D = only in the first, M = not the same.
pub async fn compare(
    master: &Master,
    jobs: [&str; 2],
    say: Say,
) -> Result<BTreeMap<String, char>, Error> {
    let folders = tempfile::tempdir().map_err(Error::io("make a folder to compare in"))?;
    let into = [folders.path().join("one"), folders.path().join("other")];
    for (id, into) in jobs.into_iter().zip(&into) {
        Fetch { master, id, source: SOURCE, into, say }.all().await?;
    }
    let compared = tokio::task::spawn_blocking(move || {
        let [one, other] = into.map(|it| it.join(SOURCE));
        differing(&one, &other).map(|it| (it, folders))
    });
    let compared = compared.await.map_err(|it| Error::io("compare the files")(it.into()))?;
    Ok(compared.map_err(Error::io("compare the files"))?.0)
}

fn differing(one: &Path, other: &Path) -> io::Result<BTreeMap<String, char>> {
    let mut found = BTreeMap::new();
    let (ours, theirs) = (listed(one)?, listed(other)?);
    for path in &ours {
        if !theirs.contains(path) {
            found.insert(path.clone(), 'D');
        } else if !is_same(&one.join(path), &other.join(path))? {
            found.insert(path.clone(), 'M');
        }
    }
    found.extend(theirs.into_iter().filter(|it| !ours.contains(it)).map(|it| (it, 'A')));
    Ok(found)
}

/// Files and links below, by their paths.
fn listed(root: &Path) -> io::Result<std::collections::BTreeSet<String>> {
    let mut found = std::collections::BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder == root => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Ok(below) = entry.path().strip_prefix(root) {
                found.insert(below.to_string_lossy().into_owned());
            }
        }
    }
    Ok(found)
}

/// Neither is followed when it is a link.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (ours, theirs) = (one.symlink_metadata()?, other.symlink_metadata()?);
    if ours.is_symlink() || theirs.is_symlink() {
        let both = ours.is_symlink() && theirs.is_symlink();
        return Ok(both && fs::read_link(one)? == fs::read_link(other)?);
    }
    if ours.len() != theirs.len() || ours.permissions() != theirs.permissions() {
        return Ok(false);
    }
    let [one, other] = [one, other].map(|it| File::open(it).map(BufReader::new));
    let (mut one, mut other) = (one?, other?);
    let (mut ours, mut theirs) = ([0; 1 << 16], [0; 1 << 16]);
    loop {
        let read = one.read(&mut ours)?;
        if read == 0 {
            return Ok(true);
        }
        other.read_exact(&mut theirs[..read])?;
        if ours[..read] != theirs[..read] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn files_differ_by_what_they_are_and_hold() {
        let folders = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|it| folders.path().join(it));
        for root in [&one, &other] {
            fs::create_dir_all(root.join("deep")).unwrap();
            fs::write(root.join("deep/same"), "x").unwrap();
            fs::write(root.join("mode"), "x").unwrap();
            symlink("same", root.join("link")).unwrap();
        }
        fs::write(one.join("gone"), "x").unwrap();
        fs::write(other.join("deep/new"), "x").unwrap();
        fs::write(one.join("main.py"), "print(1)").unwrap();
        fs::write(other.join("main.py"), "print(2)").unwrap();
        fs::write(one.join("kind"), "same").unwrap();
        symlink("same", other.join("kind")).unwrap();
        fs::set_permissions(other.join("mode"), fs::Permissions::from_mode(0o755)).unwrap();
        let expected =
            [("deep/new", 'A'), ("gone", 'D'), ("kind", 'M'), ("main.py", 'M'), ("mode", 'M')];
        let expected = expected.map(|(path, how)| (path.to_owned(), how));
        assert_eq!(differing(&one, &other).unwrap(), expected.into());
        assert!(
            differing(&one, &folders.path().join("none")).unwrap().values().all(|it| *it == 'D')
        );
    }
}
