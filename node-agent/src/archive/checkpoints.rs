//! Checkpoints of a node without the shared storage, on their way there.

use std::path::Path;

use atlas_runtime::storage::shipment::Left;
use atlas_runtime::storage::{Found, What, list};
use tokio_util::sync::CancellationToken;

use super::{Error, MOST_FILES, copy, some_of};
use crate::storage::Destination;

/// Makes the folder there the same as this one. Where it is too much, what was written last is kept: it is what a job goes on from.
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
    let (found, more) = listed.map_err(|source| Error::Work { path: from.to_owned(), source })?;
    let (found, mut left) = newest(found, most);
    left.extend(copy::all(from, found, to, cancel)?);
    let named: Vec<(&Path, String)> =
        left.iter().map(|it| (it.path.as_path(), it.why.clone())).collect();
    let named = (!named.is_empty()).then(|| {
        format!(
            "{} checkpoint(s) stayed behind: {}",
            named.len(),
            some_of(&named, named.len() as u64)
        )
    });
    let more = more.then(|| format!("of the checkpoints only {MOST_FILES} were kept"));
    let all: Vec<String> = [named, more].into_iter().flatten().collect();
    Ok((!all.is_empty()).then(|| all.join("; ")))
}

/// The files written last that fit, in the order in which they were found, and the others.
fn newest(found: Vec<Found>, most: u64) -> (Vec<Found>, Vec<Left>) {
    let mut times: Vec<((i64, u32), u64, usize)> = Vec::new();
    for (at, it) in found.iter().enumerate() {
        if let What::File(meta) = it.what {
            times.push((meta.modified, meta.bytes, at));
        }
    }
    times.sort_unstable_by(|a, b| b.cmp(a));
    let mut room = Some(most);
    let mut too_many = std::collections::HashSet::new();
    for (_, bytes, at) in times {
        room = room.and_then(|it| it.checked_sub(bytes));
        if room.is_none() {
            too_many.insert(at);
        }
    }
    let (mut kept, mut left) = (Vec::new(), Vec::new());
    for (at, it) in found.into_iter().enumerate() {
        if too_many.contains(&at) {
            left.push(Left {
                path: it.path,
                why: "older than those that fit into --max-output".into(),
            });
        } else {
            kept.push(it);
        }
    }
    (kept, left)
}

#[cfg(test)]
mod tests {
    use atlas_runtime::storage::Meta;

    use super::*;

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
}
