//! SQLite in one file: the store of a single machine. One connection writes, on a thread of its own, and a commit is one
//! transaction that is synced once; a few others read, and see what was committed.

mod fault;
#[cfg(test)]
mod golden;
mod layout;
mod moving;
mod read;
mod readers;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atlas_core::cluster::Snapshot;
use atlas_core::project::About;
use atlas_core::{BundleId, ClusterId, Epoch, JobId, Position, ProjectName, Run};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rusqlite::{Connection, OpenFlags};

use super::{
    Batch, CommitError, Error, Facts, Lead, Mark, Movable, Page, Store, StoredJob, StoredProject,
    StoredRun,
};
use fault::Fault;
use readers::Readers;
use writer::Writer;

/// The file's name in the data folder; SQLite puts `-wal` and `-shm` beside it.
const FILE: &str = "atlas.sqlite";

/// A store in a folder of this machine.
#[derive(Debug)]
pub struct Embedded {
    // In this order: the writer's last commit is done before the readers go.
    writer: Writer,
    readers: Readers,
}

impl Embedded {
    /// Opens the store in `dir`, which must be there, or makes one: only its owner may read it.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(FILE);
        create(dir, &path).map_err(|error| Fault::from(error).tried("make a file", &path))?;
        let connection = connect(&path);
        let mut connection =
            connection.map_err(|error| Fault::from(error).tried("open a file", &path))?;
        layout::bring_up_to_date(&mut connection, &path)?;
        Self::over(connection, &path)
    }

    /// Whether there is a store in `dir`.
    pub fn is_in(dir: &Path) -> Result<bool, Error> {
        let path = dir.join(FILE);
        path.try_exists().map_err(|error| Fault::from(error).tried("look for a file", &path))
    }

    fn over(connection: Connection, path: &Path) -> Result<Self, Error> {
        let path: Arc<Path> = path.into();
        Ok(Self { writer: Writer::start(connection, path.clone())?, readers: Readers::new(path) })
    }
}

impl Store for Embedded {
    fn cluster(&self) -> BoxFuture<'_, Result<Option<ClusterId>, Error>> {
        self.readers.read("read whose it is", |from| read::cluster(from)).boxed()
    }

    fn lead_above(&self, epoch: Epoch) -> BoxFuture<'_, Result<Lead, Error>> {
        self.writer.lead(epoch).boxed()
    }

    fn restore(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        self.readers.read("read what is live", read::restore).boxed()
    }

    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), CommitError>> {
        self.writer.commit(batch.clone()).boxed()
    }

    fn mark(&self) -> BoxFuture<'_, Result<Mark, Error>> {
        self.writer.mark().boxed()
    }

    fn job(&self, id: JobId) -> BoxFuture<'_, Result<Option<StoredJob>, Error>> {
        self.readers.read("look a job up", move |from| read::job(from, id)).boxed()
    }

    fn jobs_with_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<JobId>, Error>> {
        let prefix = prefix.to_owned();
        let look = move |from: &mut Connection| read::jobs_with_prefix(from, &prefix, limit);
        self.readers.read("look for jobs", look).boxed()
    }

    fn jobs_of<'a>(&'a self, ids: &'a [JobId]) -> BoxFuture<'a, Result<Vec<StoredJob>, Error>> {
        let ids = ids.to_owned();
        self.readers.read("look jobs up", move |from| read::jobs_of(from, &ids)).boxed()
    }

    fn jobs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Vec<StoredJob>, Error>> {
        let page = *page;
        self.readers.read("list jobs", move |from| read::jobs(from, page)).boxed()
    }

    fn run(&self, id: JobId) -> BoxFuture<'_, Result<Option<Arc<Run>>, Error>> {
        self.readers.read("look a run up", move |from| read::run(from, id)).boxed()
    }

    fn runs_of<'a>(
        &'a self,
        ids: &'a [JobId],
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Option<Arc<Run>>>, Error>> {
        let ids = ids.to_owned();
        self.readers.read("look runs up", move |from| read::runs_of(from, &ids, most)).boxed()
    }

    fn runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Vec<StoredRun>, Error>> {
        let page = *page;
        self.readers.read("list runs", move |from| read::runs(from, page)).boxed()
    }

    fn project<'a>(
        &'a self,
        name: &'a ProjectName,
    ) -> BoxFuture<'a, Result<Option<Arc<About>>, Error>> {
        let name = name.clone();
        let look = move |from: &mut Connection| read::project(from, name.as_str());
        self.readers.read("look a project up", look).boxed()
    }

    fn projects(&self) -> BoxFuture<'_, Result<Vec<StoredProject>, Error>> {
        self.readers.read("list projects", |from| read::projects(from)).boxed()
    }

    fn uses_bundle(&self, bundle: BundleId) -> BoxFuture<'_, Result<bool, Error>> {
        let look = move |from: &mut Connection| read::uses_bundle(from, bundle);
        self.readers.read("look for the users of a bundle", look).boxed()
    }
}

impl Movable for Embedded {
    fn place(&self) -> String {
        self.writer.place()
    }

    fn facts(&self) -> BoxFuture<'_, Result<Facts, Error>> {
        let look = |from: &mut Connection| moving::facts(&*from.transaction()?);
        self.readers.read("read what it holds", look).boxed()
    }

    fn begin<'a>(
        &'a self,
        cluster: &'a ClusterId,
        from: &'a str,
    ) -> BoxFuture<'a, Result<Mark, Error>> {
        let (place, cluster, from) = (self.place(), cluster.clone(), from.to_owned());
        let work = move |to: &mut Connection| moving::begin(to, &place, &cluster, &from);
        self.writer.ask("begin to take a cluster in", work).boxed()
    }

    fn finish(
        &self,
        stands: Mark,
        mark: Mark,
        next_position: Position,
    ) -> BoxFuture<'_, Result<(), Error>> {
        let place = self.place();
        let work =
            move |to: &mut Connection| moving::finish(to, &place, stands, mark, next_position);
        self.writer.ask("finish taking a cluster in", work).boxed()
    }

    fn give_away<'a>(&'a self, stands: Mark, to: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        let (place, whom) = (self.place(), to.to_owned());
        let work = move |to: &mut Connection| moving::give_away(to, &place, stands, &whom);
        self.writer.ask("give a cluster away", work).boxed()
    }
}

/// Makes the file before SQLite does, which gives its companions the same mode.
fn create(dir: &Path, path: &Path) -> io::Result<()> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            fs::File::open(dir)?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// A connection of which every commit is on the disk when it returns.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Somebody may look at the file with a shell of theirs.
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
