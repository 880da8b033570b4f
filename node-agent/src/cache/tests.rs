use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// A node's folders, with things of 10 bytes each in its cache.
struct Folders {
    _root: tempfile::TempDir,
    data: Data,
}

impl Folders {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = Data::new(root.path().to_owned());
        for folder in [data.trash(), data.bundles(), data.environments()] {
            fs::create_dir(folder).unwrap();
        }
        Self { _root: root, data }
    }

    fn bundle(&self, name: &str, age: u64) -> PathBuf {
        let path = self.data.bundles().join(name);
        fs::write(&path, [0; 10]).unwrap();
        used_before(&path, age);
        path
    }

    fn environment(&self, name: &str, age: u64) -> PathBuf {
        let path = self.data.environments().join(name);
        fs::create_dir_all(path.join("venv")).unwrap();
        fs::write(path.join("ready"), "10").unwrap();
        used_before(&path.join("ready"), age);
        path
    }
}

fn used_before(path: &Path, age: u64) {
    let time = SystemTime::now() - Duration::from_secs(age);
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

fn there<const N: usize>(paths: [&PathBuf; N]) -> [bool; N] {
    paths.map(|it| it.exists())
}

#[test]
fn what_was_used_longest_ago_goes_first_whatever_it_is() {
    let folders = Folders::new();
    let (old, newer) = (folders.bundle("old", 400), folders.bundle("newer", 200));
    let (older, new) = (folders.environment("older.1", 300), folders.environment("new.1", 100));
    let cache = Cache::new(&folders.data, 20);
    assert_eq!(cache.bytes().unwrap(), 40);
    cache.trim().unwrap();
    assert_eq!(there([&old, &older, &newer, &new]), [false, false, true, true]);
    assert_eq!(fs::read_dir(folders.data.trash()).unwrap().count(), 0);
    assert_eq!(cache.bytes().unwrap(), 20);
}

#[test]
fn what_is_in_use_stays_until_the_last_one_lets_go() {
    let folders = Folders::new();
    let (used, idle) = (folders.bundle("used", 400), folders.environment("idle.1", 100));
    let cache = Cache::new(&folders.data, 0);
    let [first, second] = [(); 2].map(|()| cache.hold("used".into()));
    cache.trim().unwrap();
    assert_eq!(there([&used, &idle]), [true, false]);
    drop(first);
    cache.trim().unwrap();
    assert!(used.exists());
    drop(second);
    cache.trim().unwrap();
    assert!(!used.exists());
}

#[test]
fn what_is_begun_counts_and_goes_too() {
    let folders = Folders::new();
    let (left, coming) = (folders.bundle("a.tar.part", 200), folders.bundle("b.tar.part", 300));
    let cache = Cache::new(&folders.data, 10);
    let _coming = cache.hold("b.tar.part".into());
    cache.trim().unwrap();
    assert_eq!(there([&left, &coming]), [false, true]);
}

#[tokio::test]
async fn what_did_not_fit_goes_as_soon_as_nobody_uses_it() {
    let folders = Folders::new();
    let large = folders.bundle("large", 0);
    let cache = Cache::new(&folders.data, 5);
    let held = cache.hold("large".into());
    let mut keeping = std::pin::pin!(cache.clone().keep_bounded());
    let mut over = async |over| {
        while cache.0.over.load(Ordering::SeqCst) != over {
            assert!(futures::poll!(&mut keeping).is_pending());
            tokio::task::yield_now().await;
        }
    };
    over(true).await;
    assert!(large.exists());
    drop(held);
    over(false).await;
    assert!(!large.exists());
}

#[test]
fn an_item_that_is_taken_at_this_moment_is_either_held_or_gone() {
    let folders = Folders::new();
    let cache = Cache::new(&folders.data, 0);
    for _ in 0..200 {
        let path = folders.bundle("b", 10);
        std::thread::scope(|scope| {
            let evicted = scope.spawn(|| cache.evict(|_| true).unwrap());
            let _held = cache.hold("b".into());
            let found = path.exists();
            evicted.join().unwrap();
            assert_eq!(path.exists(), found, "it was seen and removed all the same");
        });
        let _ = fs::remove_file(path);
    }
}

#[test]
fn one_that_cannot_be_read_hides_no_other() {
    let folders = Folders::new();
    let odd = folders.environment("odd.1", 300);
    fs::write(odd.join("ready"), "not a number").unwrap();
    used_before(&odd.join("ready"), 300);
    let fine = folders.environment("fine.1", 200);
    let cache = Cache::new(&folders.data, 5);
    cache.trim().unwrap();
    assert_eq!(there([&odd, &fine]), [false, false]);
}
