//! Tables against the segments that they were made of.

use atlas_core::Timestamp;
use atlas_core::run::{Point, Segment};
use proptest::prelude::*;

use super::*;
use crate::tracker::block::Block;
use crate::tracker::{segment, series};

const KEYS: [&str; 4] = ["a", "loss", "loss/é", "z"];
const RANKS: [u32; 2] = [0, 7];

/// A run with its segments.
struct World {
    dir: tempfile::TempDir,
    archive: Archive,
    run: Run,
}

/// A point that an attempt logged; the epoch is of the leader that took it in.
type Told = (u64, u64, Vec<(usize, usize, u64, Scalar)>);

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path().to_owned());
        fs::create_dir_all(archive.job(job())).unwrap();
        Self { dir, archive, run: Run::default() }
    }

    /// What one commit brings.
    fn tell(&mut self, (attempt, epoch, points): &Told) {
        let (attempt, epoch) = (Attempt(*attempt), Epoch(*epoch));
        let spool = self.run.attempts.entry(attempt).or_default();
        let mut block = Block::default();
        for (key, rank, step, value) in points {
            let (key, rank) = (KEYS[*key], RANKS[*rank]);
            *spool.points.entry(key.to_owned()).or_default().entry(rank).or_default() += 1;
            let at = Timestamp(step * 1000);
            block.add(Point { key: key.into(), rank, step: *step, at, value: value.clone() });
        }
        let Some(block) = block.encode() else { return };
        if spool.segments.last().is_none_or(|it| it.epoch != epoch) {
            spool.segments.push(Segment { epoch, bytes: 0 });
        }
        let last = spool.segments.last_mut().unwrap();
        let path = self.archive.segment(job(), attempt, epoch);
        segment::append(&self.archive.jobs(), &path, last.bytes, &block).unwrap();
        last.bytes += block.len() as u64;
    }

    fn series(&self) -> Vec<Vec<Sample>> {
        let units = KEYS.iter().flat_map(|key| RANKS.map(|rank| (*key, rank)));
        let read = |(key, rank)| series::read(&self.archive, job(), &self.run, key, rank).unwrap();
        units.map(read).collect()
    }

    fn write(&self, epoch: u64, room: usize) -> io::Result<Table> {
        let (archive, run, stop) = (&self.archive, &self.run, &CancellationToken::new());
        Compaction { archive, job: job(), run, epoch: Epoch(epoch), stop }.write_in(room)
    }

    fn compact(&mut self, epoch: u64, room: usize) {
        let table = self.write(epoch, room).unwrap();
        self.run.move_into(table);
        tidy(&self.archive, job(), &table).unwrap();
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.archive.series(job())).unwrap();
        let mut names: Vec<_> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn job() -> JobId {
    JobId::from_random([7; 16])
}

fn scalar() -> impl Strategy<Value = Scalar> {
    let edge = 1_i64 << f64::MANTISSA_DIGITS;
    let edges = [0, -1, edge, edge + 1, -edge - 1, i64::MAX, i64::MIN];
    prop_oneof![
        any::<bool>().prop_map(Scalar::Bool),
        any::<i64>().prop_map(Scalar::Int),
        prop::sample::select(edges.to_vec()).prop_map(Scalar::Int),
        any::<u64>().prop_map(|it| Scalar::BigInt(format!("-{}", u128::from(it) + (1 << 64)))),
        any::<u64>().prop_map(|bits| Scalar::Float(f64::from_bits(bits))),
        prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e300])
            .prop_map(Scalar::Float),
        any::<String>().prop_map(Scalar::Text),
        Just(Scalar::Text("12".into())),
    ]
}

