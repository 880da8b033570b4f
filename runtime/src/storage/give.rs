//! Giving what was written for a job to whom the job runs as, as far as the storage lets us: the job is to go on with it.

use std::io;
use std::os::fd::AsFd;
use std::sync::Once;

use rustix::fs::{FileType, Gid, Mode, Stat, Uid, fchmod, fchown, fstat};
use rustix::io::Errno;

/// Whose files these are, where that is not who writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Who may do what the owner may, besides the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Widened {
    Nobody,
    Group,
    Everybody,
}

/// Makes it the owner's, with this mode. Where only root may give files away, or the storage takes root's rights away, its group may
/// do what it may, or everybody.
pub(super) fn give(what: impl AsFd, owner: Owner, mode: u32) -> io::Result<()> {
    let found = fstat(&what)?;
    let widened = hand_over(&what, &found, owner)?;
    let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    Ok(fchmod(&what, Mode::from_raw_mode(widen(mode & 0o777, widened, is_folder)))?)
}

/// The same for a folder that was there or was made just now, where it is ours to give.
pub(super) fn ours(folder: impl AsFd, owner: Owner) -> io::Result<()> {
    let found = fstat(&folder)?;
    if found.st_uid != rustix::process::geteuid().as_raw() || found.st_uid == owner.uid {
        return Ok(());
    }
    give(folder, owner, found.st_mode | 0o700)
}

fn hand_over(what: impl AsFd, found: &Stat, owner: Owner) -> io::Result<Widened> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    if (found.st_uid, found.st_gid) == (owner.uid, owner.gid) {
        return Ok(Widened::Nobody);
    }
    if may(fchown(&what, Some(uid), Some(gid)))? || found.st_uid == owner.uid {
        return Ok(Widened::Nobody);
    }
    if may(fchown(&what, None, Some(gid)))? {
        return Ok(Widened::Group);
    }
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            "checkpoints cannot be given to {}:{}, whom jobs run as: everybody may read and change them; make this process a member of group {}, or run it as root on a storage that leaves root its rights",
            owner.uid, owner.gid, owner.gid
        );
    });
    Ok(Widened::Everybody)
}

fn may(done: Result<(), Errno>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::ACCESS | Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A file that is its owner's alone is changed by nobody else. A folder has to be filled, but what is in it stays its owners'.
fn widen(mode: u32, widened: Widened, is_folder: bool) -> u32 {
    let owners = mode & 0o700;
    let private = mode & 0o077 == 0 && !is_folder;
    match widened {
        Widened::Nobody => mode,
        Widened::Group => mode | owners >> 3,
        Widened::Everybody if private => mode | (owners & 0o500) >> 3 | (owners & 0o500) >> 6,
        Widened::Everybody => {
            let sticky = if is_folder { 0o1000 } else { 0 };
            mode | owners >> 3 | owners >> 6 | sticky
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_rights_are_given_than_are_needed() {
        for (mode, is_folder, group, everybody) in [
            (0o600, false, 0o660, 0o644),
            (0o644, false, 0o664, 0o666),
            (0o640, false, 0o660, 0o666),
            (0o444, false, 0o444, 0o444),
            (0o700, true, 0o770, 0o1777),
            (0o755, true, 0o775, 0o1777),
        ] {
            assert_eq!(widen(mode, Widened::Nobody, is_folder), mode);
            assert_eq!(widen(mode, Widened::Group, is_folder), group, "{mode:o}");
            assert_eq!(widen(mode, Widened::Everybody, is_folder), everybody, "{mode:o}");
        }
    }
}
