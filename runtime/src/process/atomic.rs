//! A file that is either the old or the new one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes `bytes` to `path` so that a reader, and a crash, see the old file or the new one, never a part. `mode` is
/// exact whatever the umask; `sync` also survives the machine's death. A crash may leave `.<name>.<pid>-<n>.tmp`.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("token");
/// atlas_runtime::process::write_atomic(&path, b"secret", 0o600, true)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> io::Result<()> {
    let (folder, temporary) = temporary(path)?;
    let written = write(&temporary, bytes, mode, sync).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // Best effort: what failed is the news.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    if sync { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn write(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    if sync { file.sync_all() } else { Ok(()) }
}

/// The folder of `path` and a name in it that nobody else uses.
fn temporary(path: &Path) -> io::Result<(&Path, PathBuf)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{number}.tmp", std::process::id()));
    Ok((folder, folder.join(temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_file_has_the_bytes_and_the_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for (bytes, mode, sync) in [(&b"old"[..], 0o666, false), (b"new", 0o640, true)] {
            write_atomic(&path, bytes, mode, sync).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        assert_eq!(names(folder.path()), ["state"]);
    }

    #[test]
    fn a_failure_leaves_the_target_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::create_dir_all(path.join("busy")).unwrap();
        assert!(write_atomic(&path, b"new", 0o600, false).is_err());
        assert_eq!(names(folder.path()), ["state"]);
        assert!(write_atomic(&folder.path().join("none/state"), b"new", 0o600, false).is_err());
        assert!(write_atomic(Path::new("/"), b"new", 0o600, false).is_err());
    }

    #[test]
    fn a_reader_never_sees_a_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let [old, new] = [vec![b'a'; 300_000], vec![b'b'; 300_000]];
        write_atomic(&path, &old, 0o600, false).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..50 {
                    let bytes = if round % 2 == 0 { &new } else { &old };
                    write_atomic(&path, bytes, 0o600, false).unwrap();
                }
            });
            for _ in 0..200 {
                let seen = fs::read(&path).unwrap();
                assert!(seen == old || seen == new);
            }
        });
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("state"), folder.path().join("other"));
        fs::write(&other, "mine").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        write_atomic(&path, b"new", 0o600, false).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"mine");
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
