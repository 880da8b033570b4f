use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::*;

const NOBODY: u32 = 65534;
const FOLDER: &str = "ATLAS_TEST_REMOVE";

fn close(folder: &Path, mode: u32) {
    fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
}

/// What a job may leave: folders that may not be written to, read, or entered.
fn closed_tree(top: &Path) {
    for (name, mode) in [("read-only", 0o555), ("shut", 0o000), ("no-list", 0o300)] {
        let inner = top.join(name).join("inner");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("file"), "x").unwrap();
        close(&inner, mode);
        close(inner.parent().unwrap(), mode);
    }
    close(top, 0o555);
}

/// Rights mean nothing to root, so root's tests are run again, as somebody else, by a copy of this program. `None` = this is
/// the one that runs again.
fn without_rights(test: &str, folder: &Path) -> Option<()> {
    if std::env::var_os(FOLDER).is_some() {
        return None;
    }
    let program = tempfile::tempdir().unwrap();
    close(program.path(), 0o755);
    let copy = program.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut again = Command::new(&copy);
    again.args(["--exact", &format!("process::remove::tests::{test}")]);
    again.env(FOLDER, folder).current_dir(folder);
    if rustix::process::geteuid().is_root() {
        again.uid(NOBODY).gid(NOBODY);
    }
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    Some(())
}

fn given() -> PathBuf {
    std::env::var_os(FOLDER).unwrap().into()
}

#[test]
fn folders_that_were_closed_are_opened_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    close(folder.path(), 0o777);
    let name = "folders_that_were_closed_are_opened_and_removed";
    if without_rights(name, folder.path()).is_some() {
        return assert!(!folder.path().join("top").exists());
    }
    let top = given().join("top");
    fs::create_dir(&top).unwrap();
    closed_tree(&top);
    remove_all(&top).unwrap();
}

/// A folder of somebody else's, where there is somebody who may make one.
#[test]
fn what_cannot_be_removed_is_named_and_keeps_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let [top, held] = ["top", "top/held"].map(|it| folder.path().join(it));
    if std::env::var_os(FOLDER).is_none() {
        fs::create_dir_all(held.join("inner")).unwrap();
        for file in ["a", "z", "held/one", "held/two"] {
            fs::write(top.join(file), "x").unwrap();
        }
        close(folder.path(), 0o777);
        assert!(
            rustix::process::geteuid().is_root(),
            "this test makes a folder of somebody else's"
        );
        std::os::unix::fs::chown(&top, Some(NOBODY), None).unwrap();
    }
    let name = "what_cannot_be_removed_is_named_and_keeps_nothing_else";
    if without_rights(name, folder.path()).is_some() {
        assert_eq!(fs::read_dir(&top).unwrap().count(), 1);
        return assert_eq!(fs::read_dir(&held).unwrap().count(), 3);
    }
    let remains = remove_all(&given().join("top")).unwrap_err().to_string();
    assert!(remains.contains("/top/held/") && remains.ends_with(" and 2 more"), "{remains}");
}

#[test]
fn links_are_removed_and_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let [top, other] = ["top", "other"].map(|name| folder.path().join(name));
    for dir in [&top, &other] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("file"), "mine").unwrap();
    }
    close(&other, 0o555);
    symlink(&other, top.join("folder")).unwrap();
    symlink(other.join("file"), top.join("link")).unwrap();
    symlink("nowhere", top.join("dangling")).unwrap();
    remove_all(&top).unwrap();
    assert!(!top.exists());
    symlink(&other, &top).unwrap();
    remove_all(&top).unwrap();
    assert!(top.symlink_metadata().is_err());
    assert_eq!(fs::read(other.join("file")).unwrap(), b"mine");
    assert_eq!(fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o555);
}

#[test]
fn files_go_too_and_what_is_gone_is_removed_already() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    remove_all(&file).unwrap();
    assert!(!file.exists());
    remove_all(&file).unwrap();
    remove_all(&folder.path().join("none/below")).unwrap();
    assert!(remove_all(Path::new("/")).is_err());
}

#[test]
fn no_depth_is_too_much() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("top");
    fs::create_dir(&top).unwrap();
    fs::write(top.join(format!(".removed-{}-1", std::process::id())), "in the way").unwrap();
    let mut here = open_folder(CWD, &top).unwrap();
    for _ in 0..1_000 {
        rustix::fs::mkdirat(&here, "d", Mode::from_raw_mode(0o755)).unwrap();
        rustix::fs::openat(&here, "f", OFlags::CREATE, Mode::from_raw_mode(0o644)).unwrap();
        here = open_folder(&here, "d").unwrap();
    }
    remove_all(&top).unwrap();
    assert!(!top.exists());
}
