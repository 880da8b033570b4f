//! The source of jobs: each bundle once, however many jobs were submitted with it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::path::Path;

use atlas_core::BundleId;
use atlas_proto::wire;

use crate::connect::Master;
use crate::error::Error;
use crate::say::Say;
use crate::transfer::{Error as Wrong, Layout, digest};

/// The largest window that a bundle may have, as a power of two.
const WINDOW_LOG: u32 = 23;

pub async fn fetch(
    master: &Master,
    layout: &Layout,
    job: &wire::Job,
    say: Say,
) -> Result<(), Error> {
    let bundle = job.spec.as_ref().and_then(|it| it.bundle.as_ref());
    let name = bundle.map(|it| it.id.clone()).unwrap_or_default();
    let id: BundleId = name.parse().map_err(|why| Error::usage(format!("bundle: {why}")))?;
    let path = layout.bundle(id);
    if path.exists() {
        return Ok(());
    }
    let part = path.with_extension("part");
    let bar = say.bar("Fetching", 0);
    let mut patience = master.patience();
    while let Err(error) = append(master, &name, &part).await {
        match error {
            Error::Master(error) => patience.wait(error).await?,
            other => return Err(other),
        }
    }
    bar.finish_and_clear();
    let checked = part.clone();
    let found = tokio::task::spawn_blocking(move || hash(&checked)).await;
    match found.map_err(io::Error::other).and_then(|it| it) {
        Ok(found) if found == id => {
            fs::rename(&part, &path).map_err(Wrong::write(&path))?;
            Ok(())
        }
        other => {
            fs::remove_file(&part).map_err(Wrong::write(&part))?;
            let why = other.map_or_else(|it| it.to_string(), |it| format!("it is {it}"));
            let why = format!("what came is not this bundle ({why}); run the export again");
            Err(Wrong::wrong(&path, why).into())
        }
    }
}

/// The bytes that lack.
async fn append(master: &Master, name: &str, part: &Path) -> Result<(), Error> {
    let opened = OpenOptions::new().create(true).append(true).open(part);
    let mut file = opened.map_err(Wrong::write(part))?;
    let there = file.metadata().map_err(Wrong::write(part))?.len();
    let mut chunks = master.read_bundle(name.to_owned(), there).await?;
    while let Some(chunk) = chunks.message().await.map_err(|it| master.broken(&it))? {
        file.write_all(&chunk.data).map_err(Wrong::write(part))?;
    }
    Ok(())
}

fn hash(path: &Path) -> io::Result<BundleId> {
    let mut tar = zstd::Decoder::with_buffer(BufReader::new(File::open(path)?))?;
    tar.window_log_max(WINDOW_LOG)?;
    digest(tar).map(BundleId::from_sha256)
}
