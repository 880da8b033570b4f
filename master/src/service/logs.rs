//! One stream of a job's log, wherever it is: from its node while it runs, from the archive when it is done, through restarts
//! of either. Offsets are the same everywhere, so the stream goes on where it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atlas_core::log_index::Index;
use atlas_core::{Attempt, JobId, Phase};
use atlas_proto::wire::{LogChunk, ReadLogRequest};
use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use tokio::sync::{mpsc, watch};

use super::{Error, Service};
use crate::archive::log;
use crate::proxy::Host;
use crate::store::StoredJob;

/// Chunks on their way to one reader: what it does not take, nobody reads.
const IN_FLIGHT: usize = 4;
/// A node that went away in mid-stream comes back, or its lease ends.
const RETRY: Policy =
    Policy { first: Duration::from_millis(100), max: Duration::from_secs(5), attempts: None };

/// What a reader gets.
pub type Chunks = mpsc::Receiver<Result<LogChunk, Error>>;

/// Where a stream stands.
struct Reader {
    id: JobId,
    request: ReadLogRequest,
    /// The attempt that is being read, and the next byte of it; `None` before the first chunk.
    at: Option<(Attempt, u64)>,
    /// It was told why nothing comes, since something came.
    told: bool,
    to: mpsc::Sender<Result<LogChunk, Error>>,
}

/// Why one source of a log came to its end.
enum Ended {
    /// Nothing more will come of this attempt.
    Complete,
    /// The job is no longer where it was being read: its node may be gone without a word.
    Moved,
    NobodyListens,
}

impl Service {
    /// Begins to read a log. Unknown jobs and logs that do not exist yet are refused before anything is streamed.
    pub async fn read_log(self: Arc<Self>, mut request: ReadLogRequest) -> Result<Chunks, Error> {
        let job = self.find(&request.job).await?;
        if !request.follow && job.status.attempt == Attempt(0) {
            return match job.status.phase() {
                Phase::Done => Ok(mpsc::channel(1).1),
                _ => Err(Error::NoLogYet(job.id)),
            };
        }
        if request.attempt > job.status.attempt.0 {
            return Err(Error::invalid(
                "attempt",
                format!("there were {} so far", job.status.attempt),
            ));
        }
        request.job = job.id.to_string();
        let (to, chunks) = mpsc::channel(IN_FLIGHT);
        let reader = Reader { id: job.id, request, at: None, told: false, to };
        let service = self.clone();
        self.tasks.spawn("log", async move { service.stream(reader).await });
        Ok(chunks)
    }

