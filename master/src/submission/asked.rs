//! All that can be asked for, wherever it was said, and its way into a job's spec.

use std::collections::BTreeMap;

use atlas_core::spec::{Bundle, Digest, Git, Outputs, Pull, Volume, Worker};
use atlas_core::{Demand, JobSpec, ProjectName};
use atlas_runtime::config::nearest;

use super::given::{Given, Invalid, shown};
use super::{params, parse, quantity, secrets, text, volume, words};

/// Not checked yet; absent = not said.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub project: Option<Given<String>>,
    pub name: Option<Given<String>>,
    pub note: Option<Given<String>>,
    pub tags: Vec<Given<(String, String)>>,
    pub log_level: Option<Given<String>>,
    pub command: Option<Given<Vec<String>>>,
    pub entrypoint: Option<Given<Vec<String>>>,
    pub num_gpus: Option<Given<String>>,
    pub cpus: Option<Given<String>>,
    pub ram: Option<Given<String>>,
    pub shm: Option<Given<String>>,
    pub time_limit: Option<Given<String>>,
    pub image: Option<Given<String>>,
    pub pull: Option<Given<String>>,
    pub python: Option<Given<String>>,
    pub working_dir: Option<Given<String>>,
    pub env: Vec<Given<(String, String)>>,
    pub volumes: Vec<Given<volume::Asked>>,
    /// Names.
    pub secrets: Vec<Given<String>>,
    pub params: Option<Given<String>>,
    pub exclude: Vec<Given<String>>,
    pub max_gb: Option<Given<String>>,
    pub wait_for_capacity: bool,
    pub fresh_requirements: bool,
}

/// What is not the user's to choose.
pub struct Frame {
    pub user: String,
    pub bundle: Bundle,
    /// The project, if nothing else names one.
    pub dir_name: String,
    pub git: Option<Git>,
}

pub(super) const TAGS: usize = 64;
const VARIABLES: usize = 1000;
/// Bytes of all variables.
const ENVIRONMENT: usize = 512 * 1024;
const VOLUMES: usize = 64;
const PATTERNS: usize = 256;

impl Asked {
    /// What is said here wins; of tags, environment and volumes, name by name.
    pub fn over(self, below: Self) -> Self {
        let mut volumes = below.volumes;
        volumes.retain(|it| !self.volumes.iter().any(|mine| same_place(mine, it)));
        volumes.extend(self.volumes);
        Self {
            project: self.project.or(below.project),
            name: self.name.or(below.name),
            note: self.note.or(below.note),
            tags: [below.tags, self.tags].concat(),
            log_level: self.log_level.or(below.log_level),
            command: self.command.or(below.command),
            entrypoint: self.entrypoint.or(below.entrypoint),
            num_gpus: self.num_gpus.or(below.num_gpus),
            cpus: self.cpus.or(below.cpus),
            ram: self.ram.or(below.ram),
            shm: self.shm.or(below.shm),
            time_limit: self.time_limit.or(below.time_limit),
            image: self.image.or(below.image),
            pull: self.pull.or(below.pull),
            python: self.python.or(below.python),
            working_dir: self.working_dir.or(below.working_dir),
            env: [below.env, self.env].concat(),
            volumes,
            secrets: [below.secrets, self.secrets].concat(),
            params: self.params.or(below.params),
            exclude: [below.exclude, self.exclude].concat(),
            max_gb: self.max_gb.or(below.max_gb),
            wait_for_capacity: self.wait_for_capacity || below.wait_for_capacity,
            fresh_requirements: self.fresh_requirements || below.fresh_requirements,
        }
    }

    /// Checks everything.
    pub fn build(self, frame: Frame) -> Result<JobSpec, Invalid> {
        let Frame { user, bundle, dir_name, git } = frame;
        let optional = |it: &Option<_>, check: fn(&_) -> _| it.as_ref().map(check).transpose();
        let command = self.command.as_ref().ok_or_else(|| {
            Invalid::new("command", "No command was specified: what is to run, such as main.py?")
        })?;
        words::check(command)?;
        if let Some(entrypoint) = &self.entrypoint {
            words::check(entrypoint)?;
        }
        let demand = Demand {
            gpus: self.num_gpus.as_ref().map_or(Ok(0), quantity::gpus)?,
            cpu_milli: self.cpus.as_ref().map_or(Ok(0), quantity::cpus)?,
            memory: self.ram.as_ref().map_or(Ok(0), quantity::ram)?,
        };
        Ok(JobSpec {
            project: self.project(&dir_name)?,
            user,
            name: optional(&self.name, text::name)?,
            tags: self.tags()?,
            note: optional(&self.note, text::note)?.unwrap_or_default(),
            bundle,
            demand,
            shm: self.shm.as_ref().map(quantity::shm).transpose()?,
            time_limit: self.time_limit.as_ref().map(quantity::time_limit).transpose()?,
            worker: self.worker()?,
            params: optional(&self.params, params::check)?,
            outputs: self.outputs()?,
            wait_for_capacity: self.wait_for_capacity,
            fresh_requirements: self.fresh_requirements,
            git,
            rerun: None,
            outside: None,
            traceparent: None,
            command: command.value.clone(),
            entrypoint: self.entrypoint.map(|it| it.value),
        })
    }

