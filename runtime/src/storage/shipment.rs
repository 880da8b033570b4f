//! Files on their way into the archive: offers of some, each answered with how far they have come, and then the bytes that lack.
//!
//! Whoever sends may be another process on another machine. Nothing that it says is believed: paths stay below their folder, files
//! have no more bytes than were announced, and all together there is an end to it.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use atlas_core::files::{Found, Meta, What};

use super::{Held, Keeper, Others, Standing, is_of_the_file};

/// Things of one shipment.
const MOST_ITEMS: usize = 100_000;
/// Things of one offer.
pub const MOST_OFFERED: usize = 1_000;

/// A shipment that is being received.
pub struct Shipment {
    keeper: Keeper,
    /// Bytes that may still be announced.
    room: u64,
    /// What the folder held before, and may hold in all.
    held: Option<(Held, Most)>,
    items: usize,
    wanted: VecDeque<Wanted>,
    /// The first wanted file is being written.
    begun: bool,
    left: Vec<Left>,
}

/// What a folder may hold.
#[derive(Clone, Copy, Debug)]
struct Most {
    bytes: u64,
    things: usize,
}

struct Wanted {
    path: PathBuf,
    meta: Meta,
    from: u64,
}

/// What becomes of one thing of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    There,
    From(u64),
    Refused(String),
}

/// What the storage did not take in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub path: PathBuf,
    pub why: String,
}

/// To an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub answers: Vec<Answer>,
    /// Of the offer before.
    pub left: Vec<Left>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Refused(String),
    #[error("could not write to the archive")]
    Storage(#[source] io::Error),
}

impl Shipment {
    /// No more than `room` bytes are taken.
    pub fn new(keeper: Keeper, room: u64) -> Self {
        Self {
            keeper,
            room,
            held: None,
            items: 0,
            wanted: VecDeque::new(),
            begun: false,
            left: Vec::new(),
        }
    }

    /// Of somebody who may begin as often as it likes: what is in the folder already counts. A mirror holds the old and the new until
    /// it ends. Blocks.
    pub fn bounded(keeper: Keeper, room: u64) -> io::Result<Self> {
        let times: u8 = if keeper.is_mirror() { 2 } else { 1 };
        let most = Most { bytes: room.saturating_mul(times.into()), things: 2 * MOST_ITEMS };
        let held = Held::look(keeper.to(), most.things)?;
        Ok(Self { held: Some((held, most)), ..Self::new(keeper, room) })
    }

    /// Everything came; it survives the death of the storage's machine.
    pub fn end(mut self, others: Others) -> Result<Vec<Left>, Error> {
        self.nothing_wanted()?;
        let mut left = std::mem::take(&mut self.left);
        left.extend(self.keeper.end(others).map_err(failed)?);
        Ok(left)
    }

    /// One answer for each of these. Of those that are wanted the pieces come next, in this order.
    pub fn offer(&mut self, items: Vec<Found>) -> Result<Reply, Error> {
        self.nothing_wanted()?;
        self.items += items.len();
        if items.len() > MOST_OFFERED || self.items > MOST_ITEMS {
            let most = format!("{MOST_OFFERED} at a time and {MOST_ITEMS} in all");
            return Err(Error::Refused(format!("more files than are taken: {most}")));
        }
        if let Some((held, most)) = &mut self.held {
            items.iter().for_each(|it| held.forget(&it.path));
            if held.things() + self.items > most.things {
                let why = format!("with those that are there, more than {} files", most.things);
                return Err(Error::Refused(why));
            }
        }
        self.keeper.begin().map_err(failed)?;
        let left = std::mem::take(&mut self.left);
        let answers = items.into_iter().map(|it| self.answer(it)).collect::<Result<_, _>>()?;
        Ok(Reply { answers, left })
    }

    fn answer(&mut self, Found { path, what }: Found) -> Result<Answer, Error> {
        let answer = match what {
            What::Link(target) => self.keeper.link(&path, &target).map(|()| Answer::There),
            What::Folder { mode } => self.keeper.folder(&path, mode).map(|()| Answer::There),
            What::File(meta) => {
                self.room = self.room.checked_sub(meta.bytes).ok_or_else(|| {
                    Error::Refused("more bytes than --max-output of the master".into())
                })?;
                let looked = self.keeper.look(&path, &meta);
                if let (Some((held, most)), Ok(standing)) = (&mut self.held, &looked) {
                    held.add(match standing {
                        Standing::There => meta.bytes,
                        Standing::From(from) => meta.bytes - from, // which are there, and counted
                    });
                    if held.bytes() > most.bytes {
                        let why = "with what is there, more bytes than --max-output of the master";
                        return Err(Error::Refused(why.into()));
                    }
                }
                looked.map(|standing| match standing {
                    Standing::There => Answer::There,
                    Standing::From(from) => {
                        self.wanted.push_back(Wanted { path: path.clone(), meta, from });
                        Answer::From(from)
                    }
                })
            }
        };
        match answer {
            Err(error) if is_of_the_file(&error) => Ok(Answer::Refused(not_taken(&error))),
            answer => answer.map_err(failed),
        }
    }

