//! What a job with GPUs runs on, as the first line of its spool: whoever wants the same numbers again has to know it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::Path;

use atlas_core::GpuId;
use atlas_core::resources::Gpu;
use atlas_core::run::{Entry, Event, Scalar, Value};

use crate::options::JobUser;

/// The GPUs of this machine and their driver.
#[derive(Debug, Default)]
pub struct Machine {
    pub gpus: Vec<Gpu>,
    pub driver: Option<String>,
}

impl Machine {
    /// Begins the spool of a job that was given these; a spool that was begun stays as it is.
    pub fn tell(&self, given: &[GpuId], spool: &Path, user: &JobUser) -> io::Result<()> {
        if given.is_empty() {
            return Ok(());
        }
        let line = serde_json::to_string(&self.entry(given))? + "\n";
        let mut file = match File::options().append(true).create_new(true).mode(0o644).open(spool) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            opened => opened?,
        };
        if !user.is_this_process() {
            fchown(&file, Some(user.uid), Some(user.gid))?;
        }
        file.write_all(line.as_bytes())
    }

    fn entry(&self, given: &[GpuId]) -> Entry<'static> {
        let text = |it: &str| Value::from(Scalar::Text(it.to_owned()));
        let gpu = |id: &GpuId| {
            let model = self.gpus.iter().find(|it| it.id == *id).map(|it| text(&it.model));
            let fields = [("id", Some(text(id.as_str()))), ("model", model)];
            map(fields)
        };
        let gpus = Value::List(given.iter().map(gpu).collect());
        let machine = map([("gpus", Some(gpus)), ("driver", self.driver.as_deref().map(text))]);
        Entry { at: None, event: Event::Facts(map([("machine", Some(machine))])) }
    }
}

fn map<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    Value::Map(fields.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?))).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_job_with_gpus_begins_with_what_it_was_given_and_one_without_with_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("events");
        let gpu = |id: &str, model: &str| Gpu {
            id: id.parse().unwrap(),
            index: 0,
            model: model.into(),
            memory: 1,
        };
        let machine = Machine {
            gpus: vec![gpu("GPU-1", "NVIDIA H200"), gpu("GPU-2", "NVIDIA L4")],
            driver: Some("550.54.15".into()),
        };
        let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
        let this = JobUser { uid: uid.as_raw(), gid: gid.as_raw(), groups: Vec::new() };
        machine.tell(&[], &spool, &this).unwrap();
        assert!(!spool.exists());
        for _ in 0..2 {
            machine.tell(&["GPU-2".parse().unwrap()], &spool, &this).unwrap();
        }
        let expected = r#"{"e":"facts","value":{"machine":{"driver":"550.54.15","gpus":[{"id":"GPU-2","model":"NVIDIA L4"}]}}}"#;
        assert_eq!(fs::read_to_string(&spool).unwrap(), format!("{expected}\n"));
    }
}
