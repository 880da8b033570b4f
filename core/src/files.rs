//! What lies in a folder: said the same by who finds it, who sends it and who keeps it.

use std::path::PathBuf;

/// Bytes of a path below its folder. What has a longer one is left behind.
pub const LONGEST_PATH: usize = 4096;

/// A thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Not checked to lie below the folder: that is for who opens it.
    pub path: PathBuf,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    File(Meta),
    Link(PathBuf),
    Folder { mode: u32 },
}

/// What is known of a file before its bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    pub bytes: u64,
    /// Seconds and nanoseconds: a file that is there with this length and time is not written again.
    pub modified: (i64, u32),
    /// What may be done to it, and nothing else of a mode.
    pub mode: u32,
}