    /// The next bytes of the first wanted file.
    pub fn piece(&mut self, data: &[u8], last: bool) -> Result<(), Error> {
        let Some(Wanted { path, meta, from }) = self.wanted.front() else {
            return Err(Error::Refused("bytes of a file that is not wanted".into()));
        };
        // One that the storage did not take: the rest of it passes by.
        let refused = self.begun && self.left.last().is_some_and(|it| it.path == *path);
        let write = |keeper: &mut Keeper| {
            if !self.begun {
                keeper.open(path, meta, *from)?;
            }
            keeper.write(data)?;
            if last { keeper.finish() } else { Ok(()) }
        };
        let written = if refused { Ok(()) } else { write(&mut self.keeper) };
        match written {
            Err(error) if is_of_the_file(&error) => {
                self.keeper.abandon();
                self.left.push(Left { path: path.clone(), why: not_taken(&error) });
            }
            written => written.map_err(failed)?,
        }
        self.begun = !last;
        if last {
            self.wanted.pop_front();
        }
        Ok(())
    }

    /// The rest of the first wanted file will never come.
    pub fn abandon(&mut self) -> Result<(), Error> {
        if self.wanted.pop_front().is_none() {
            return Err(Error::Refused("no file is wanted that could be abandoned".into()));
        }
        self.begun = false;
        self.keeper.abandon();
        Ok(())
    }

    fn nothing_wanted(&self) -> Result<(), Error> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        Err(Error::Refused("the files of the offer before have not all come".into()))
    }
}

fn not_taken(error: &io::Error) -> String {
    format!("the shared storage does not take it: {error}")
}

