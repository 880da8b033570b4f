//! Host paths that a job may see. Placement looked at names; here the paths themselves are looked at, links followed.

use std::io;
use std::path::{Path, PathBuf};

use atlas_core::node::{AllowedVolume, ExecutorKind};
use atlas_core::spec::Volume;

/// A checked volume: what is mounted is what was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub host: PathBuf,
    pub bind: String,
    pub read_only: bool,
}

/// Why a volume is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a default volume of this node cannot be mounted")]
    Default(#[source] Box<Error>),
    #[error("volume {host}: there is no such path on this node; it is not created")]
    Missing { host: String },
    #[error("volume {host}: the path cannot be looked at")]
    Look { host: String, source: io::Error },
    #[error("volume {host} (in truth {}) is not allowed on this node: start its agent with --allow-volume {host}", real.display())]
    NotAllowed { host: String, real: PathBuf },
    #[error("volume {host} holds Atlas's own files")]
    Ours { host: String },
    #[error("volume {host}:{bind}: without a container a path is where it is; use {host}:{host}")]
    Moved { host: String, bind: String },
    #[error("volume {host}:{bind}: this path inside the job is Atlas's own")]
    Bind { host: String, bind: String },
    #[error("volumes {first} and {second} are both mounted at {bind}")]
    Twice { first: String, second: String, bind: String },
}

/// What a node allows.
pub struct Rules<'a> {
    pub allowed: &'a [AllowedVolume],
    /// Folders that no job sees: the node's own and the shared storage.
    pub ours: &'a [PathBuf],
    pub executor: ExecutorKind,
}

/// Places in a container that are not for volumes.
const TAKEN: [&str; 4] = ["/", "/job", "/atlas", "/tmp"];

/// Checks the job's volumes and those that every job of the node gets. Blocks as long as the paths' file systems do.
pub fn check(rules: &Rules<'_>, asked: &[Volume], default: &[Volume]) -> Result<Vec<Mount>, Error> {
    let asked = asked.iter().map(|volume| one(rules, volume, true));
    let of_node = |error| Error::Default(Box::new(error));
    let default = default.iter().map(|volume| one(rules, volume, false).map_err(of_node));
    let mut mounts: Vec<Mount> = Vec::new();
    for mount in asked.chain(default) {
        let mount = mount?;
        match mounts.iter().find(|it| it.bind == mount.bind) {
            None => mounts.push(mount),
            Some(first) if first.host == mount.host => {}
            Some(first) => {
                let name = |it: &Mount| it.host.display().to_string();
                let (first, second) = (name(first), name(&mount));
                return Err(Error::Twice { first, second, bind: mount.bind });
            }
        }
    }
    Ok(mounts)
}

fn one(rules: &Rules<'_>, volume: &Volume, by_user: bool) -> Result<Mount, Error> {
    let Volume { host, bind, read_only } = volume;
    if rules.executor == ExecutorKind::Process && host != bind {
        return Err(Error::Moved { host: host.clone(), bind: bind.clone() });
    }
    let normal = bind.trim_end_matches('/');
    let inside = |place: &str| {
        let below = normal.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'));
        normal == place.trim_end_matches('/') || (place == "/atlas" && below)
    };
    if rules.executor == ExecutorKind::Docker && TAKEN.iter().any(|place| inside(place)) {
        return Err(Error::Bind { host: host.clone(), bind: bind.clone() });
    }
    let real = Path::new(host).canonicalize().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { host: host.clone() },
        _ => Error::Look { host: host.clone(), source },
    })?;
    let overlaps = |ours: &PathBuf| {
        let ours = ours.canonicalize().unwrap_or_else(|_| ours.clone());
        real.starts_with(&ours) || ours.starts_with(&real)
    };
    if rules.ours.iter().any(overlaps) {
        return Err(Error::Ours { host: host.clone() });
    }
    if by_user && !rules.allowed.iter().any(|it| allows(it, &real, *read_only)) {
        return Err(Error::NotAllowed { host: host.clone(), real });
    }
    Ok(Mount { host: real, bind: bind.clone(), read_only: *read_only })
}

