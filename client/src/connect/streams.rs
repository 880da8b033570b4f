//! Streams that go on where they were when the master comes back.

use std::pin::Pin;

use atlas_proto::wire;
use futures::Stream;
use futures::stream::try_unfold;
use tonic::{Status, Streaming};

use super::{Error, Master, Patience, reference};

/// A job as it is now, and again after each change, until it has ended and its archive is done.
pub type Watch = Pin<Box<dyn Stream<Item = Result<wire::Job, Error>> + Send>>;

/// A log, piece by piece, without gaps or repetitions.
pub type Log = Pin<Box<dyn Stream<Item = Result<wire::LogChunk, Error>> + Send>>;

/// A stream of the master that is opened again after a failure.
struct Resumed<T> {
    master: Master,
    open: Option<Streaming<T>>,
    patience: Patience,
    /// How often it ended since something came.
    ends: u32,
}

pub fn watch(master: &Master, job: &str) -> Watch {
    let state = (Resumed::<wire::Job>::new(master), job.to_owned(), false);
    Box::pin(try_unfold(state, async |(mut resumed, job, done)| {
        if done {
            return Ok(None);
        }
        loop {
            let next = match &mut resumed.open {
                Some(open) => open.message().await,
                None => {
                    let mut jobs = resumed.master.jobs.clone();
                    let opened = resumed.master.unary(jobs.watch_job(reference(&job))).await;
                    resumed.opened(opened).await?;
                    continue;
                }
            };
            // The master ends the stream of a job that is done, and that of any when it ends itself.
            if let Some(now) = resumed.got(next).await? {
                let done = now.phase == "done";
                return Ok(Some((now, (resumed, job, done))));
            }
        }
    }))
}

/// `request.attempt` is 0 where later attempts are to follow.
pub fn log(master: &Master, request: wire::ReadLogRequest) -> Log {
    let state = (Resumed::<wire::LogChunk>::new(master), Place::new(request), false);
    Box::pin(try_unfold(state, async |(mut resumed, mut place, done)| {
        if done {
            return Ok(None);
        }
        loop {
            let next = match &mut resumed.open {
                Some(open) => open.message().await,
                None => {
                    let mut jobs = resumed.master.jobs.clone();
                    let opened = resumed.master.unary(jobs.read_log(place.request.clone())).await;
                    resumed.opened(opened).await?;
                    continue;
                }
            };
            let ended = matches!(next, Ok(None));
            if ended && (!place.request.follow || resumed.is_whole(&mut place, true).await?) {
                return Ok(None);
            }
            if let Some(chunk) = resumed.got(next).await? {
                if !chunk.notice.is_empty() {
                    resumed.patience.tell(&chunk.notice);
                    continue;
                }
                place.take(&resumed.master, &chunk).await;
                return Ok(Some((chunk, (resumed, place, false))));
            }
            if resumed.is_whole(&mut place, false).await? {
                return Ok(None);
            }
        }
    }))
}

/// Where in a log a stream is.
struct Place {
    /// Begins at the next byte.
    request: wire::ReadLogRequest,
    /// The attempt whose bytes these are; none before the first.
    attempt: Option<u64>,
}

impl Place {
    const fn new(request: wire::ReadLogRequest) -> Self {
        Self { request, attempt: None }
    }

    /// Behind a piece. One that lies before the last begins the log of another attempt.
    async fn take(&mut self, master: &Master, chunk: &wire::LogChunk) {
        let another = self.request.since_offset.is_some_and(|it| chunk.offset < it);
        if self.attempt.is_none() || another {
            // Not to be had at the moment means not before the stream breaks, which finds out.
            self.attempt = master.job(&self.request.job).await.ok().map(|it| it.attempt);
        }
        self.request.since_offset = Some(chunk.offset + chunk.data.len() as u64);
        self.request.since_ms = None;
        self.request.tail_lines = None;
    }
}

impl<T> Resumed<T> {
    fn new(master: &Master) -> Self {
        Self { master: master.clone(), open: None, patience: master.patience(), ends: 0 }
    }

    async fn opened(&mut self, opened: Result<Streaming<T>, Error>) -> Result<(), Error> {
        match opened {
            Ok(stream) => {
                self.open = Some(stream);
                Ok(())
            }
            Err(error) => self.patience.wait(error).await,
        }
    }

    /// `None` = the stream is over, and it is time to open it again.
    async fn got(&mut self, next: Result<Option<T>, Status>) -> Result<Option<T>, Error> {
        let status = match next {
            Ok(Some(item)) => {
                self.ends = 0;
                self.patience.recovered();
                return Ok(Some(item));
            }
            Ok(None) => Status::unavailable("it ended the stream"),
            Err(status) => status,
        };
        self.open = None;
        self.patience.wait(self.master.broken(&status)).await?;
        Ok(None)
    }
}

impl Resumed<wire::LogChunk> {
    /// Whether all of a log was read when its stream was over: a master that ends takes its streams with it.
    async fn is_whole(&mut self, place: &mut Place, ended: bool) -> Result<bool, Error> {
        self.ends += u32::from(ended);
        loop {
            let job = match self.master.job(&place.request.job).await {
                Ok(job) => job,
                Err(error) => {
                    self.patience.wait(error).await?;
                    continue;
                }
            };
            let all_of_it =
                job.log_bytes.is_some_and(|it| place.request.since_offset.unwrap_or(0) >= it);
            // Of a node that was lost while it archived, less is kept than there was.
            let all_there_is = job.phase == "done" && self.ends > 1;
            let same =
                place.request.attempt != 0 || place.attempt.is_none_or(|it| it == job.attempt);
            if !same {
                place.attempt = None;
                place.request.since_offset = None;
            }
            return Ok(same && (all_of_it || all_there_is));
        }
    }
}
