//! One job of an export.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use atlas_core::JobId;
use atlas_proto::wire;
use atlas_runtime::process::remove_all;

use crate::commands::get_job::Fetch;
use crate::connect::Master;
use crate::error::Error;
use crate::fetch::may_be_part;
use crate::say::Say;
use crate::transfer::{Error as Wrong, Layout, Manifest, everything, write_json, write_text};

/// Writes what is not there yet; job.json last, with which the job is in the export. Returns whether anything was written.
pub async fn fetch(master: &Master, layout: &Layout, id: JobId, say: Say) -> Result<bool, Error> {
    let wire::ExportJobReply { job_json, points, kept } =
        master.export_job(&id.to_string()).await?;
    let folder = layout.job(id);
    let of_itself = folder.join("job.json");
    if fs::read(&of_itself).is_ok_and(|it| it == job_json.as_bytes()) {
        return Ok(false);
    }
    let name = id.to_string();
    let files = folder.join("files");
    if !of_itself.exists() {
        forget(&files, &kept)?;
    }
    for source in &kept {
        let fetch = Fetch { master, id: &name, source, into: &files, say };
        fetch.all().await?;
    }
    tidy(master, &name, &kept, &files).await?;
    if !points.is_empty() {
        let fetch = Fetch { master, id: &name, source: &points, into: &folder, say };
        fetch.all().await?;
        put_points(&folder, &points)?;
    }
    fs::create_dir_all(&folder).map_err(Wrong::write(&folder))?;
    let manifest = Manifest::of(&folder)?;
    write_json(&folder.join("files.json"), &manifest)?;
    write_text(&of_itself, &job_json)?;
    Ok(true)
}

/// Removes what an export that was cut has left of what the job has lost since.
fn forget(files: &Path, kept: &[String]) -> Result<(), Error> {
    let there = match fs::read_dir(files) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        there => there.map_err(Wrong::read(files))?,
    };
    for entry in there {
        let path = entry.map_err(Wrong::read(files))?.path();
        if !kept.iter().any(|it| path.ends_with(it)) {
            remove_all(&path).map_err(io::Error::other).map_err(Wrong::write(&path))?;
        }
    }
    Ok(())
}

/// Removes what an export that was cut has left half-written.
async fn tidy(master: &Master, id: &str, kept: &[String], files: &Path) -> Result<(), Error> {
    let mut parts = everything(files)?;
    parts.retain(|it| it.path.file_name().is_some_and(may_be_part));
    if parts.is_empty() {
        return Ok(());
    }
    let mut of_job = BTreeSet::new();
    for source in kept {
        let mut entries = master.list_files(id, source).await?;
        while let Some(entry) = entries.message().await.map_err(|it| master.broken(&it))? {
            of_job.insert(entry.path);
        }
    }
    for part in parts.iter().filter(|it| !of_job.contains(&*it.path.to_string_lossy())) {
        let path = files.join(&part.path);
        fs::remove_file(&path).map_err(Wrong::write(&path))?;
    }
    Ok(())
}

/// Under a name that does not say which master wrote it.
fn put_points(folder: &Path, points: &str) -> Result<(), Error> {
    let came = folder.join(points);
    fs::rename(&came, folder.join("points.parquet")).map_err(Wrong::write(&came))?;
    let left = came.parent().unwrap_or(folder);
    fs::remove_dir(left).map_err(Wrong::write(left))?;
    Ok(())
}
