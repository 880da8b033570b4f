//! A full disk, for tests.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// A disk of its own, and a small one.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Panics where nothing may be mounted: such a test is for root.
    pub fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=512k,mode=755", "none"]).arg(folder.path());
        let output = mount.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room at all.
    pub fn fill(&self) {
        let mut file = File::create(self.path().join("filler")).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
        assert!(std::fs::write(self.path().join("more"), [0; 512]).is_err());
    }

    /// Makes room again.
    pub fn clear(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
