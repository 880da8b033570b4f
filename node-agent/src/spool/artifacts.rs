//! Files that a job saved, on their way to its archive: those that its spool names, before the lines that name them are taken.

use std::path::Path;

use atlas_core::files::{Found, What};
use atlas_runtime::Chain;
use atlas_runtime::storage::{Others, list};
use tokio_util::sync::CancellationToken;

use crate::archive::{self, copy};
use crate::storage::Destination;

/// The folder beside the spool that they lie in.
const FILES: &str = "files";
/// Files and folders that a job may save in all.
const MOST: usize = 100_000;

/// What became of files that were wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    pub kept: Vec<String>,
    /// And why.
    pub missing: Vec<(String, String)>,
}

/// Keeps the files and folders of these names, below the spool's folder, in at most `room` bytes. An error passes: it is to be tried
/// again. Blocks.
pub fn bring(
    spool: &Path,
    wanted: Vec<String>,
    to: Destination,
    room: &mut u64,
    cancel: &CancellationToken,
) -> Result<Brought, archive::Error> {
    let mut brought = Brought::default();
    let from = spool.join(FILES);
    // Something else may lie there: the folder is the job's.
    let listed = list(&from, MOST).map(|it| it.found).unwrap_or_default();
    let mut all: Vec<Found> = Vec::new();
    for path in wanted {
        let found: Vec<Found> =
            listed.iter().filter(|it| it.path.starts_with(&path)).cloned().collect();
        let bytes = found.iter().map(bytes).sum::<u64>();
        if found.is_empty() {
            brought.missing.push((path, "it is not there".into()));
        } else if bytes > *room {
            let why = "with what was saved before, it is more than --max-output of the node";
            brought.missing.push((path, why.into()));
        } else {
            *room -= bytes;
            all.extend(found);
            brought.kept.push(path);
        }
    }
    if all.is_empty() {
        return Ok(brought);
    }
    let left: Vec<(String, String)> = match copy::all(&from, all, to, Others::Stay, cancel) {
        Ok(left) => left.into_iter().map(|it| (it.path.display().to_string(), it.why)).collect(),
        Err(error) if error.is_final() => {
            let why = Chain(&error).to_string();
            brought.kept.iter().map(|it| (it.clone(), why.clone())).collect()
        }
        Err(error) => return Err(error),
    };
    for path in std::mem::take(&mut brought.kept) {
        match left.iter().find(|it| Path::new(&it.0).starts_with(&path)) {
            Some((of, why)) => brought.missing.push((path, format!("{of}: {why}"))),
            None => brought.kept.push(path),
        }
    }
    Ok(brought)
}

fn bytes(found: &Found) -> u64 {
    match found.what {
        What::File(meta) => meta.bytes,
        What::Link(_) | What::Folder { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::paths::{AttemptId, Shared};
    use crate::storage::Storage;

    struct World {
        folder: tempfile::TempDir,
        id: AttemptId,
        shared: Shared,
        room: u64,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let id: AttemptId = "45540b52-ffe2-44ab-9838-db467d3499c0.1".parse().unwrap();
            let shared = Shared::new(folder.path().join("shared"));
            fs::create_dir_all(shared.job(id.job)).unwrap();
            fs::create_dir_all(folder.path().join("spool")).unwrap();
            Self { folder, id, shared, room: 100 }
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.folder.path().join("spool/files").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn bring(&mut self, wanted: &[&str]) -> Brought {
            let cancel = CancellationToken::new();
            let to = Storage::Mounted(self.shared.clone()).artifacts(self.id, &cancel);
            let wanted = wanted.iter().map(ToString::to_string).collect();
            let spool = self.folder.path().join("spool");
            bring(&spool, wanted, to, &mut self.room, &cancel).unwrap()
        }

        fn kept(&self, path: &str) -> Option<String> {
            fs::read_to_string(self.shared.artifacts(self.id.job).join(path)).ok()
        }
    }

    #[test]
    fn files_and_folders_that_are_named_are_kept_and_nothing_else() {
        let mut world = World::new();
        for (path, text) in
            [("1/a", "A"), ("2/d/x", "X"), ("2/d/y/z", "Z"), ("2/other", "O"), ("1/ab", "B")]
        {
            world.write(path, text);
        }
        let brought = world.bring(&["1/a", "2/d", "3/gone"]);
        assert_eq!(brought.kept, ["1/a", "2/d"]);
        assert_eq!(brought.missing, [("3/gone".to_owned(), "it is not there".to_owned())]);
        let kept =
            ["1/a", "2/d/x", "2/d/y/z", "2/other", "1/ab"].map(|it| world.kept(it).is_some());
        assert_eq!(kept, [true, true, true, false, false]);
        assert_eq!(world.bring(&["1/a"]).kept, ["1/a"], "again, after an answer was lost");
    }

    #[test]
    fn what_is_too_much_stays_behind() {
        let mut world = World::new();
        world.write("1/small", &"s".repeat(60));
        world.write("2/large", &"l".repeat(60));
        let brought = world.bring(&["1/small", "2/large"]);
        assert_eq!((brought.kept.len(), brought.missing.len()), (1, 1));
        assert!(brought.missing[0].1.contains("--max-output"), "{brought:?}");
    }

    #[test]
    fn no_link_leads_out_of_the_folder() {
        let mut world = World::new();
        let secret = world.folder.path().join("secret");
        fs::create_dir(&secret).unwrap();
        fs::write(secret.join("key"), "secret").unwrap();
        world.write("1/a", "A");
        symlink(&secret, world.folder.path().join("spool/files/2")).unwrap();
        let brought = world.bring(&["2/key", "2"]);
        assert_eq!(brought.kept, ["2"], "the link itself");
        assert_eq!(fs::read_link(world.shared.artifacts(world.id.job).join("2")).unwrap(), secret);
        fs::remove_dir_all(world.folder.path().join("spool/files")).unwrap();
        symlink(&secret, world.folder.path().join("spool/files")).unwrap();
        assert_eq!(world.bring(&["key"]).missing.len(), 1);
        assert_eq!(world.kept("key"), None);
    }
}
