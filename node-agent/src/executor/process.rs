//! Jobs as processes of this machine, each under the supervisor of a worker slot. It isolates nothing but files and signals.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use atlas_core::JobSpec;

use super::seats::{Seat, Seats};
use super::{Base, Error, Fate, Standing, Supervised};
use crate::logs::Prelude;
use crate::options::Settings;
use crate::paths::{AttemptId, Data, JobDir};
use crate::slot::{Event, Slot, end_orphans};
use crate::start::DEFAULT_PATH;
use crate::supervisor::StartedFile;

/// What a job gets of the agent's own environment.
const INHERITED: [&str; 4] = ["PATH", "LANG", "LC_ALL", "TZ"];

/// So many slots that are busy though nobody knows of their job are passed over.
const BUSY: usize = 64;

/// The slots of this node.
pub struct Process {
    supervisor: PathBuf,
    slots: PathBuf,
    /// Idle supervisors beyond this number are let go.
    most: usize,
    idle: Mutex<Vec<(Slot, Seat)>>,
    /// Slots whose supervisors may have jobs of this node, and that nobody here is connected to.
    strays: tokio::sync::Mutex<Vec<Seat>>,
    seats: Seats,
    env: BTreeMap<String, String>,
    python: Option<String>,
}

impl Process {
    pub fn new(settings: &Settings, data: &Data, slots: u32) -> Self {
        let mut env: BTreeMap<String, String> = INHERITED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        env.entry("LANG".into()).or_insert_with(|| "C.UTF-8".into());
        let path = env.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
        let python = python(path);
        Self {
            supervisor: settings.supervisor.clone(),
            slots: data.slots(),
            most: usize::try_from(slots).unwrap_or(usize::MAX),
            idle: Mutex::default(),
            strays: tokio::sync::Mutex::default(),
            seats: Seats::default(),
            python,
            env,
        }
    }

    /// The `atlas` that jobs are lent.
    pub(super) fn command(&self) -> Option<PathBuf> {
        super::command_beside(&self.supervisor)
    }

    /// What jobs are built on here; what they ask for in vain is said in their log.
    pub(super) fn base(&self, spec: &JobSpec, log: &mut Prelude) -> Result<Base, Error> {
        let without = without(spec);
        if !without.is_empty() {
            log.write(without.as_bytes())?;
        }
        let python = spec.worker.python.clone().or_else(|| self.python.clone());
        let key =
            python.as_deref().map(|it| interpreter(it, &self.env["PATH"])).unwrap_or_default();
        Ok(Base { env: self.env.clone(), python, key, ..Base::default() })
    }

    pub(super) async fn launch(&self, control: &Path) -> Result<Supervised, Error> {
        while let Some((slot, seat)) = self.take() {
            match hand_over(slot, seat, control).await {
                // It ended while it was idle, or is not as idle as it seemed.
                Err(Error::Gone | Error::Refused(_) | Error::Supervisor(_)) => {}
                done => return done,
            }
        }
        // A job that was ended may still be on its way out; its slot is not waited for.
        let mut busy = Vec::new();
        while busy.len() < BUSY {
            let seat = self.seats.take();
            match Slot::start(&self.folder(&seat), &self.supervisor).await {
                Ok(slot) if slot.job().is_none() => return hand_over(slot, seat, control).await,
                Ok(_) => {}
                // One that ends just now still has the slot.
                Err(_) if busy.is_empty() => {}
                Err(error) => return Err(error.into()),
            }
            busy.push(seat);
        }
        Err(Error::Refused(format!("{BUSY} supervisors do not let go of jobs that were ended")))
    }

    pub(super) async fn adopt(
        &self,
        dirs: &[(AttemptId, JobDir)],
    ) -> BTreeMap<AttemptId, Supervised> {
        let mut adopted = BTreeMap::new();
        for number in self.numbers() {
            let Some(seat) = self.seats.take_this(number) else { continue };
            let mut slot = match Slot::connect(&self.socket(&seat)).await {
                Ok(slot) => slot,
                // Its supervisor is gone; the next one of this number cleans up.
                Err(error) if error.is_absence() => continue,
                Err(_) => {
                    self.strays.lock().await.push(seat);
                    continue;
                }
            };
            let Some(control) = slot.job().map(Path::to_owned) else {
                self.keep(slot, seat);
                continue;
            };
            match dirs.iter().find(|(_, dir)| dir.control() == control) {
                Some((id, _)) => {
                    let seat = Some(seat);
                    adopted.insert(*id, Supervised { slot: Some(slot), first: None, seat });
                }
                None => {
                    let control = control.display();
                    tracing::warn!("a supervisor runs {control}, which was removed here: ended");
                    let _ = slot.kill().await; // one that does not hear it is gone
                }
            }
        }
        adopted
    }

    /// The supervisor of this job is not heard any more. It may be gone.
    pub(super) async fn lost(&self, supervised: Supervised) {
        self.strays.lock().await.extend(supervised.seat);
    }

    /// Whether a supervisor has the job of this directory. An error = one that may have it does not answer.
    pub(super) async fn look(&self, id: AttemptId, dir: &JobDir) -> Result<Standing, Error> {
        if let Some(supervised) = self.stray(&dir.control()).await? {
            return Ok(Standing::Runs(Box::new(supervised)));
        }
        // No supervisor has it: without one there is nobody to stop what is left of it when its lease ends.
        Ok(Standing::Gone(end(id, dir).await?))
    }