/// Who asks for what cannot be is told so; the storage's troubles pass.
fn failed(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none() {
        Error::Refused(error.to_string())
    } else {
        Error::Storage(error)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn shipment(folder: &Path) -> Shipment {
        Shipment::new(Keeper::new(folder.join("outputs"), folder.to_owned()), 100)
    }

    fn file(path: &str, bytes: u64) -> Found {
        let meta = Meta { bytes, modified: (1, 2), mode: 0o644 };
        Found { path: path.into(), what: What::File(meta) }
    }

    #[test]
    fn files_come_in_the_order_of_their_offer() {
        let folder = tempfile::tempdir().unwrap();
        let mut shipment = shipment(folder.path());
        let link = Found { path: "l".into(), what: What::Link("a".into()) };
        let reply = shipment.offer(vec![file("a", 2), link, file("d/b", 1)]).unwrap();
        assert_eq!(reply.answers, [Answer::From(0), Answer::There, Answer::From(0)]);
        for (data, last) in [(b"a", false), (b"a", true), (b"b", true)] {
            shipment.piece(data, last).unwrap();
        }
        assert_eq!(shipment.end(Others::Go).unwrap(), []);
        let kept = |name| std::fs::read_to_string(folder.path().join("outputs").join(name));
        assert_eq!((kept("a").unwrap(), kept("d/b").unwrap()), ("aa".into(), "b".into()));
        assert_eq!(kept("l").unwrap(), "aa");
    }

    type Step = Box<dyn Fn(&mut Shipment) -> Result<(), Error>>;

    fn offer(items: Vec<Found>) -> Step {
        Box::new(move |it| it.offer(items.clone()).map(drop))
    }

    fn piece(data: &'static [u8], last: bool) -> Step {
        Box::new(move |it| it.piece(data, last))
    }

    #[test]
    fn what_was_not_announced_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |steps: Vec<Step>| {
            let mut shipment = shipment(folder.path());
            let mut results = steps.into_iter().map(|it| it(&mut shipment));
            assert!(results.any(|it| matches!(it, Err(Error::Refused(_)))));
        };
        refused(vec![offer(vec![file("../a", 1)])]);
        refused(vec![offer(vec![file("/a", 1)])]);
        refused(vec![offer(vec![file("a", 101)])]);
        refused(vec![offer(vec![file("a", 60), file("b", 60)])]);
        refused(vec![offer(vec![file("a", 1)]), piece(b"aa", true)]);
        refused(vec![offer(vec![file("a", 1)]), offer(Vec::new())]);
        refused(vec![piece(b"a", true)]);
        refused(vec![Box::new(Shipment::abandon)]);
        assert!(!folder.path().join("a").exists() && !folder.path().join("outputs/a").exists());
    }

    #[test]
    fn who_begins_again_gets_no_more_room() {
        let folder = tempfile::tempdir().unwrap();
        let begin = || {
            let keeper = Keeper::new(folder.path().join("outputs"), folder.path().to_owned());
            Shipment::bounded(keeper, 100).unwrap()
        };
        let mut first = begin();
        first.offer(vec![file("a", 60), file("b", 40)]).unwrap();
        first.piece(&[0; 60], true).unwrap();
        first.piece(&[0; 30], false).unwrap();
        drop(first);
        let full = begin().offer(vec![file("c", 11)]);
        assert!(matches!(full, Err(Error::Refused(_))), "{full:?}");
        let again = begin().offer(vec![file("a", 60), file("b", 40)]).unwrap();
        assert_eq!(again.answers, [Answer::There, Answer::From(30)]);
        let anew = begin().offer(vec![file("a", 70)]).unwrap();
        assert_eq!(anew.answers, [Answer::From(0)]);
    }

    #[test]
    fn a_name_that_is_too_long_stays_behind_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut shipment = shipment(folder.path());
        let reply = shipment.offer(vec![file(&"x".repeat(300), 1), file("b", 1)]).unwrap();
        assert!(matches!(&reply.answers[..], [Answer::Refused(_), Answer::From(0)]));
        shipment.piece(b"b", true).unwrap();
        shipment.end(Others::Go).unwrap();
        assert!(folder.path().join("outputs/b").exists());
    }

    const NOBODY: u32 = 65534;

    /// Without any rights of root.
    fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        let (uid, gid) = (rustix::fs::Uid::from_raw(NOBODY), rustix::fs::Gid::from_raw(NOBODY));
        let other = || {
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            work()
        };
        std::thread::scope(|it| it.spawn(other).join().unwrap())
    }

    #[test]
    fn what_belongs_to_another_stays_as_it_is_and_holds_nothing_up() {
        use std::fs::{self, Permissions};
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        if !rustix::process::geteuid().is_root() {
            return; // there is nobody else
        }
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("checkpoints");
        fs::create_dir_all(to.join("held")).unwrap();
        fs::write(to.join("held/old"), "x").unwrap();
        for path in [folder.path(), &to] {
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        }
        let left = as_nobody(|| {
            let owner = super::super::Owner { uid: 12345, gid: 12345 };
            let keeper = Keeper::mirror(to.clone(), folder.path().to_owned(), owner);
            let mut shipment = Shipment::new(keeper, 100);
            let made = |path: &str| Found { path: path.into(), what: What::Folder { mode: 0o700 } };
            let items = vec![made("held"), file("held/new", 1), made("mine"), file("mine/a", 1)];
            let answers = shipment.offer(items).unwrap().answers;
            assert_eq!((&answers[1], &answers[3]), (&Answer::From(0), &Answer::From(0)));
            shipment.piece(b"n", true).unwrap();
            shipment.piece(b"a", true).unwrap();
            shipment.end(Others::Go).unwrap()
        });
        let left: Vec<_> = left.iter().map(|it| it.path.to_str().unwrap()).collect();
        assert_eq!(left, ["held/new", "held/old"]);
        let mode = |name: &str| fs::metadata(to.join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("held"), mode("mine"), mode("mine/a")), (0o755, 0o1777, 0o666));
        // The group of the jobs' user is enough, where it is the master's.
        let to = folder.path().join("grouped");
        as_nobody(|| {
            let owner = super::super::Owner { uid: 12345, gid: NOBODY };
            let keeper = Keeper::mirror(to.clone(), folder.path().to_owned(), owner);
            let mut shipment = Shipment::new(keeper, 100);
            shipment.offer(vec![file("a", 1)]).unwrap();
            shipment.piece(b"a", true).unwrap();
            shipment.end(Others::Go).unwrap();
        });
        assert_eq!(fs::metadata(to.join("a")).unwrap().mode() & 0o777, 0o664);
    }
}