    /// The bytes of an attempt's log (0 = the last attempt), if it is whole and in the archive.
    pub async fn whole_log(&self, job: &StoredJob, attempt: u64) -> Result<Option<u64>, Error> {
        let (last, done) = (job.status.attempt, job.status.phase() == Phase::Done);
        let attempt = if attempt == 0 { last } else { Attempt(attempt) };
        if attempt > last || (attempt == last && !done) {
            return Ok(None);
        }
        let end = job.status.state.end().filter(|_| attempt == last).map(|it| it.log_length);
        let path = self.archive.log(job.id, attempt);
        let looked = self.storage.looks.run(move || match log::open(&path) {
            Ok(file) => file.metadata().map(|it| it.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        });
        let length = looked.await.map_err(|it| Error::Unavailable(it.to_string()))?;
        let length = length.map_err(Error::io("read the log in the archive"))?;
        Ok(Some(end.map_or(length, |end| end.min(length))))
    }

    async fn stream(&self, mut reader: Reader) {
        if let Err(error) = self.all_of(&mut reader).await {
            // Nobody listens any more, then nobody minds.
            drop(reader.to.send(Err(error)).await);
        }
    }

    /// Source after source, until the job has ended and all of its log was sent.
    async fn all_of(&self, reader: &mut Reader) -> Result<(), Error> {
        let mut news = self.feed.follow(reader.id);
        let mut backoff = Backoff::new(RETRY);
        loop {
            news.mark_unchanged();
            let Some(job) = self.store.job(reader.id).await? else { return Ok(()) };
            let ended = match job.status.phase() {
                Phase::Done => return self.send_archived(&job, reader).await,
                _ if reader.wants_an_earlier_attempt(&job) => {
                    return self.send_archived(&job, reader).await;
                }
                Phase::Queued if !reader.request.follow => {
                    return self.send_archived(&job, reader).await;
                }
                Phase::Queued => None,
                _ if job.spec.outside.is_some() => {
                    self.send_written(&job, reader).await?;
                    Some(Ended::Complete)
                }
                _ => match self.send_live(&job, reader, &mut news).await {
                    Ok(ended) => Some(ended),
                    Err(error) if !reader.request.follow => return Err(error),
                    Err(error) => {
                        tracing::debug!(job.id = %job.id, "log of {} broke off: {error}", job.id);
                        reader.tell(&error).await;
                        let wait = backoff.next().expect("it never gives up");
                        tokio::select! {
                            () = tokio::time::sleep(wait) => continue,
                            changed = news.changed() => match changed {
                                Ok(()) => continue,
                                Err(_) => return Ok(()),
                            },
                            () = reader.to.closed() => return Ok(()),
                        }
                    }
                },
            };
            match ended {
                Some(Ended::NobodyListens) => return Ok(()),
                Some(Ended::Moved) => continue,
                Some(Ended::Complete) if !reader.request.follow => return Ok(()),
                // It has ended, or is tried again elsewhere: the store says which, now or soon.
                Some(Ended::Complete) | None => {}
            }
            backoff.reset();
            if self.has_read_all(reader).await? {
                return Ok(());
            }
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return Ok(()) },
                () = reader.to.closed() => return Ok(()),
            }
        }
    }

    /// The job has ended with the attempt that was read to its end.
    async fn has_read_all(&self, reader: &Reader) -> Result<bool, Error> {
        let Some(job) = self.store.job(reader.id).await? else { return Ok(true) };
        let read = |end: &atlas_core::job::End| {
            reader.at.is_some_and(|(attempt, next)| {
                attempt == job.status.attempt && next >= end.log_length
            })
        };
        Ok(job.status.state.end().is_some_and(read))
    }

    /// Reads from the job's node for as long as the job is there. A node that stands still says nothing, but the job's own news
    /// come from the store.
    async fn send_live(
        &self,
        job: &StoredJob,
        reader: &mut Reader,
        news: &mut watch::Receiver<()>,
    ) -> Result<Ended, Error> {
        let Some(host) = self.host(job.id, &job.status).await? else { return Ok(Ended::Complete) };
        tokio::select! {
            ended = self.send_from(&host, reader) => ended,
            left = self.has_left(&host, news) => left.map(|()| Ended::Moved),
        }
    }

    /// Returns when the job is not with this host any more.
    async fn has_left(&self, host: &Host, news: &mut watch::Receiver<()>) -> Result<(), Error> {
        while news.changed().await.is_ok() {
            let Some(job) = self.store.job(host.job).await? else { return Ok(()) };
            let placement = job.status.state.placement();
            if placement.is_none_or(|it| (&it.node, it.attempt) != (&host.node, host.attempt)) {
                return Ok(());
            }
        }
        std::future::pending().await
    }

    /// May be dropped anywhere: a chunk that was not handed on is not counted as read.
    async fn send_from(&self, host: &Host, reader: &mut Reader) -> Result<Ended, Error> {
        let request = reader.next_request(host.attempt);
        let mut chunks = self.proxy.read_log(host, request).await?;
        loop {
            let message = tokio::select! {
                message = chunks.message() => message,
                () = reader.to.closed() => return Ok(Ended::NobodyListens),
            };
            let chunk = message.map_err(|source| crate::proxy::Error::Refused {
                node: host.node.clone(),
                source: Box::new(source),
            })?;
            let Some(chunk) = chunk else { return Ok(Ended::Complete) };
            let next = chunk.offset + chunk.data.len() as u64;
            if reader.to.send(Ok(chunk)).await.is_err() {
                return Ok(Ended::NobodyListens);
            }
            reader.at = Some((host.attempt, next));
            reader.told = false;
        }
    }

    /// What has come so far of the log of a run outside the scheduler.
    async fn send_written(&self, job: &StoredJob, reader: &mut Reader) -> Result<(), Error> {
        let attempt = job.status.attempt;
        let path = self.archive.log(job.id, attempt);
        let (request, to) = (reader.next_request(attempt), reader.to.clone());
        tokio::select! {
            next = self.send_file(path, None, request, &to) => {
                reader.at = next?.map(|next| (attempt, next)).or(reader.at);
                Ok(())
            }
            () = to.closed() => Ok(()),
        }
    }

    async fn send_archived(&self, job: &StoredJob, reader: &mut Reader) -> Result<(), Error> {
        let attempt = match reader.request.attempt {
            0 => job.status.attempt,
            asked => Attempt(asked),
        };
        let path = self.archive.log(job.id, attempt);
        let end = job
            .status
            .state
            .end()
            .filter(|_| attempt == job.status.attempt)
            .map(|it| it.log_length);
        let request = reader.next_request(attempt);
        tokio::select! {
            sent = self.send_file(path, end, request, &reader.to) => sent.map(drop),
            () = reader.to.closed() => Ok(()),
        }
    }

    /// Returns where it goes on. A thread is held for one chunk at a time, not for as long as the reader takes.
    async fn send_file(
        &self,
        path: PathBuf,
        end: Option<u64>,
        request: ReadLogRequest,
        to: &mpsc::Sender<Result<LogChunk, Error>>,
    ) -> Result<Option<u64>, Error> {
        let mut next = None;
        let turns = &self.storage.logs;
        let gone = |it: tokio::task::JoinError| Error::Unavailable(it.to_string());
        let failed = || Error::io("read the log in the archive");
        let opened = turns.run(move || open(&path, end, &request)).await.map_err(gone)?;
        let Some(mut log) = opened.map_err(failed())? else { return Ok(next) };
        loop {
            let read = turns.run(move || (log.read(), log)).await.map_err(gone)?;
            let pieces = read.0.map_err(failed())?;
            log = read.1;
            if pieces.is_empty() {
                return Ok(next);
            }
            for log::Piece { offset, data, at_ms } in pieces {
                next = Some(offset + data.len() as u64);
                if to
                    .send(Ok(LogChunk { offset, data, at_ms, notice: String::new() }))
                    .await
                    .is_err()
                {
                    return Ok(next);
                }
            }
        }
    }
}

