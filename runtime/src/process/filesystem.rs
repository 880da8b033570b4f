//! Is a path on this machine's own disks?

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{major, minor, statfs};

/// The name of the network file system that `path` is on, if it is on one. A path that does not exist yet is judged
/// by the nearest folder above it. Blocks as long as the file system does: a dead NFS server, for ever.
///
/// ```
/// use atlas_runtime::process::is_network_filesystem;
/// if let Some(kind) = is_network_filesystem("/tmp/atlas".as_ref())? {
///     eprintln!("--data lies on {kind}, where the embedded store is not safe: take a local disk");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_network_filesystem(path: &Path) -> io::Result<Option<&'static str>> {
    let path = existing(path)?;
    let magic = u32::try_from(statfs(&path)?.f_type & 0xFFFF_FFFF).expect("32 bits are left");
    if magic != FUSE {
        return Ok(kernel(magic));
    }
    // All of FUSE has one number; the mount table knows which one it is.
    let device = fs::metadata(&path)?.dev();
    let device = format!("{}:{}", major(device), minor(device));
    let mounts = BufReader::new(File::open("/proc/self/mountinfo")?);
    Ok(fuse_type(mounts, &device)?.and_then(|kind| fuse(&kind)))
}

const FUSE: u32 = 0x6573_5546;

/// The kernel's own network file systems, by the number that `statfs` gives.
fn kernel(magic: u32) -> Option<&'static str> {
    const KERNEL: [(u32, &str); 13] = [
        (0x6969, "nfs"),
        (0x517B, "smb"),
        (0xFF53_4D42, "cifs"),
        (0xFE53_4D42, "smb2"),
        (0x00C3_6400, "ceph"),
        (0x0BD0_0BD0, "lustre"),
        (0x4750_4653, "gpfs"),
        (0x1983_0326, "beegfs"),
        (0xAAD7_AAEA, "panfs"),
        (0x5346_414F, "afs"),
        (0x6B41_4653, "afs"),
        (0x7375_7245, "coda"),
        (0x0102_1997, "9p"),
    ];
    KERNEL.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name)
}

/// The FUSE file systems that reach over a network.
fn fuse(kind: &str) -> Option<&'static str> {
    const NETWORK: [&str; 17] = [
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.ceph",
        "fuse.ceph-fuse",
        "fuse.s3fs",
        "fuse.s3ql",
        "fuse.goofys",
        "fuse.mount-s3",
        "fuse.gcsfuse",
        "fuse.blobfuse",
        "fuse.blobfuse2",
        "fuse.rclone",
        "fuse.juicefs",
        "fuse.davfs2",
        "fuse.curlftpfs",
        "fuse.moosefs",
        "fuse.seaweedfs",
    ];
    // JuiceFS and rclone mount under names such as `fuse.juicefs:volume`.
    let kind = kind.split(':').next().unwrap_or(kind);
    NETWORK.into_iter().find(|name| *name == kind)
}

/// The type of the mount with this device number: `36 35 98:0 / /mnt rw shared:1 - fuse.sshfs host: rw`.
fn fuse_type(mounts: impl BufRead, device: &str) -> io::Result<Option<String>> {
    for line in mounts.lines() {
        let line = line?;
        let Some((mount, kind)) = line.split_once(" - ") else { continue };
        if mount.split(' ').nth(2) == Some(device) {
            return Ok(kind.split(' ').next().map(str::to_owned));
        }
    }
    Ok(None)
}

/// `path`, or the nearest folder above it that exists.
fn existing(path: &Path) -> io::Result<std::path::PathBuf> {
    let path = std::path::absolute(path)?;
    for folder in path.ancestors() {
        match fs::metadata(folder) {
            Ok(_) => return Ok(folder.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_folders_are_local_also_before_they_exist() {
        let folder = tempfile::tempdir().unwrap();
        for path in
            [folder.path(), &folder.path().join("not/yet"), Path::new("/proc"), Path::new(".")]
        {
            assert_eq!(is_network_filesystem(path).unwrap(), None, "{}", path.display());
        }
    }

    #[test]
    fn a_path_through_a_file_is_an_error_and_not_local() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(is_network_filesystem(&file.path().join("data")).is_err());
    }

    #[test]
    fn network_file_systems_are_known_by_their_number() {
        assert_eq!(kernel(0x6969), Some("nfs"));
        assert_eq!(kernel(0xFF53_4D42), Some("cifs"));
        assert_eq!(kernel(0xEF53), None, "ext4");
    }

    #[test]
    fn a_fuse_mount_is_judged_by_its_type() {
        let mounts = "27 1 254:0 / / rw - ext4 /dev/vda rw\n\
            40 27 0:50 / /mnt/a\\040b rw shared:5 master:1 - fuse.sshfs me@host: rw,user_id=0\n\
            broken\n\
            41 27 0:51 / /mnt/b rw - fuse.mergerfs a:b rw\n\
            42 27 0:52 / /mnt/c rw - fuse.juicefs:big JuiceFS:big rw\n";
        let kind = |device| fuse_type(mounts.as_bytes(), device).unwrap();
        assert_eq!(kind("0:50").as_deref().and_then(fuse), Some("fuse.sshfs"));
        assert_eq!(kind("0:51").as_deref().and_then(fuse), None);
        assert_eq!(kind("0:52").as_deref().and_then(fuse), Some("fuse.juicefs"));
        assert_eq!(kind("0:99"), None);
    }
}
