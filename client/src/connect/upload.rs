//! A bundle on its way to the master: in pieces, and again from where it was when the connection broke.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use atlas_proto::wire::{UploadBundleRequest, UploadStart, upload_bundle_request::Part};
use atlas_proto::{CHUNK, wire};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use indicatif::ProgressBar;

use super::{Error, Master, Patience};
use crate::bundle::Packed;

/// Sends a packed bundle unless the master knows it. Returns whether anything travelled.
pub async fn upload(
    master: &Master,
    file: File,
    packed: &Packed,
    bar: &ProgressBar,
) -> Result<bool, Error> {
    let file = Arc::new(file);
    let (bundle, upload) = (packed.bundle.id.to_string(), uuid::Uuid::new_v4().to_string());
    let mut patience = Patience::long(&master.link);
    let mut before = None;
    loop {
        let request = wire::FindBundleRequest {
            bundle: bundle.clone(),
            upload: upload.clone(),
            bytes: packed.size,
        };
        let mut jobs = master.jobs.clone();
        let offset = match master.unary(jobs.find_bundle(request)).await {
            Ok(wire::FindBundleReply { known: true, .. }) => return Ok(before.is_some()),
            Ok(wire::FindBundleReply { offset, .. }) => offset,
            Err(error) => {
                patience.wait(error).await?;
                continue;
            }
        };
        // As long as some of it arrives each time, it goes on.
        if before.is_none_or(|it| offset > it) {
            patience.recovered();
        }
        before = Some(offset);
        bar.set_position(offset);
        let start = UploadStart {
            bundle: bundle.clone(),
            upload: upload.clone(),
            offset,
            bytes: packed.size,
        };
        let failed = Arc::default();
        let pieces = pieces(file.clone(), start, bar.clone(), Arc::clone(&failed));
        match jobs.upload_bundle(pieces).await {
            Ok(_) => {
                patience.recovered();
                return Ok(true);
            }
            Err(status) => {
                if let Some(source) = taken(&failed) {
                    return Err(Error::Bundle { source });
                }
                patience.wait(master.broken(&status)).await?;
            }
        }
    }
}

/// Why the file could not be read; a stream of requests has no place for it.
type Failed = Arc<Mutex<Option<io::Error>>>;

fn taken(failed: &Failed) -> Option<io::Error> {
    failed.lock().expect("nobody panics while holding it").take()
}

fn pieces(
    file: Arc<File>,
    start: UploadStart,
    bar: ProgressBar,
    failed: Failed,
) -> impl Stream<Item = UploadBundleRequest> + Send + 'static {
    let (from, end) = (start.offset, start.bytes);
    let first = UploadBundleRequest { part: Some(Part::Start(start)) };
    let rest = stream::unfold(from, move |offset| {
        let (file, bar, failed) = (file.clone(), bar.clone(), failed.clone());
        async move {
            if offset >= end {
                return None;
            }
            match piece(file, offset, end).await {
                Ok(data) => {
                    bar.inc(data.len() as u64);
                    let next = offset + data.len() as u64;
                    Some((UploadBundleRequest { part: Some(Part::Data(data)) }, next))
                }
                Err(error) => {
                    *failed.lock().expect("nobody panics while holding it") = Some(error);
                    None
                }
            }
        }
    });
    stream::once(async { first }).chain(rest)
}

async fn piece(file: Arc<File>, offset: u64, end: u64) -> io::Result<Bytes> {
    let length = usize::try_from(end - offset).unwrap_or(CHUNK).min(CHUNK);
    let read = tokio::task::spawn_blocking(move || {
        let mut data = vec![0; length];
        file.read_exact_at(&mut data, offset)?;
        Ok(Bytes::from(data))
    });
    read.await.map_err(io::Error::other)?
}