fn told(epochs: std::ops::Range<u64>) -> impl Strategy<Value = Vec<Told>> {
    let point = (0..KEYS.len(), 0..RANKS.len(), 0..40_u64, scalar());
    let commit = (1..4_u64, epochs, prop::collection::vec(point, 0..30));
    prop::collection::vec(commit, 0..12).prop_map(|mut all| {
        // Leaders follow each other.
        all.sort_by_key(|it| it.1);
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_table_answers_as_its_segments_did(
        before in told(1..3),
        late in told(3..5),
        room in prop::sample::select(vec![0, 2_000, ROOM]),
    ) {
        let mut world = World::new();
        before.iter().for_each(|it| world.tell(it));
        let segments = world.series();
        if world.run.has_segments() {
            world.compact(2, room);
            prop_assert_eq!(world.files(), ["2-1.parquet"]);
        }
        prop_assert_eq!(&world.series(), &segments);
        // The same without a table in between.
        let mut never = World::new();
        before.iter().chain(&late).for_each(|it| never.tell(it));
        late.iter().for_each(|it| world.tell(it));
        prop_assert_eq!(world.series(), never.series());
        if world.run.has_segments() {
            world.compact(4, room);
            prop_assert_eq!(world.files().len(), 1);
            prop_assert_eq!(world.series(), never.series());
        }
    }
}

fn some(attempt: u64, epoch: u64) -> Told {
    (attempt, epoch, vec![(1, 0, attempt, Scalar::Float(0.5))])
}

#[test]
fn what_was_never_committed_counts_for_nothing_and_is_removed() {
    let mut world = World::new();
    world.tell(&some(1, 1));
    world.tell(&some(1, 2));
    let series = world.series();
    // Leaders who died: while they wrote, before they could commit, and after.
    for name in ["1-1.part", "2-1.part", "1-1.parquet", "1-0.seg", "1-2.parquet"] {
        fs::write(world.archive.series(job()).join(name), "of somebody who died").unwrap();
    }
    // A later leader, and somebody else.
    for name in ["1-3.seg", "3-1.parquet", "notes.txt"] {
        fs::write(world.archive.series(job()).join(name), "not ours").unwrap();
    }
    world.compact(2, ROOM);
    assert_eq!(world.files(), ["1-3.seg", "2-1.parquet", "3-1.parquet", "notes.txt"]);
    assert_eq!(world.series(), series);
}

#[test]
fn a_table_of_before_stays_whole_until_the_next_one_is() {
    let mut world = World::new();
    world.tell(&some(1, 1));
    world.compact(1, ROOM);
    world.tell(&some(2, 1));
    let series = world.series();
    // Written, and never committed.
    world.write(1, ROOM).unwrap();
    assert_eq!(world.files(), ["1-1.parquet", "1-2.parquet", "2-1.seg"]);
    assert_eq!(world.series(), series);
    world.compact(1, ROOM);
    assert_eq!(world.files(), ["1-2.parquet"]);
    assert_eq!(world.series(), series);
}

#[test]
fn a_store_that_came_back_older_finds_the_table_that_has_its_segments() {
    let mut world = World::new();
    world.tell(&some(1, 1));
    world.tell(&some(2, 1));
    let (older, series) = (world.run.clone(), world.series());
    assert_eq!(found_again(&world.archive, job(), &older).unwrap(), None, "there is no table");
    world.compact(1, ROOM);
    let newer = world.run.clone();
    world.run = older;
    let missing = world.write(2, ROOM).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    let found = found_again(&world.archive, job(), &world.run).unwrap().unwrap();
    assert_eq!(found, newer);
    // What the table knows nothing of stays beside it; of a segment that it has a part of it cannot be known.
    world.tell(&some(1, 2));
    let found = found_again(&world.archive, job(), &world.run).unwrap().unwrap();
    assert_eq!(found.attempts[&Attempt(1)].segments.len(), 1);
    world.run.attempts.get_mut(&Attempt(2)).unwrap().segments[0].bytes += 1;
    assert_eq!(found_again(&world.archive, job(), &world.run).unwrap(), None);
    world.run = newer;
    assert_eq!(found_again(&world.archive, job(), &world.run).unwrap(), None, "it is known");
    assert_eq!(world.series(), series);
}

#[test]
fn segments_that_lack_points_stay_what_they_are() {
    let mut world = World::new();
    world.tell(&some(1, 1));
    let spool = world.run.attempts.get_mut(&Attempt(1)).unwrap();
    spool.points.get_mut("loss").unwrap().insert(0, 2);
    let refused = world.write(1, ROOM).unwrap_err().to_string();
    assert_eq!(refused, "1 of 1 points were written, and 2 were told");
    let path = world.archive.segment(job(), Attempt(1), Epoch(1));
    fs::write(&path, "nonsense and more of it").unwrap();
    let refused = world.write(1, ROOM).unwrap_err().to_string();
    assert_eq!(refused, format!("{}: it is damaged", path.display()));
    fs::remove_file(&path).unwrap();
    assert_eq!(world.write(1, ROOM).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn nothing_is_made_where_the_job_is_gone() {
    let mut world = World::new();
    world.tell(&some(1, 1));
    fs::remove_dir_all(world.archive.job(job())).unwrap();
    assert!(world.write(1, ROOM).is_err());
    assert!(!world.archive.job(job()).exists());
    drop(world.dir);
}

/// Of two attempts and two leaders, as the third finds it.
fn told_to_two_leaders() -> World {
    let mut world = World::new();
    for (attempt, epoch) in [(1, 1), (2, 1), (2, 2)] {
        let points = (0..50).map(|it| (it % KEYS.len(), 0, it as u64, Scalar::Int(attempt)));
        world.tell(&(attempt.cast_unsigned(), epoch, points.collect()));
    }
    world
}

#[test]
fn a_leader_that_dies_while_it_writes_costs_no_point_and_doubles_none() {
    let whole = told_to_two_leaders();
    whole.write(2, ROOM).unwrap();
    let bytes = fs::read(whole.archive.series(job()).join("2-1.parquet")).unwrap();
    let parts = [0, 1, bytes.len() / 2, bytes.len() - 1, bytes.len()].map(|it| ("2-1.part", it));
    // It tries again itself, or another one does.
    for epoch in [2, 3] {
        for (name, length) in parts.into_iter().chain([("2-1.parquet", bytes.len())]) {
            let mut world = told_to_two_leaders();
            fs::write(world.archive.series(job()).join(name), &bytes[..length]).unwrap();
            assert_eq!(world.series(), whole.series(), "before: {name}, {length}");
            world.compact(epoch, ROOM);
            assert_eq!(world.series(), whole.series(), "{epoch}: {name}, {length}");
            assert_eq!(world.files(), [format!("{epoch}-1.parquet")]);
        }
    }
}

#[test]
fn a_leader_that_dies_while_it_tidies_costs_no_point_and_doubles_none() {
    let whole = told_to_two_leaders();
    let late = (2, 3, vec![(1, 0, 99, Scalar::Int(7))]);
    let segments = whole.files();
    for removed in 0..=segments.len() {
        let mut world = told_to_two_leaders();
        let table = world.write(2, ROOM).unwrap();
        world.run.move_into(table);
        for name in &segments[..removed] {
            fs::remove_file(world.archive.series(job()).join(name)).unwrap();
        }
        assert_eq!(world.series(), whole.series(), "{removed} are removed");
        // What comes late makes one table of it, and nothing stays beside that.
        let mut never = told_to_two_leaders();
        never.tell(&late);
        world.tell(&late);
        world.compact(3, ROOM);
        assert_eq!(world.series(), never.series(), "{removed} are removed");
        assert_eq!(world.files(), ["3-2.parquet"]);
    }
}
