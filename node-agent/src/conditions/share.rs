//! Whether `--shared` is the cluster's shared storage: an unmounted file system is an empty folder, and would take jobs' files
//! to where nobody looks for them. It is looked at from a thread that may hang as long as its file server does.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atlas_core::ClusterId;
use atlas_core::node::Condition;
use atlas_proto::SHARE_MARKS;
use tokio::sync::watch;

use super::Conditions;
use crate::options::JobUser;
use crate::paths::Shared;

const EVERY: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(5);
/// A storage that says nothing for so long is away.
const PATIENCE: Duration = Duration::from_secs(10);
/// A node that joins waits so long for what a first look says.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// No cluster's id is longer.
const LONGEST_ID: u64 = 256;

/// What the master says is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub mark: String,
    pub cluster: ClusterId,
}

/// Where to look, and who writes there.
#[derive(Clone, Debug)]
pub struct Place {
    pub shared: Shared,
    /// The node's identity: no two nodes try the same name.
    pub node: String,
    pub job_user: JobUser,
}

/// Why a folder is not the shared storage.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("{} is not there: mount the shared storage, or start the agent without --shared", path.display())]
    Missing { path: PathBuf },
    #[error("{} is not the cluster's shared storage, there is no {SHARE_MARKS}/ in it: an unmounted file system is an empty folder, mount it (mount {0}; df {0})", path.display())]
    NoShare { path: PathBuf },
    #[error("{} is the shared storage of cluster {theirs}, and this node belongs to {ours}: mount what the master has as --shared", path.display())]
    OtherCluster { path: PathBuf, ours: ClusterId, theirs: String },
    #[error("{} is a copy or an older state of the cluster's shared storage, the mark of its present master is not there: mount what the master has as --shared", path.display())]
    Old { path: PathBuf },
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not make a folder in {}: mount the shared storage for writing, and let the agent's user write there", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} has not answered for {} s: is its file server away?", path.display(), PATIENCE.as_secs())]
    Hangs { path: PathBuf },
}

/// Whom a storage lets give files away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Jobs own their checkpoints.
    Full,
    /// It takes root's rights away (root_squash): folders for checkpoints are open to everybody there.
    Squashed,
}

/// Reads what the master wrote, and tries to write. Blocks as long as the storage does.
pub fn look(place: &Place, expected: &Expected) -> Result<Rights, Problem> {
    let root = place.shared.root();
    read(root, expected)?;
    write(place)
}