/// A link below an allowed prefix must not lead out of it.
fn allows(allowed: &AllowedVolume, real: &Path, read_only: bool) -> bool {
    let prefix = Path::new(&allowed.prefix);
    let prefix = prefix.canonicalize().unwrap_or_else(|_| prefix.to_owned());
    real.starts_with(prefix) && (read_only || !allowed.read_only)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct World {
        _folder: tempfile::TempDir,
        root: PathBuf,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().canonicalize().unwrap();
            for name in ["data/sets", "secret", "atlas/jobs"] {
                std::fs::create_dir_all(root.join(name)).unwrap();
            }
            symlink(root.join("secret"), root.join("data/link")).unwrap();
            Self { _folder: folder, root }
        }

        fn path(&self, name: &str) -> String {
            self.root.join(name).to_str().unwrap().to_owned()
        }

        fn check(&self, host: &str, bind: &str, read_only: bool) -> Result<Vec<Mount>, Error> {
            let allowed = [
                AllowedVolume { prefix: self.path("data"), read_only: true },
                AllowedVolume { prefix: self.path("atlas"), read_only: false },
            ];
            let ours = [self.root.join("atlas/jobs")];
            let rules = Rules { allowed: &allowed, ours: &ours, executor: ExecutorKind::Docker };
            let volume = Volume { host: self.path(host), bind: bind.into(), read_only };
            check(&rules, &[volume], &[])
        }
    }

    #[test]
    fn a_path_below_an_allowed_prefix_is_mounted() {
        let world = World::new();
        let mounts = world.check("data/sets", "/mnt/sets", true).unwrap();
        assert_eq!(mounts[0].host, world.root.join("data/sets"));
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        let world = World::new();
        let refused = |host, bind, ro| world.check(host, bind, ro).unwrap_err();
        assert!(matches!(refused("secret", "/x", true), Error::NotAllowed { .. }));
        assert!(matches!(refused("data/sets", "/x", false), Error::NotAllowed { .. }));
        assert!(
            matches!(refused("data/link", "/x", true), Error::NotAllowed { .. }),
            "a link led out"
        );
        assert!(matches!(refused("data/none", "/x", true), Error::Missing { .. }));
        assert!(matches!(refused("atlas", "/x", false), Error::Ours { .. }));
        assert!(matches!(refused("atlas/jobs", "/x", false), Error::Ours { .. }));
        for bind in ["/", "/job", "/job/", "/atlas", "/atlas/control", "/tmp"] {
            assert!(matches!(refused("data/sets", bind, true), Error::Bind { .. }), "{bind}");
        }
    }

    #[test]
    fn without_a_container_a_path_cannot_be_elsewhere() {
        let rules = Rules { allowed: &[], ours: &[], executor: ExecutorKind::Process };
        let volume = |host: &str, bind: &str| Volume {
            host: host.into(),
            bind: bind.into(),
            read_only: true,
        };
        assert!(matches!(check(&rules, &[volume("/usr", "/x")], &[]), Err(Error::Moved { .. })));
        assert_eq!(check(&rules, &[], &[volume("/usr", "/usr")]).unwrap().len(), 1);
    }

    #[test]
    fn what_the_node_adds_needs_no_leave_but_has_to_be_there() {
        let rules = Rules { allowed: &[], ours: &[], executor: ExecutorKind::Docker };
        let volume = |host: &str| Volume { host: host.into(), bind: "/x".into(), read_only: true };
        assert_eq!(check(&rules, &[], &[volume("/usr")]).unwrap().len(), 1);
        let missing = check(&rules, &[], &[volume("/no/where")]).unwrap_err();
        assert!(matches!(missing, Error::Default(why) if matches!(*why, Error::Missing { .. })));
    }

    #[test]
    fn two_volumes_cannot_share_a_place() {
        let rules = Rules { allowed: &[], ours: &[], executor: ExecutorKind::Docker };
        let volume = |host: &str| Volume { host: host.into(), bind: "/x".into(), read_only: true };
        let both = check(&rules, &[], &[volume("/usr"), volume("/etc")]);
        assert!(matches!(both, Err(Error::Twice { .. })));
        assert_eq!(check(&rules, &[], &[volume("/usr"), volume("/usr")]).unwrap().len(), 1);
    }
}
