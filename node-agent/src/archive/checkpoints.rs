//! Checkpoints of a node without the shared storage, on their way there.

use std::path::Path;

use atlas_core::files::{Found, What};
use atlas_runtime::storage::shipment::Left;
use atlas_runtime::storage::{Others, list};
use tokio_util::sync::CancellationToken;

use super::{Error, MOST_FILES, copy, some_of};
use crate::storage::Destination;

/// Makes the folder there the same as this one. Where it is too much, what was written last is kept: it is what a job goes on from;
/// and what is there already stays, as it may be what does not fit.
pub(super) fn keep(
    from: &Path,
    to: Destination,
    most: u64,
    cancel: &CancellationToken,
) -> Result<Option<String>, Error> {
    // Without the folder what was in it was not given back, and what is there is not touched.
    if !from.is_dir() {
        return Ok(None);
    }
    let listed = list(from, MOST_FILES);
    let listed = listed.map_err(|source| Error::Work { path: from.to_owned(), source })?;
    let is_all = listed.is_all();
    let (found, mut left) = newest(listed.found, most);
    let others = if is_all && left.is_empty() { Others::Go } else { Others::Stay };
    let deep = |path| Left { path, why: "too deep, or its path is too long".into() };
    left.extend(listed.too_deep.into_iter().map(deep));
    left.extend(copy::all(from, found, to, others, cancel)?);
    let named: Vec<(&Path, String)> =
        left.iter().map(|it| (it.path.as_path(), it.why.clone())).collect();
    let named = (!named.is_empty()).then(|| {
        format!(
            "{} checkpoint(s) stayed behind: {}",
            named.len(),
            some_of(&named, named.len() as u64)
        )
    });
    let more = listed.more.then(|| format!("of the checkpoints only {MOST_FILES} were kept"));
    let stay = (others == Others::Stay)
        .then(|| "of those on the shared storage from before none was removed".to_owned());
    let all: Vec<String> = [named, more, stay].into_iter().flatten().collect();
    Ok((!all.is_empty()).then(|| all.join("; ")))
}

/// The files written last that fit, in the order in which they were found, and the others. One that is too large leaves its room to
/// older ones.
fn newest(found: Vec<Found>, most: u64) -> (Vec<Found>, Vec<Left>) {
    let mut times: Vec<((i64, u32), u64, usize)> = Vec::new();
    for (at, it) in found.iter().enumerate() {
        if let What::File(meta) = it.what {
            times.push((meta.modified, meta.bytes, at));
        }
    }
    times.sort_unstable_by(|a, b| b.cmp(a));
    let mut room = most;
    let mut too_large = std::collections::HashSet::new();
    for (_, bytes, at) in times {
        match room.checked_sub(bytes) {
            Some(less) => room = less,
            None => drop(too_large.insert(at)),
        }
    }
    let (mut kept, mut left) = (Vec::new(), Vec::new());
    for (at, it) in found.into_iter().enumerate() {
        if too_large.contains(&at) {
            let why = "with what was written after it, it is more than --max-output of the node";
            left.push(Left { path: it.path, why: why.into() });
        } else {
            kept.push(it);
        }
    }
    (kept, left)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use atlas_core::files::Meta;
    use atlas_runtime::storage::{Keeper, Owner, Shipment};

    use super::*;

    #[test]
    fn what_is_on_the_storage_goes_only_where_everything_was_offered() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for path in [&from, &to] {
            fs::create_dir(path).unwrap();
        }
        fs::write(to.join("step-1"), "safe").unwrap();
        fs::write(from.join("step-2"), "12345").unwrap();
        let keep = |most| {
            let me = fs::metadata(&from).unwrap();
            let owner = Owner { uid: me.uid(), gid: me.gid() };
            let keeper = Keeper::mirror(to.clone(), folder.path().to_owned(), owner);
            let shipment = Box::new(Shipment::new(keeper, u64::MAX));
            let to = Destination::Mounted { to: to.clone(), shipment };
            super::keep(&from, to, most, &CancellationToken::new()).unwrap()
        };
        let said = keep(4).unwrap();
        assert!(said.contains("step-2 (") && said.contains("none was removed"), "{said}");
        assert!(to.join("step-1").exists() && !to.join("step-2").exists());
        assert_eq!(keep(5), None);
        assert!(!to.join("step-1").exists() && to.join("step-2").exists());
    }

    #[test]
    fn the_newest_checkpoints_are_kept() {
        let file = |path: &str, at, bytes| {
            let meta = Meta { bytes, modified: (at, 0), mode: 0o644 };
            Found { path: path.into(), what: What::File(meta) }
        };
        let folder = Found { path: "d".into(), what: What::Folder { mode: 0o755 } };
        let found = vec![file("a", 3, 40), file("b", 1, 40), folder, file("d/c", 2, 40)];
        let (kept, left) = newest(found, 90);
        let kept: Vec<_> = kept.iter().map(|it| it.path.display().to_string()).collect();
        assert_eq!(kept, ["a", "d", "d/c"]);
        assert_eq!(left.iter().map(|it| it.path.display().to_string()).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn one_that_does_not_fit_takes_no_other_with_it() {
        let file = |path: &str, at, bytes| {
            let meta = Meta { bytes, modified: (at, 0), mode: 0o644 };
            Found { path: path.into(), what: What::File(meta) }
        };
        let (kept, left) = newest(vec![file("large", 3, 250), file("b", 2, 40)], 200);
        assert_eq!(kept, [file("b", 2, 40)]);
        assert_eq!(left.len(), 1);
    }
}
