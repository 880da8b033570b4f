//! The spool of the job that this command runs in: `docs/using/spool-format.md`. Python writes the same lines
//! (`foundations._spool`), and tests there compare both.

mod artifact;
mod limits;
mod value;

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use atlas_core::Timestamp;
use atlas_core::run::{Entry, Event, Scalar};

use crate::say::Say;

/// Set by whoever starts a job.
const VARIABLE: &str = "ATLAS_SPOOL";
/// Which of the processes of one launch this is, for torchrun, Open MPI, MPICH and srun; the first that is set counts.
const RANKS: [&str; 4] = ["RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"];

/// Why something could not be logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("this is not run by a job or script of Atlas: {VARIABLE} is not set")]
    Nowhere,
    #[error("could not write to {}: it is lost", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is neither a file nor a folder", .0.display())]
    NoFile(PathBuf),
}

impl Error {
    /// The file that was named is not there.
    pub fn is_about_what_was_named(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Where the events of this job go.
pub struct Spool {
    path: PathBuf,
    /// False = whoever started this asked for no tracking.
    is_wanted: bool,
    say: Say,
}

impl Spool {
    pub fn of_this_job(say: Say) -> Result<Self, Error> {
        let path = env::var_os(VARIABLE).filter(|it| !it.is_empty()).ok_or(Error::Nowhere)?;
        let says = |name: &str, words: &[&str]| {
            env::var(name).is_ok_and(|it| words.contains(&it.to_ascii_lowercase().as_str()))
        };
        let is_off =
            says("ATLAS_TRACKING", &["0"]) || says("FOUNDATIONS_COMMAND_LINE", &["true", "1"]);
        Ok(Self { path: path.into(), is_wanted: !is_off, say })
    }

    pub fn metric(&self, key: &str, text: &str, step: Option<u64>) -> Result<(), Error> {
        if !self.is_key("metric", key)? {
            return Ok(());
        }
        let value = match value::number(text) {
            Ok(Scalar::Text(text)) => Scalar::Text(self.cut(key, text)?),
            Ok(value) => value,
            Err(why) => return self.refuse(key, why, &format!("a point of `{key}` was left out")),
        };
        self.tell(Event::Metric { key: key.into(), value, step, rank: rank() })
    }

    pub fn param(&self, key: &str, text: &str) -> Result<(), Error> {
        let left_out = || format!("the parameter `{}` was left out", limits::short(key));
        if !self.is_key("parameter", key)? {
            return Ok(());
        }
        match value::json(text).and_then(limits::param) {
            Ok(value) => self.tell(Event::Param { key: key.into(), value }),
            Err(why) => self.refuse(key, why, &left_out()),
        }
    }

    pub fn tag(&self, key: &str, value: &str) -> Result<(), Error> {
        if !self.is_key("tag", key)? {
            return Ok(());
        }
        match limits::text(value) {
            Ok(value) => self.tell(Event::Tag { key: key.into(), value }),
            Err(why) => {
                let what = format!("the value of `{}` was left out", limits::short(key));
                self.refuse(key, why, &what)
            }
        }
    }

    /// Keeps a copy of a file or folder as it is now. `key` is its own name where none is given.
    pub fn artifact(&self, path: &Path, key: Option<&str>) -> Result<(), Error> {
        let source = artifact::Source::of(path)?;
        let key = key.unwrap_or(&source.name);
        if !self.is_key("artifact", key)? || !self.is_wanted {
            return Ok(());
        }
        let files = self.path.parent().unwrap_or_else(|| Path::new("")).join("files");
        let copy = artifact::keep(&source, &files, self.say)?;
        let (path, bytes, folder) = (copy.path, copy.bytes, source.is_folder);
        self.tell(Event::Artifact { key: key.into(), path, bytes, folder })
    }

    fn is_key(&self, kind: &str, key: &str) -> Result<bool, Error> {
        let Err(why) = limits::key(key) else { return Ok(true) };
        self.refuse(key, why, &format!("the {kind} `{}` was left out", limits::short(key)))?;
        Ok(false)
    }

    fn cut(&self, key: &str, mut text: String) -> Result<String, Error> {
        let most = atlas_core::run::limits::METRIC_TEXT;
        if text.len() > most {
            let what = format!("a text of `{key}` was cut to {most} bytes");
            self.refuse(key, "a text was cut".into(), &what)?;
            text.truncate(text.floor_char_boundary(most));
        }
        Ok(text)
    }

    /// `why` is what the run shows; `what` tells people what was left out.
    fn refuse(&self, key: &str, why: String, what: &str) -> Result<(), Error> {
        self.say.warn(format_args!("{what}: {why}. It is counted on the run"));
        let key = limits::short(key).into();
        self.tell(Event::Dropped { key, why: why.into(), count: 1 })
    }

    /// One write of whole lines: the kernel puts those of other processes before or behind it.
    fn tell(&self, event: Event<'_>) -> Result<(), Error> {
        if !self.is_wanted {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(now.as_millis()).ok().map(Timestamp);
        let mut line = serde_json::to_string(&Entry { at, event }).expect("it has text for keys");
        line.push('\n');
        let failed = |source| Error::Write { path: self.path.clone(), source };
        let mut file =
            fs::OpenOptions::new().append(true).create(true).open(&self.path).map_err(failed)?;
        append(&mut file, line.as_bytes()).map_err(failed)
    }
}

/// What was torn is said again as a whole: somebody else's lines may follow it by now.
fn append(file: &mut File, line: &[u8]) -> io::Result<()> {
    let again = [b"\n", line].concat();
    let mut next = line;
    loop {
        match file.write(next) {
            Ok(written) if written == next.len() => return Ok(()),
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => next = &again,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn rank() -> u32 {
    let read = |name: &&str| {
        let text = env::var(name).ok()?;
        let is_rank = text.len() < 9 && text.bytes().all(|it| it.is_ascii_digit());
        if is_rank { text.parse().ok() } else { None }
    };
    RANKS.iter().find_map(read).unwrap_or(0)
}
