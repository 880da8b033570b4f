//! What jobs tell of themselves: taken in from nodes, and read.

use std::sync::Arc;

use atlas_core::run::limits::LINE;
use atlas_core::{JobId, Run};
use atlas_proto::convert::ship::Holder;
use bytes::Bytes;

use super::{Error, Service};
use crate::store::StoredJob;
use crate::tracker::{Files, Piece, Sample, Taken, WANTED, envelope, series};

/// The most bytes of one piece of a spool; a line fits.
const PIECE: usize = 1 << 20;
const _: () = assert!(PIECE > LINE);

/// The points of a metric from one rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    pub rank: u32,
    /// How many there are, of which those below may be a part.
    pub total: usize,
    /// In the order of their steps.
    pub samples: Vec<Sample>,
}

impl Service {
    /// Takes in a piece of the spool of an attempt that the node has or had.
    pub async fn append_spool(
        &self,
        holder: &Holder,
        offset: u64,
        data: Bytes,
        last: bool,
        files: Files,
    ) -> Result<Taken, Error> {
        if files.kept.len() + files.missing.len() > WANTED {
            let why = format!("are more than the {WANTED} that were asked for");
            return Err(Error::invalid("kept", why));
        }
        let job = self.held(holder).await?;
        let end = offset.saturating_add(data.len() as u64);
        if let Some(ended) = job.status.state.end()
            && job.status.attempt == holder.attempt
            && end > ended.spool_length
        {
            let announced = ended.spool_length;
            let why = format!("ends at byte {end}, and {announced} bytes were announced");
            return Err(Error::invalid("data", why));
        }
        let Holder { job, attempt, .. } = *holder;
        self.take_in(Piece { job, attempt, offset, data, last, files: Some(files) }).await
    }

    /// Of whom it is was looked at.
    pub(super) async fn take_in(&self, piece: Piece) -> Result<Taken, Error> {
        if piece.data.len() > PIECE {
            let why = format!("has {} bytes; {PIECE} are the most", piece.data.len());
            return Err(Error::invalid("data", why));
        }
        Ok(self.tracker.take_in(piece).await?)
    }

    /// A job and what it has told of itself.
    pub async fn run(&self, job: &str) -> Result<(StoredJob, Arc<Run>), Error> {
        let job = self.find(job).await?;
        let run = self.store.run(job.id).await?.unwrap_or_default();
        Ok((job, run))
    }

    /// The points of a metric that count: from the lowest rank that logged it unless another one is asked for; at most `points` of
    /// them, among which no least and no greatest is lost, unless there is none.
    pub async fn series(
        &self,
        job: &str,
        key: &str,
        rank: Option<u32>,
        points: Option<usize>,
    ) -> Result<Series, Error> {
        let (job, mut run) = self.run(job).await?;
        let unknown = || Error::NoSuchMetric { job: job.id, key: key.to_owned(), rank };
        let rank = match rank {
            Some(rank) => rank,
            None => run.metrics.get(key).map(|it| it.rank).ok_or_else(unknown)?,
        };
        let has = |it: &atlas_core::run::Spool| it.points.get(key)?.get(&rank).copied();
        if run.attempts.values().find_map(has).is_none() {
            return Err(unknown());
        }
        loop {
            let read = self.read_series(job.id, run.clone(), key.to_owned(), rank, points).await;
            let Err(error) = read else { return read };
            // They may have been moved into a table, and their segments removed: since the run was looked at, or before its store was
            // put back from a copy.
            let mut now = self.store.run(job.id).await?.unwrap_or_default();
            if now.table == run.table && self.tracker.compact(job.id).await.is_ok() {
                now = self.store.run(job.id).await?.unwrap_or_default();
            }
            if now.table == run.table {
                return Err(error);
            }
            run = now;
        }
    }

    async fn read_series(
        &self,
        job: JobId,
        run: Arc<Run>,
        key: String,
        rank: u32,
        points: Option<usize>,
    ) -> Result<Series, Error> {
        let archive = self.archive.clone();
        let read = move || {
            let samples = series::read(&archive, job, &run, &key, rank)?;
            let total = samples.len();
            let samples = match points {
                Some(points) => envelope(samples, points),
                None => samples,
            };
            Ok(Series { rank, total, samples })
        };
        let read = self.storage.series.run(read).await;
        let read = read.map_err(|it| Error::Unavailable(it.to_string()))?;
        read.map_err(Error::io("read the points of the metric"))
    }
}