fn read(root: &Path, expected: &Expected) -> Result<(), Problem> {
    let path = || root.to_owned();
    let marks = root.join(SHARE_MARKS);
    let found = |file: &Path| -> io::Result<Option<String>> {
        match File::open(file) {
            Ok(file) => {
                let mut text = String::new();
                file.take(LONGEST_ID).read_to_string(&mut text)?;
                Ok(Some(text.trim().to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    };
    let failed = |path: PathBuf| move |source| Problem::Read { path, source };
    let mark = marks.join(&expected.mark);
    let theirs = match found(&mark).map_err(failed(mark))? {
        Some(cluster) if cluster == expected.cluster.as_str() => return Ok(()),
        Some(cluster) => cluster,
        None if !root.exists() => return Err(Problem::Missing { path: path() }),
        None => match fs::read_dir(&marks) {
            Ok(mut entries) => {
                let other = entries.next().transpose().map_err(failed(marks))?;
                let Some(other) = other.map(|it| it.path()) else {
                    return Err(Problem::NoShare { path: path() });
                };
                found(&other).map_err(failed(other))?.unwrap_or_default()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Problem::NoShare { path: path() });
            }
            Err(source) => return Err(Problem::Read { path: marks, source }),
        },
    };
    if theirs == expected.cluster.as_str() {
        return Err(Problem::Old { path: path() });
    }
    Err(Problem::OtherCluster { path: path(), ours: expected.cluster.clone(), theirs })
}

/// Makes a folder where jobs' folders are made, and gives it to the jobs' user as those are.
fn write(place: &Place) -> Result<Rights, Problem> {
    let jobs = place.shared.jobs();
    let failed = |source| Problem::Write { path: jobs.clone(), source };
    let probe = jobs.join(format!(".probe-{}", place.node));
    // The folder of all jobs is the master's to make.
    fs::create_dir(&probe).map_err(failed)?;
    let user = &place.job_user;
    let given = if user.is_this_process() {
        Ok(())
    } else {
        lchown(&probe, Some(user.uid), Some(user.gid))
    };
    fs::remove_dir(&probe).map_err(failed)?;
    match given {
        Ok(()) => Ok(Rights::Full),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Rights::Squashed),
        Err(source) => Err(failed(source)),
    }
}

/// The same from a thread of its own, and without waiting for ever. The thread may go on.
pub async fn look_once(place: Place, expected: Expected) -> Result<Rights, Problem> {
    let path = place.shared.root().to_owned();
    let look = tokio::task::spawn_blocking(move || look(&place, &expected));
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(looked) => looked.expect("it does not panic"),
        Err(_) => Err(Problem::Hangs { path }),
    }
}

/// What a session needs of the watcher.
#[derive(Debug)]
pub struct Share {
    expected: watch::Sender<Option<Expected>>,
    looked: watch::Receiver<Option<Expected>>,
}

impl Share {
    /// The handle, and the watcher that works until it is dropped.
    pub fn watch(place: Place, conditions: Conditions) -> (Self, impl Future<Output = ()>) {
        conditions.unknown(Condition::Share, "the master has not said yet what is in --shared");
        let (expected, told) = watch::channel(None);
        let (done, looked) = watch::channel(None);
        (Self { expected, looked }, keep_looking(place, told, done, conditions))
    }

    /// Says what has to be there, and waits a moment for what a look at it says.
    pub async fn expect(&self, expected: Expected) {
        let mut looked = self.looked.clone();
        self.expected.send_if_modified(|it| {
            let news = it.as_ref() != Some(&expected);
            *it = Some(expected.clone());
            news
        });
        let first = looked.wait_for(|it| it.as_ref() == Some(&expected));
        // A storage that hangs is trouble already; the node joins with it.
        let _ = tokio::time::timeout(FIRST_LOOK, first).await;
    }
}

async fn keep_looking(
    place: Place,
    mut told: watch::Receiver<Option<Expected>>,
    done: watch::Sender<Option<Expected>>,
    conditions: Conditions,
) {
    let say = |problem: Problem| {
        let reason = atlas_runtime::Chain(&problem).to_string();
        conditions.set(Condition::Share, Some(reason));
    };
    loop {
        let Ok(expected) = told.wait_for(Option::is_some).await.map(|it| it.clone()) else {
            return;
        };
        let expected = expected.expect("it was waited for");
        let (thread, looks_for) = (place.clone(), expected.clone());
        let mut look = tokio::task::spawn_blocking(move || look(&thread, &looks_for));
        // One thread at most hangs: the next look begins when this one has ended.
        let looked = match tokio::time::timeout(PATIENCE, &mut look).await {
            Ok(looked) => looked,
            Err(_) => {
                say(Problem::Hangs { path: place.shared.root().to_owned() });
                look.await
            }
        };
        let pause = match looked.expect("it does not panic") {
            Ok(_) => {
                conditions.set(Condition::Share, None);
                EVERY
            }
            Err(problem) => {
                say(problem);
                AGAIN
            }
        };
        done.send_replace(Some(expected));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = told.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use atlas_core::node::Troubles;

    use super::*;

    fn place(root: &Path) -> Place {
        let job_user = JobUser::this_process();
        Place { shared: Shared::new(root.into()), node: "n".into(), job_user }
    }

    fn expected() -> Expected {
        Expected { mark: "m".into(), cluster: "c-1".parse().unwrap() }
    }

    fn mark(root: &Path, name: &str, cluster: &str) {
        for folder in [SHARE_MARKS, "jobs"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join(SHARE_MARKS).join(name), cluster).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_the_share_is_told_by_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("shared");
        let says = |words: &str| {
            let error = look(&place(&root), &expected()).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        };
        says("is not there: mount");
        fs::create_dir(&root).unwrap();
        says("an unmounted file system is an empty folder");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "something was written");
        mark(&root, "theirs", "c-2");
        says("of cluster c-2, and this node belongs to c-1");
        fs::remove_file(root.join(SHARE_MARKS).join("theirs")).unwrap();
        mark(&root, "older", "c-1");
        says("a copy or an older state");
        mark(&root, "m", "c-1");
        assert_eq!(look(&place(&root), &expected()).unwrap(), Rights::Full);
        let left: Vec<_> = fs::read_dir(root.join("jobs")).unwrap().collect();
        assert!(left.is_empty(), "the probe is left: {left:?}");
    }

    /// A pipe that nobody writes to keeps whoever opens it, as a file server does that is away.
    #[tokio::test]
    async fn a_share_that_does_not_answer_is_trouble_and_no_more_than_one_thread() {
        let folder = tempfile::tempdir().unwrap();
        let marks = folder.path().join(SHARE_MARKS);
        fs::create_dir(&marks).unwrap();
        fs::create_dir(folder.path().join("jobs")).unwrap();
        let pipe = marks.join("m");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        let conditions = Conditions::default();
        let (share, watcher) = Share::watch(place(folder.path()), conditions.clone());
        let told = async {
            share.expect(expected()).await;
            let mut seen = conditions.subscribe();
            let hangs = |it: &Troubles| it.to_string().contains("has not answered for 10 s");
            seen.wait_for(hangs).await.unwrap();
            let answer = tokio::task::spawn_blocking(move || fs::write(pipe, "c-1"));
            answer.await.unwrap().unwrap();
            seen.wait_for(Troubles::is_empty).await.unwrap();
        };
        tokio::select! {
            () = watcher => panic!("the watcher ended"),
            () = told => {}
        }
    }

    #[tokio::test]
    async fn a_share_that_goes_and_comes_back_is_noticed_with_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        let conditions = Conditions::default();
        let (share, watcher) = Share::watch(place(folder.path()), conditions.clone());
        let told = async {
            assert!(conditions.now().has(Condition::Share), "it counted before it was looked at");
            share.expect(expected()).await;
            assert!(conditions.now().to_string().contains("unmounted"), "{:?}", conditions.now());
            mark(folder.path(), "m2", "c-1");
            share.expect(Expected { mark: "m2".into(), ..expected() }).await;
            assert!(conditions.now().is_empty(), "{:?}", conditions.now());
        };
        tokio::select! {
            () = watcher => panic!("the watcher ended"),
            () = told => {}
        }
    }
}