    async fn stray(&self, control: &Path) -> Result<Option<Supervised>, Error> {
        let mut strays = self.strays.lock().await;
        let (mut found, mut silence) = (None, None);
        for seat in std::mem::take(&mut *strays) {
            match Slot::connect(&self.socket(&seat)).await {
                Ok(slot) if slot.job() == Some(control) => {
                    found = Some(Supervised { slot: Some(slot), first: None, seat: Some(seat) });
                }
                Ok(slot) if slot.job().is_none() => self.keep(slot, seat),
                Ok(_) => strays.push(seat), // another one's
                Err(error) if error.is_absence() => {}
                Err(error) => {
                    silence = Some(error);
                    strays.push(seat);
                }
            }
        }
        match (found, silence) {
            (None, Some(silence)) => Err(silence.into()),
            (found, _) => Ok(found),
        }
    }

    /// A slot whose job has ended takes the next one.
    pub(super) fn give_back(&self, supervised: Supervised) {
        if let Supervised { slot: Some(slot), seat: Some(seat), .. } = supervised {
            self.keep(slot, seat);
        }
    }

    fn take(&self) -> Option<(Slot, Seat)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// One that is let go ends by itself after a while, or is taken again before.
    fn keep(&self, slot: Slot, seat: Seat) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.most {
            idle.push((slot, seat));
        }
    }

    fn folder(&self, seat: &Seat) -> PathBuf {
        self.slots.join(seat.number().to_string())
    }

    fn socket(&self, seat: &Seat) -> PathBuf {
        self.folder(seat).join("sock")
    }

    fn numbers(&self) -> Vec<u32> {
        let entries = fs::read_dir(&self.slots).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }
}

/// What a job asked for and does not get without a container.
fn without(spec: &JobSpec) -> String {
    let mut text = String::new();
    if let Some(image) = &spec.worker.image {
        text += &format!("WARNING: this node runs jobs as processes: image {image} is not used.\n");
    }
    let limits = [("--ram", spec.demand.memory > 0), ("--cpus", spec.demand.cpu_milli > 0)];
    let limits: Vec<&str> = limits.iter().filter(|it| it.1).map(|it| it.0).collect();
    if !limits.is_empty() {
        text += &format!(
            "WARNING: this node runs jobs as processes: {} counted, so that it is not given twice, but not enforced.\n",
            limits.join(" and ") + if limits.len() == 1 { " is" } else { " are" },
        );
    }
    text
}

/// Gives a slot its job and waits for the answer.
async fn hand_over(mut slot: Slot, seat: Seat, control: &Path) -> Result<Supervised, Error> {
    slot.run(control).await?;
    match slot.next().await {
        Event::Refused { message } => Err(Error::Refused(message)),
        Event::Lost => Err(Error::Gone),
        first => Ok(Supervised { slot: Some(slot), first: Some(first), seat: Some(seat) }),
    }
}

/// Ends what is left of a job whose supervisor is no use.
pub(super) async fn end(id: AttemptId, dir: &JobDir) -> Result<Fate, Error> {
    let control = dir.control();
    let ended = tokio::task::spawn_blocking(move || {
        // Without a readable file the job's processes are known by their environment alone.
        let started = StartedFile::read(&control).ok().flatten();
        end_orphans(id, started.as_ref()).map_err(Error::Look)
    });
    match ended.await {
        Ok(Ok(0)) => Ok(Fate { message: "its supervisor is gone".into(), out_of_memory: false }),
        Ok(Ok(count)) => Err(Error::Ending(count)),
        Ok(Err(error)) => Err(error),
        // The agent shuts down.
        Err(_) => Err(Error::Gone),
    }
}

/// What packages are installed for: the very file that a name means now.
fn interpreter(python: &str, path: &str) -> String {
    let found = std::env::split_paths(path).map(|it| it.join(python)).find(|it| it.exists());
    let file = found.unwrap_or_else(|| python.into());
    let file = file.canonicalize().unwrap_or(file);
    let modified = file.metadata().map(|it| it.mtime()).unwrap_or_default();
    format!("{} {modified}", file.display())
}

/// The first `python` on the path, else the first `python3`.
fn python(path: &str) -> Option<String> {
    let executable = |file: &PathBuf| {
        file.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    ["python", "python3"].into_iter().find_map(|name| {
        let found = std::env::split_paths(path).map(|folder| folder.join(name)).find(executable)?;
        found.to_str().map(|_| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_does_not_get_is_said() {
        let mut spec = crate::tests::spec();
        (spec.worker.image, spec.demand.memory, spec.demand.cpu_milli) = (None, 0, 0);
        assert_eq!(without(&spec), "");
        spec.worker.image = Some("torch:2".into());
        spec.demand.memory = 1;
        let text = without(&spec);
        assert!(text.contains("image torch:2 is not used") && text.contains("--ram is"), "{text}");
        spec.demand.cpu_milli = 1;
        assert!(without(&spec).contains("--ram and --cpus are"));
    }

    #[test]
    fn python_comes_before_python3_wherever_it_lies() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let path = format!("{}:{}", first.path().display(), second.path().display());
        assert_eq!(python(&path), None);
        let install = |folder: &tempfile::TempDir, name| {
            let file = folder.path().join(name);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        };
        install(&first, "python3");
        assert_eq!(python(&path).as_deref(), Some("python3"));
        install(&second, "python");
        assert_eq!(python(&path).as_deref(), Some("python"));
    }
}
