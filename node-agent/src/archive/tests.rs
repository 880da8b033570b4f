use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::paths::Shared;
use crate::storage::Storage;
use crate::tests::bundle;

struct World {
    _folder: tempfile::TempDir,
    job: Job,
    shared: Shared,
    id: AttemptId,
    to: PathBuf,
    cancel: CancellationToken,
}

impl World {
    /// A work directory with `main.py`, as it was unpacked.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        let (bytes, expected) = bundle(&[("main.py", b"print(1)")]);
        let snapshot = unpack::unpack(&bytes[..], &expected, &work, None).unwrap();
        let file = folder.path().join("snapshot");
        fs::write(&file, serde_json::to_vec(&snapshot).unwrap()).unwrap();
        let shared = Shared::new(folder.path().join("shared"));
        let id: AttemptId = "45540b52-ffe2-44ab-9838-db467d3499c0.1".parse().unwrap();
        fs::create_dir_all(shared.job(id.job)).unwrap();
        let job = Job {
            work,
            snapshot: file,
            checkpoints: Some(shared.checkpoints(id.job)),
            exclude: Vec::new(),
            limits: Limits { bytes: 1 << 20, files: 100 },
        };
        let to = shared.outputs(id.job);
        Self { _folder: folder, job, shared, id, to, cancel: CancellationToken::new() }
    }

    fn keep(&self) -> Result<Option<String>, Error> {
        self.job.keep(self.destination(), &self.cancel)
    }

    fn destination(&self) -> Destination {
        Storage::Mounted(self.shared.clone()).outputs(self.id, &self.cancel)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.job.work.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn kept(&self, name: &str) -> String {
        fs::read_to_string(self.to.join(name)).unwrap()
    }
}

#[test]
fn changed_files_are_kept_and_unchanged_ones_not() {
    let world = World::new();
    world.write("model/weights.bin", b"weights");
    symlink("weights.bin", world.job.work.join("model/latest")).unwrap();
    assert_eq!(world.keep().unwrap(), None);
    assert_eq!(world.kept("model/weights.bin"), "weights");
    assert_eq!(fs::read_link(world.to.join("model/latest")).unwrap(), Path::new("weights.bin"));
    assert!(!world.to.join("main.py").exists());
    let parts = fs::read_dir(world.to.join("model")).unwrap().count();
    assert_eq!(parts, 2, "something half done was left");
}

#[test]
fn the_folder_of_a_job_that_was_deleted_does_not_come_back() {
    let world = World::new();
    world.write("late", b"late");
    let folder = world.to.parent().unwrap();
    fs::remove_dir_all(folder).unwrap();
    assert!(matches!(world.keep(), Err(Error::Keep(storage::Error::Write { .. }))));
    assert!(!folder.exists(), "it is there again");
}

#[test]
fn a_second_try_copies_only_what_is_missing() {
    let world = World::new();
    world.write("a", b"aaa");
    world.write("b", b"bbb");
    world.keep().unwrap();
    let before = fs::metadata(world.to.join("a")).unwrap();
    fs::write(world.to.join("b"), "bb").unwrap(); // cut off
    world.keep().unwrap();
    assert_eq!(world.kept("b"), "bbb");
    use std::os::unix::fs::MetadataExt;
    let after = fs::metadata(world.to.join("a")).unwrap();
    assert_eq!(before.ino(), after.ino(), "a whole file was copied again");
}

#[test]
fn what_stays_behind_is_named() {
    let mut world = World::new();
    world.job.limits.bytes = 10;
    world.write("small", b"12345");
    world.write("large", &[0; 100]);
    let said = world.keep().unwrap().unwrap();
    assert!(said.starts_with("1 changed file(s) stayed behind: large ("), "{said}");
    assert_eq!(world.kept("small"), "12345");
}

#[test]
fn a_link_that_an_earlier_attempt_left_is_not_written_through() {
    let world = World::new();
    world.write("out/file", b"new");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(&world.to).unwrap();
    symlink(elsewhere.path(), world.to.join("out")).unwrap();
    world.keep().unwrap();
    assert_eq!(world.kept("out/file"), "new");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_job_without_outputs_makes_no_folder_and_an_unused_checkpoint_folder_goes() {
    let world = World::new();
    let checkpoints = world.shared.checkpoints(world.id.job);
    fs::create_dir_all(&checkpoints).unwrap();
    assert_eq!(world.keep().unwrap(), None);
    assert!(!world.to.exists() && !checkpoints.exists());
}

#[test]
fn an_archive_that_is_ended_stops_between_files() {
    let world = World::new();
    world.write("a", b"aaa");
    world.cancel.cancel();
    assert!(matches!(world.keep(), Err(Error::Cancelled)));
}

#[test]
fn what_cannot_be_read_stays_behind_with_the_reason_and_the_others_are_kept() {
    let world = World::new();
    world.write("a", b"aaa");
    world.write("c", b"ccc");
    let file = |name: &str| unpack::Output {
        path: name.into(),
        kind: unpack::OutputKind::File { size: 3 },
    };
    let (found, left) = known(&world.job.work, ["a", "b", "c"].map(file).into()).unwrap();
    assert!(left[0].path == Path::new("b") && left[0].why.contains("cannot be read"), "{left:?}");
    world.write("d", b"d");
    let mut some = found;
    some.push(known(&world.job.work, vec![file("d")]).unwrap().0.remove(0));
    fs::remove_file(world.job.work.join("d")).unwrap(); // gone since
    let left = copy::all(&world.job.work, some, world.destination(), Others::Stay, &world.cancel);
    let left = left.unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].path == Path::new("d") && left[0].why.contains("cannot be read"), "{left:?}");
    assert_eq!((world.kept("a"), world.kept("c")), ("aaa".into(), "ccc".into()));
}

#[test]
fn a_folder_of_an_earlier_attempt_makes_room_for_a_file() {
    let world = World::new();
    world.write("model", b"weights");
    fs::create_dir_all(world.to.join("model/old")).unwrap();
    assert_eq!(world.keep().unwrap(), None);
    assert_eq!(world.kept("model"), "weights");
}

#[test]
fn a_path_that_is_too_long_stays_behind_alone() {
    let world = World::new();
    world.write("beside", b"x");
    let mut path = PathBuf::new();
    let root = File::open(&world.job.work).unwrap();
    let mut here = std::os::fd::OwnedFd::from(root);
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
    for _ in 0..17 {
        let name = "n".repeat(250);
        rustix::fs::mkdirat(&here, &name, 0o755.into()).unwrap();
        here = rustix::fs::openat(&here, &name, flags, 0.into()).unwrap();
        path.push(name);
    }
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE;
    rustix::fs::openat(&here, "file", flags, 0o644.into()).unwrap();
    let said = world.keep().unwrap().unwrap();
    assert!(said.contains("1 changed file(s)") && said.contains("/file ("), "{said}");
    assert_eq!(world.kept("beside"), "x");
}
