//! Moves files of finished jobs out of the way, one job after the other.

use std::io;
use std::sync::Arc;

use atlas_core::cluster::{Input, Trash};
use atlas_core::{Epoch, JobId};
use tokio::sync::mpsc;
use tokio::task::JoinError;

use crate::archive::WRITTEN;
use crate::service::Service;

/// Until nobody is left to ask for it.
pub async fn run(
    mut jobs: mpsc::UnboundedReceiver<(JobId, Trash)>,
    service: Arc<Service>,
    epoch: Epoch,
) {
    while let Some((job, what)) = jobs.recv().await {
        let moved = match what {
            Trash::Everything => everything(&service, job, epoch).await,
            Trash::Outputs => written(&service, job, epoch).await,
        };
        match moved {
            Ok(Ok(())) => {
                service.measured.forget(job);
                // Only a master that stops does not hear of it; the next one does it again.
                drop(service.reactor.tell(Input::Trashed { job, what }).await);
            }
            // It stays marked, and is tried again after a restart or by the next request.
            Ok(Err(error)) => {
                tracing::error!(job.id = %job, "could not move the files of {job} to the trash: {error}");
            }
            Err(error) => tracing::error!("moving the files of {job} broke off: {error}"),
        }
    }
}

async fn everything(
    service: &Service,
    job: JobId,
    epoch: Epoch,
) -> Result<io::Result<()>, JoinError> {
    service.tracker.forget(job).await;
    let archive = service.archive.clone();
    tokio::task::spawn_blocking(move || archive.trash(job, epoch)).await
}

/// Whoever still writes there ends first, and who comes later is told that the job has ended.
async fn written(service: &Service, job: JobId, epoch: Epoch) -> Result<io::Result<()>, JoinError> {
    let mut alone = Vec::new();
    for folder in WRITTEN {
        alone.push(service.alone_in(&service.archive.job(job).join(folder)).await);
    }
    let archive = service.archive.clone();
    let moving = move || {
        let _alone = alone; // also when nobody waits for the work any more
        archive.trash_written(job, epoch)
    };
    tokio::task::spawn_blocking(moving).await
}