    fn project(&self, dir_name: &str) -> Result<ProjectName, Invalid> {
        match &self.project {
            Some(name) => parse(name),
            None => dir_name.parse().map_err(|error: atlas_core::id::Invalid| {
                let why = format!(
                    "the job directory's name cannot be the project's: {error}; choose another"
                );
                Invalid::new("project", why)
            }),
        }
    }

    fn tags(&self) -> Result<BTreeMap<String, String>, Invalid> {
        self.tags.iter().try_for_each(text::tag)?;
        let tags: BTreeMap<_, _> = self.tags.iter().map(|it| it.value.clone()).collect();
        match self.tags.last() {
            Some(last) if tags.len() > TAGS => {
                Err(last.refuse(format!("{} tags are more than {TAGS}", tags.len())))
            }
            _ => Ok(tags),
        }
    }

    pub(super) fn worker(&self) -> Result<Worker, Invalid> {
        Ok(Worker {
            image: self.image.as_ref().map(text::image).transpose()?,
            pull: self.pull.as_ref().map_or(Ok(Pull::default()), pull)?,
            env: self.environment()?,
            volumes: self.volumes()?,
            python: self.python.as_ref().map(|it| text::bounded(it, 4095)).transpose()?,
            working_dir: self.working_dir.as_ref().map(volume::path).transpose()?,
            secrets: secrets::names(&self.secrets, &self.env)?
                .into_iter()
                .map(|name| (name, Digest::default()))
                .collect(),
        })
    }

    fn environment(&self) -> Result<BTreeMap<String, String>, Invalid> {
        self.env.iter().try_for_each(text::variable)?;
        let mut env: BTreeMap<_, _> = self.env.iter().map(|it| it.value.clone()).collect();
        if let Some(level) = &self.log_level {
            env.entry("FOUNDATIONS_LOG_LEVEL".into()).or_insert(log_level(level)?);
        }
        let bytes: usize = env.iter().map(|(name, value)| name.len() + value.len()).sum();
        match self.env.last() {
            Some(last) if env.len() > VARIABLES || bytes > ENVIRONMENT => {
                let why = format!(
                    "the environment has more than {VARIABLES} variables or {ENVIRONMENT} bytes"
                );
                Err(last.refuse(why))
            }
            _ => Ok(env),
        }
    }

    fn volumes(&self) -> Result<Vec<Volume>, Invalid> {
        let mut volumes: Vec<Volume> = Vec::new();
        for given in &self.volumes {
            let volume = volume::check(given)?;
            if let Some(first) = volumes.iter().find(|it| it.bind == volume.bind) {
                let why =
                    format!("{} and {} are both bound to {}", first.host, volume.host, volume.bind);
                return Err(given.refuse(why));
            }
            if volumes.len() == VOLUMES {
                return Err(given.refuse(format!("more than {VOLUMES} volumes")));
            }
            volumes.push(volume);
        }
        Ok(volumes)
    }

    pub(super) fn outputs(&self) -> Result<Outputs, Invalid> {
        let pattern = |it: &Given<String>| text::bounded(it, 1024);
        let exclude = self.exclude.iter().map(pattern).collect::<Result<Vec<_>, _>>()?;
        if exclude.len() > PATTERNS {
            return Err(self.exclude[PATTERNS].refuse(format!("more than {PATTERNS} patterns")));
        }
        Ok(Outputs { exclude, max_bytes: self.max_gb.as_ref().map(quantity::output).transpose()? })
    }
}

/// Whether both are bound to the same path; one that is no path is found out later.
fn same_place(one: &Given<volume::Asked>, other: &Given<volume::Asked>) -> bool {
    let bind = |it: &Given<volume::Asked>| volume::path(&it.with(it.value.bind.clone()));
    match (bind(one), bind(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn pull(given: &Given<String>) -> Result<Pull, Invalid> {
    match given.value.as_str() {
        "missing" => Ok(Pull::Missing),
        "always" => Ok(Pull::Always),
        "never" => Ok(Pull::Never),
        other => {
            Err(given.refuse(format!("{} is not one of missing, always, never", shown(other))))
        }
    }
}

/// Of the `foundations` package inside the job.
fn log_level(given: &Given<String>) -> Result<String, Invalid> {
    const LEVELS: [&str; 5] = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
    let level = given.value.to_ascii_uppercase();
    if LEVELS.contains(&level.as_str()) {
        return Ok(level);
    }
    let hint = match nearest(&level, LEVELS) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("known are {}", LEVELS.join(", ")),
    };
    Err(given.refuse(format!("{} is not a level of logging; {hint}", shown(&given.value))))
}
