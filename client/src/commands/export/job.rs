//! One job of an export.

use std::fs;
use std::path::Path;

use atlas_core::JobId;
use atlas_proto::wire;

use crate::commands::get_job::Fetch;
use crate::connect::Master;
use crate::error::Error;
use crate::say::Say;
use crate::transfer::{Error as Wrong, Layout, Manifest, write_json, write_text};

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
    for source in &kept {
        let fetch = Fetch { master, id: &name, source, into: &files, say };
        fetch.all().await?;
    }
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

/// Under a name that does not say which master wrote it.
fn put_points(folder: &Path, points: &str) -> Result<(), Error> {
    let came = folder.join(points);
    fs::rename(&came, folder.join("points.parquet")).map_err(Wrong::write(&came))?;
    let left = came.parent().unwrap_or(folder);
    fs::remove_dir(left).map_err(Wrong::write(left))?;
    Ok(())
}