impl Reader {
    /// Why nothing comes at the moment, once.
    async fn tell(&mut self, error: &Error) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let notice = format!(
            "{}. The log goes on when it is back, or where the job is started again.",
            Chain(error)
        );
        // Whoever is gone is seen to be gone where this goes on.
        drop(self.to.send(Ok(LogChunk { notice, ..LogChunk::default() })).await);
    }

    fn wants_an_earlier_attempt(&self, job: &StoredJob) -> bool {
        self.request.attempt != 0 && Attempt(self.request.attempt) < job.status.attempt
    }

    /// The first request as it was made; later ones from the next byte on. Another attempt begins anew.
    fn next_request(&self, attempt: Attempt) -> ReadLogRequest {
        match self.at {
            Some((of, next)) if of == attempt => ReadLogRequest {
                since_offset: Some(next),
                since_ms: None,
                tail_lines: None,
                ..self.request.clone()
            },
            Some(_) => ReadLogRequest {
                since_offset: None,
                since_ms: None,
                tail_lines: None,
                ..self.request.clone()
            },
            None => self.request.clone(),
        }
    }
}

/// What is asked for of a log in the archive. A file that is not there is a job that wrote nothing.
fn open(
    path: &Path,
    end: Option<u64>,
    request: &ReadLogRequest,
) -> std::io::Result<Option<log::Pieces>> {
    let mut file = match log::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let end = end.unwrap_or(length).min(length);
    let wants_times = request.timestamps || request.since_ms.is_some();
    let mut index = if wants_times { log::index(path) } else { Vec::new() };
    let from = match (request.since_offset, request.since_ms, request.tail_lines) {
        (Some(offset), _, _) => offset.min(end),
        (None, Some(at), _) => Index::new(&index).offset_at(at).unwrap_or(end).min(end),
        (None, None, Some(lines)) => log::tail_start(&mut file, end, lines)?,
        (None, None, None) => 0,
    };
    if !request.timestamps {
        index.clear();
    }
    log::Pieces::new(file, from, end, index).map(Some)
}
