use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::tests::bundle;

struct World {
    _folder: tempfile::TempDir,
    job: Job,
}

impl World {
    /// A work directory with `main.py`, as it was unpacked.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        let (bytes, expected) = bundle(&[("main.py", b"print(1)")]);
        let snapshot = unpack::unpack(&bytes[..], &expected, &work, None).unwrap();
        let file = folder.path().join("snapshot");
        fs::create_dir(folder.path().join("shared")).unwrap();
        fs::write(&file, serde_json::to_vec(&snapshot).unwrap()).unwrap();
        let job = Job {
            work,
            snapshot: file,
            to: folder.path().join("shared/outputs"),
            shared: folder.path().join("shared"),
            checkpoints: folder.path().join("shared/checkpoints"),
            exclude: Vec::new(),
            limits: Limits { bytes: 1 << 20, files: 100 },
            cancel: CancellationToken::new(),
        };
        Self { _folder: folder, job }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.job.work.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn kept(&self, name: &str) -> String {
        fs::read_to_string(self.job.to.join(name)).unwrap()
    }
}

#[test]
fn changed_files_are_kept_and_unchanged_ones_not() {
    let world = World::new();
    world.write("model/weights.bin", b"weights");
    symlink("weights.bin", world.job.work.join("model/latest")).unwrap();
    assert_eq!(world.job.keep().unwrap(), None);
    assert_eq!(world.kept("model/weights.bin"), "weights");
    assert_eq!(fs::read_link(world.job.to.join("model/latest")).unwrap(), Path::new("weights.bin"));
    assert!(!world.job.to.join("main.py").exists());
    let parts = fs::read_dir(world.job.to.join("model")).unwrap().count();
    assert_eq!(parts, 2, "something half done was left");
}

#[test]
fn the_folder_of_a_job_that_was_deleted_does_not_come_back() {
    let world = World::new();
    world.write("late", b"late");
    let folder = world.job.to.parent().unwrap();
    fs::remove_dir(folder).unwrap();
    assert!(matches!(world.job.keep(), Err(Error::Write { .. })));
    assert!(!folder.exists(), "it is there again");
}

#[test]
fn a_second_try_copies_only_what_is_missing() {
    let world = World::new();
    world.write("a", b"aaa");
    world.write("b", b"bbb");
    world.job.keep().unwrap();
    let before = fs::metadata(world.job.to.join("a")).unwrap();
    fs::write(world.job.to.join("b"), "bb").unwrap(); // cut off
    world.job.keep().unwrap();
    assert_eq!(world.kept("b"), "bbb");
    use std::os::unix::fs::MetadataExt;
    let after = fs::metadata(world.job.to.join("a")).unwrap();
    assert_eq!(before.ino(), after.ino(), "a whole file was copied again");
}

#[test]
fn what_stays_behind_is_named() {
    let mut world = World::new();
    world.job.limits.bytes = 10;
    world.write("small", b"12345");
    world.write("large", &[0; 100]);
    let said = world.job.keep().unwrap().unwrap();
    assert!(said.starts_with("1 changed file(s) stayed behind: large ("), "{said}");
    assert_eq!(world.kept("small"), "12345");
}

#[test]
fn a_link_that_an_earlier_attempt_left_is_not_written_through() {
    let world = World::new();
    world.write("out/file", b"new");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(&world.job.to).unwrap();
    symlink(elsewhere.path(), world.job.to.join("out")).unwrap();
    world.job.keep().unwrap();
    assert_eq!(world.kept("out/file"), "new");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_job_without_outputs_makes_no_folder_and_an_unused_checkpoint_folder_goes() {
    let world = World::new();
    fs::create_dir_all(&world.job.checkpoints).unwrap();
    assert_eq!(world.job.keep().unwrap(), None);
    assert!(!world.job.to.exists() && !world.job.checkpoints.exists());
}

#[test]
fn an_archive_that_is_ended_stops_between_files() {
    let world = World::new();
    world.write("a", b"aaa");
    world.job.cancel.cancel();
    assert!(matches!(world.job.keep(), Err(Error::Cancelled)));
}

#[test]
fn what_cannot_be_read_stays_behind_with_the_reason_and_the_others_are_kept() {
    let world = World::new();
    world.write("a", b"aaa");
    world.write("c", b"ccc");
    let gone = unpack::Output { path: "b".into(), kind: unpack::OutputKind::File { size: 1 } };
    let file = |name: &str| unpack::Output { path: name.into(), ..gone.clone() };
    let files = [file("a"), gone.clone(), file("c")];
    let Job { work, to, cancel, .. } = &world.job;
    let left = copy::all(work, &files, to, to, cancel).unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].0 == Path::new("b") && left[0].1.contains("cannot be read"), "{left:?}");
    assert_eq!((world.kept("a"), world.kept("c")), ("aaa".into(), "ccc".into()));
}

#[test]
fn a_folder_of_an_earlier_attempt_makes_room_for_a_file() {
    let world = World::new();
    world.write("model", b"weights");
    fs::create_dir_all(world.job.to.join("model/old")).unwrap();
    assert_eq!(world.job.keep().unwrap(), None);
    assert_eq!(world.kept("model"), "weights");
}
