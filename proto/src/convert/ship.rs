//! Files on their way between a node without the shared storage and its master.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use atlas_core::files::{Found, LONGEST_PATH, Meta, What};
use atlas_core::{Attempt, JobId, NodeName};
use bytes::Bytes;

use super::{Invalid, parse, required};
use crate::wire;

/// Who speaks of which attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub node: NodeName,
    pub identity: String,
    pub job: JobId,
    pub attempt: Attempt,
}

impl TryFrom<wire::Holder> for Holder {
    type Error = Invalid;
    fn try_from(holder: wire::Holder) -> Result<Self, Invalid> {
        let wire::Holder { node, identity, job, attempt } = holder;
        Ok(Self {
            node: parse("holder.node", &node)?,
            identity,
            job: parse("holder.job", &job)?,
            attempt: Attempt(attempt),
        })
    }
}

impl From<&Holder> for wire::Holder {
    fn from(holder: &Holder) -> Self {
        let Holder { node, identity, job, attempt } = holder;
        Self {
            node: node.to_string(),
            identity: identity.clone(),
            job: job.to_string(),
            attempt: attempt.0,
        }
    }
}

impl TryFrom<wire::ShipItem> for Found {
    type Error = Invalid;
    fn try_from(item: wire::ShipItem) -> Result<Self, Invalid> {
        use wire::ship_item::Kind as Wire;
        let wire::ShipItem { path, kind } = item;
        let what = match required("item.kind", kind)? {
            Wire::File(meta) => What::File(meta.try_into()?),
            Wire::Link(target) => What::Link(bounded("item.link", &target)?),
            Wire::Folder(mode) => What::Folder { mode: permissions(mode)? },
        };
        Ok(Self { path: bounded("item.path", &path)?, what })
    }
}

impl From<&Found> for wire::ShipItem {
    fn from(found: &Found) -> Self {
        use wire::ship_item::Kind as Wire;
        let Found { path, what } = found;
        let kind = match what {
            What::File(meta) => Wire::File((*meta).into()),
            What::Link(target) => Wire::Link(bytes_of(target)),
            What::Folder { mode } => Wire::Folder(*mode),
        };
        Self { path: bytes_of(path), kind: Some(kind) }
    }
}

impl TryFrom<wire::FileMeta> for Meta {
    type Error = Invalid;
    fn try_from(meta: wire::FileMeta) -> Result<Self, Invalid> {
        let wire::FileMeta { bytes, modified_s, modified_ns, mode } = meta;
        if modified_ns >= 1_000_000_000 {
            return Err(Invalid::new("file.modified_ns", "is a second or more"));
        }
        Ok(Self { bytes, modified: (modified_s, modified_ns), mode: permissions(mode)? })
    }
}

impl From<Meta> for wire::FileMeta {
    fn from(meta: Meta) -> Self {
        let Meta { bytes, modified: (modified_s, modified_ns), mode } = meta;
        Self { bytes, modified_s, modified_ns, mode }
    }
}

/// A path as it travels.
pub fn bytes_of(path: &Path) -> Bytes {
    Bytes::copy_from_slice(path.as_os_str().as_bytes())
}

/// A path as it came.
pub fn path_of(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

fn bounded(field: &'static str, bytes: &Bytes) -> Result<PathBuf, Invalid> {
    if bytes.is_empty() || bytes.len() > LONGEST_PATH {
        return Err(Invalid::new(field, format!("has {} bytes", bytes.len())));
    }
    Ok(path_of(bytes))
}

/// Nobody is given the rights of another (set-user-id) by a file that came from a node.
fn permissions(mode: u32) -> Result<u32, Invalid> {
    if mode & !0o777 == 0 {
        Ok(mode)
    } else {
        Err(Invalid::new("mode", format!("{mode:o} is more than who may read, write and execute")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_what_it_was_and_a_wild_one_is_refused() {
        let meta = Meta { bytes: 7, modified: (-3, 999_999_999), mode: 0o755 };
        let name = OsStr::from_bytes(b"a/\xff");
        for what in [What::File(meta), What::Link("../x".into()), What::Folder { mode: 0o700 }] {
            let item = Found { path: name.into(), what };
            assert_eq!(Found::try_from(wire::ShipItem::from(&item)), Ok(item));
        }
        let file = |path: &[u8], ns, mode| wire::ShipItem {
            path: Bytes::copy_from_slice(path),
            kind: Some(wire::ship_item::Kind::File(wire::FileMeta {
                modified_ns: ns,
                mode,
                ..Default::default()
            })),
        };
        assert!(Found::try_from(file(b"a", 0, 0o644)).is_ok());
        assert!(Found::try_from(file(b"", 0, 0o644)).is_err());
        assert!(Found::try_from(file(&[b'a'; 5000], 0, 0o644)).is_err());
        assert!(Found::try_from(file(b"a", 1_000_000_000, 0o644)).is_err());
        assert!(Found::try_from(file(b"a", 0, 0o4755)).is_err());
        assert!(
            Found::try_from(wire::ShipItem { path: Bytes::from_static(b"a"), kind: None }).is_err()
        );
    }
}
