use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

struct World {
    folder: tempfile::TempDir,
}

const META: Meta = Meta { bytes: 6, modified: (1000, 5), mode: 0o644 };

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn to(&self) -> PathBuf {
        self.folder.path().join("outputs")
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(self.to(), self.folder.path().to_owned())
    }

    fn mirror(&self) -> Keeper {
        let me = fs::metadata(self.folder.path()).unwrap();
        let owner = Owner { uid: me.uid(), gid: me.gid() };
        Keeper::mirror(self.to(), self.folder.path().to_owned(), owner)
    }
}

fn put_whole(keeper: &mut Keeper, path: &str, data: &[u8]) {
    let meta = Meta { bytes: data.len() as u64, ..META };
    keeper.look(Path::new(path), &meta).unwrap();
    keeper.open(Path::new(path), &meta, 0).unwrap();
    keeper.write(data).unwrap();
    keeper.finish().unwrap();
}

#[test]
fn a_file_that_was_begun_is_gone_on_with_and_has_its_name_when_it_is_whole() {
    let world = World::new();
    let path = Path::new("a/b");
    let mut keeper = world.keeper();
    assert_eq!(keeper.look(path, &META).unwrap(), Standing::From(0));
    keeper.open(path, &META, 0).unwrap();
    keeper.write(b"wei").unwrap();
    drop(keeper);
    assert!(!world.to().join(path).exists());
    let mut keeper = world.keeper();
    assert_eq!(keeper.look(path, &META).unwrap(), Standing::From(3));
    // Another content under the name begins at its beginning.
    let other = Meta { modified: (1001, 0), ..META };
    assert_eq!(keeper.look(path, &other).unwrap(), Standing::From(0));
    keeper.open(path, &META, 3).unwrap();
    keeper.write(b"ght").unwrap();
    keeper.finish().unwrap();
    assert_eq!(keeper.look(path, &META).unwrap(), Standing::There);
    keeper.end(Others::Go).unwrap();
    let kept = fs::metadata(world.to().join(path)).unwrap();
    assert_eq!((kept.mtime(), kept.mtime_nsec(), kept.len()), (1000, 5, 6));
    assert_eq!(fs::read_dir(world.to().join("a")).unwrap().count(), 1, "a part was left");
}

#[test]
fn more_than_was_announced_is_refused() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.open(Path::new("a"), &META, 0).unwrap();
    keeper.write(b"123456").unwrap();
    assert_eq!(keeper.write(b"7").unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let world = World::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut keeper = world.keeper();
    for path in ["..", "../x", "a/../../x", "/x", "/etc/x", "", "a/.."] {
        assert!(keeper.look(Path::new(path), &META).is_err(), "{path} was taken");
        assert!(keeper.open(Path::new(path), &META, 0).is_err(), "{path} was taken");
        assert!(keeper.link(Path::new(path), Path::new("x")).is_err(), "{path} was taken");
    }
    assert_eq!(fs::read_dir(world.to()).unwrap().count(), 0, "a part of a way out was made");
    symlink(elsewhere.path(), world.to().join("out")).unwrap();
    put_whole(&mut keeper, "out/file", b"x");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(world.folder.path()).unwrap().count(), 1);
}

#[test]
fn what_is_mirrored_has_its_modes_and_what_was_not_offered_goes() {
    let world = World::new();
    let mut keeper = world.mirror();
    put_whole(&mut keeper, "old/step-1", b"1");
    put_whole(&mut keeper, "step-2", b"2");
    keeper.end(Others::Go).unwrap();
    let mut keeper = world.mirror();
    keeper.folder(Path::new("empty"), 0o750).unwrap();
    let secret = Meta { bytes: 1, mode: 0o600, ..META };
    keeper.open(Path::new("step-3"), &secret, 0).unwrap();
    keeper.offer(Path::new("step-3"));
    keeper.write(b"3").unwrap();
    keeper.finish().unwrap();
    keeper.link(Path::new("last"), Path::new("step-3")).unwrap();
    keeper.end(Others::Go).unwrap();
    let mut names: Vec<_> = fs::read_dir(world.to())
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["empty", "last", "step-3"]);
    let mode = |name| fs::metadata(world.to().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("empty"), mode("step-3")), (0o750, 0o600));
}

#[test]
fn a_mirror_of_nothing_leaves_no_folder() {
    let world = World::new();
    let mut keeper = world.mirror();
    put_whole(&mut keeper, "step-1", b"1");
    keeper.end(Others::Go).unwrap();
    world.mirror().end(Others::Go).unwrap();
    assert!(!world.to().exists());
}

#[test]
fn what_was_not_offered_stays_where_not_all_was_offered() {
    let world = World::new();
    let mut keeper = world.mirror();
    put_whole(&mut keeper, "step-1", b"1");
    keeper.end(Others::Go).unwrap();
    let mut keeper = world.mirror();
    put_whole(&mut keeper, "step-2", b"2");
    keeper.end(Others::Stay).unwrap();
    assert!(world.to().join("step-1").exists() && world.to().join("step-2").exists());
    world.mirror().end(Others::Stay).unwrap();
    assert!(world.to().join("step-1").exists());
}

#[test]
fn what_may_not_be_written_is_gone_on_with_and_has_its_mode_at_the_end() {
    let world = World::new();
    let (path, meta) = (Path::new("read-only"), Meta { mode: 0o444, ..META });
    let mut keeper = world.mirror();
    keeper.look(path, &meta).unwrap();
    keeper.open(path, &meta, 0).unwrap();
    keeper.write(b"wei").unwrap();
    drop(keeper);
    let part = fs::read_dir(world.to()).unwrap().next().unwrap().unwrap();
    assert_eq!(part.metadata().unwrap().mode() & 0o777, 0o600);
    let mut keeper = world.mirror();
    assert_eq!(keeper.look(path, &meta).unwrap(), Standing::From(3));
    keeper.open(path, &meta, 3).unwrap();
    keeper.write(b"ght").unwrap();
    keeper.finish().unwrap();
    keeper.end(Others::Go).unwrap();
    assert_eq!(fs::metadata(world.to().join(path)).unwrap().mode() & 0o777, 0o444);
}

#[test]
fn the_mirrored_folder_itself_is_its_owners() {
    if !rustix::process::geteuid().is_root() {
        return; // nobody else may give it away
    }
    let world = World::new();
    let owner = Owner { uid: 65534, gid: 65534 };
    let mut keeper = Keeper::mirror(world.to(), world.folder.path().to_owned(), owner);
    keeper.begin().unwrap();
    put_whole(&mut keeper, "a/step", b"1");
    keeper.end(Others::Go).unwrap();
    for path in ["", "a/step"] {
        let found = fs::metadata(world.to().join(path)).unwrap();
        assert_eq!((found.uid(), found.gid()), (65534, 65534), "{path}");
    }
}
