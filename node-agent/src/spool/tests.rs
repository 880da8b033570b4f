use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::paths::Data;

/// A master that takes whole lines, and can fail, before or after it took them.
#[derive(Default)]
struct Master {
    taken: RefCell<Vec<u8>>,
    asked: Cell<u32>,
    refuses: Cell<u32>,
    loses_answers: Cell<u32>,
    /// Files before it takes anything.
    wants: Cell<bool>,
    brings: Cell<u32>,
}

impl Taker for &Master {
    fn take(&self, piece: Piece) -> Result<Taken, storage::Error> {
        let Piece { offset, data, last, brought, .. } = piece;
        let one = |of: &Cell<u32>| of.replace(of.get().saturating_sub(1)) > 0;
        let silent = || storage::Error::Silent(Duration::ZERO);
        self.asked.set(self.asked.get() + 1);
        if one(&self.refuses) {
            return Err(silent());
        }
        let mut taken = self.taken.borrow_mut();
        let known = taken.len() as u64;
        if self.wants.get() && brought == Brought::default() && !data.is_empty() {
            return Ok(Taken { length: known, wanted: vec!["1/a".into()] });
        }
        self.wants.set(self.wants.get() && data.is_empty());
        if let Some(skip) = known.checked_sub(offset).and_then(|it| usize::try_from(it).ok()) {
            let new = data.get(skip..).unwrap_or_default();
            let lines = new.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
            taken.extend(if last { new } else { &new[..lines] });
        }
        let length = taken.len() as u64;
        if one(&self.loses_answers) { Err(silent()) } else { Ok(Taken { length, wanted: vec![] }) }
    }

    fn bring(
        &mut self,
        _: AttemptId,
        _: &JobDir,
        wanted: Vec<String>,
    ) -> Result<Brought, archive::Error> {
        self.brings.set(self.brings.get() + 1);
        Ok(Brought { kept: wanted, missing: Vec::new() })
    }
}

struct World {
    _folder: tempfile::TempDir,
    dir: JobDir,
    master: Master,
}

const ID: &str = "45540b52-ffe2-44ab-9838-db467d3499c0.1";

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = Data::new(folder.path().to_owned()).job(ID.parse().unwrap());
        fs::create_dir_all(dir.spool()).unwrap();
        Self { _folder: folder, dir, master: Master::default() }
    }

    fn shipper(&self) -> Shipper<&Master> {
        Shipper::new(ID.parse().unwrap(), self.dir.clone(), &self.master)
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(self.dir.path().join(SPOOL), text).unwrap();
    }

    fn taken(&self) -> String {
        String::from_utf8(self.master.taken.borrow().clone()).unwrap()
    }
}

#[test]
fn whole_lines_go_as_they_come_and_the_rest_at_the_end() {
    let world = World::new();
    let mut shipper = world.shipper();
    shipper.ship(None).unwrap();
    assert_eq!(world.master.asked.get(), 0, "a job that says nothing costs nothing");
    world.write("one\ntw");
    shipper.ship(None).unwrap();
    assert_eq!(world.taken(), "one\n");
    let asked = world.master.asked.get();
    shipper.ship(None).unwrap();
    assert_eq!(world.master.asked.get(), asked, "what has not grown is not looked at");
    world.write("one\ntwo\nthr");
    shipper.ship(None).unwrap();
    assert_eq!(world.taken(), "one\ntwo\n");
    // What came after the end is nobody's.
    world.write("one\ntwo\nthree\nlate\n");
    shipper.ship(Some(11)).unwrap();
    assert_eq!(world.taken(), "one\ntwo\nthr");
    world.shipper().ship(Some(11)).unwrap();
    assert_eq!(world.taken(), "one\ntwo\nthr");
}

#[test]
fn whoever_dies_or_loses_an_answer_costs_nothing() {
    let world = World::new();
    let text: String = (0..200_000).map(|it| format!("{it}\n")).collect();
    world.write(&text);
    world.master.loses_answers.set(3);
    world.master.refuses.set(2);
    let tries = (0..).find(|_| world.shipper().ship(Some(text.len() as u64)).is_ok());
    assert!(tries > Some(3), "{tries:?}");
    assert_eq!(world.taken(), text);
    let mut shipper = world.shipper();
    world.write(format!("{text}more\n"));
    world.master.loses_answers.set(2);
    while shipper.ship(None).is_err() {}
    assert_eq!(world.taken(), format!("{text}more\n"));
    // A master that begins anew has lost what it did not commit.
    world.master.taken.borrow_mut().truncate(4);
    world.write(format!("{text}more\nand more\n"));
    while shipper.ship(None).is_err() {}
    assert_eq!(world.taken(), format!("{text}more\nand more\n"));
}

#[test]
fn a_spool_that_the_job_cut_or_replaced_is_given_up() {
    let world = World::new();
    let mut shipper = world.shipper();
    world.write("one\ntwo\n");
    shipper.ship(None).unwrap();
    world.write("one\n");
    let error = shipper.ship(None).unwrap_err();
    assert!(matches!(error, Error::Changed { here: 4, there: 8, .. }) && error.is_final());

    let world = World::new();
    symlink("/etc/passwd", world.dir.path().join(SPOOL)).unwrap();
    world.shipper().ship(None).unwrap();
    world.shipper().ship(Some(0)).unwrap();
    let error = world.shipper().ship(Some(9)).unwrap_err();
    assert!(matches!(error, Error::Local { .. }) && error.is_final());
    assert_eq!(world.master.asked.get(), 0);
}

#[test]
fn what_is_wanted_is_brought_before_the_line_that_names_it_goes() {
    let world = World::new();
    world.write("one\ntwo\n");
    world.master.wants.set(true);
    world.shipper().ship(None).unwrap();
    assert_eq!((world.taken().as_str(), world.master.brings.get()), ("one\ntwo\n", 1));
}
