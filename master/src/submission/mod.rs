//! From what a user typed or wrote to a job whose values hold. What the command line or the SDK says wins over job.config.yaml,
//! which wins over the default; either way it is checked here, so that every client says the same about a mistake.

mod asked;
pub mod brought;
pub mod diff;
mod file;
mod flags;
mod given;
mod params;
mod quantity;
mod rerun;
mod secrets;
mod text;
mod volume;
mod words;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use atlas_core::spec::{Bundle, Git, Outside};
use atlas_core::{BundleId, Identity, JobId, JobSpec};
use atlas_proto::wire;
use atlas_runtime::clock::Wall;
use atlas_runtime::config::Secret;

use asked::Asked;
use diff::Changes;
use given::Given;
pub use given::Invalid;
pub use rerun::rerun;

/// A clock of a user's machine that is so far ahead is wrong.
const AHEAD_MS: u64 = 24 * 3_600_000;
/// Entries of a bundle's tar.
const BUNDLE_FILES: u64 = 1_000_000;

/// The job that is asked for.
#[derive(Debug)]
pub struct Built {
    pub id: JobId,
    /// Of its secrets it has the names.
    pub spec: JobSpec,
    /// The values that came for them: for one that is missing the client has to be asked.
    pub secrets: Secret<BTreeMap<String, String>>,
    /// The text of its file `git.diff`.
    pub diff: Option<String>,
    /// What its user should know about it, a sentence each.
    pub notices: Vec<String>,
}

/// Checks everything but whether the values of all secrets came.
pub fn build(request: wire::SubmitRequest, who: &Identity) -> Result<Built, Invalid> {
    let wire::SubmitRequest {
        id,
        bundle,
        dir_name,
        job_config_yaml,
        overrides,
        git,
        secrets,
        git_diff,
    } = request;
    let id = parse(&Given::new("id", id))?;
    let mut notices = Vec::new();
    let mut flags = flags::read(overrides.unwrap_or_default())?;
    let file = match &job_config_yaml {
        Some(yaml) => file::read(yaml, &mut notices)?,
        None => Asked::default(),
    };
    // What both name is the file's: that is where it can be looked up.
    let named = |name: &&String| !file.secrets.iter().any(|it| it.value == **name);
    flags.secrets =
        secrets.keys().filter(named).map(|it| Given::new("secrets", it.clone())).collect();
    secrets::check(&secrets)?;
    let changes = git_diff.map(Changes::read).transpose()?.flatten();
    let frame = asked::Frame {
        user: text::name(&Given::new("user", who.user.clone()))?,
        bundle: self::bundle(bundle)?,
        dir_name,
        git: git.map(self::git).transpose()?,
    };
    let mut spec = flags.over(file).build(frame)?;
    if let Some(changes) = &changes {
        changes.belong_to(&mut spec)?;
    }
    let diff = changes.map(|it| it.text().to_owned());
    Ok(Built { id, spec, secrets: Secret::new(secrets), diff, notices })
}

/// Where something runs outside the scheduler.
pub fn outside(outside: Outside) -> Result<Outside, Invalid> {
    let Outside { host, started } = outside;
    if started.0 > Wall::now() + AHEAD_MS {
        return Err(Invalid::new("started_ms", "is in the future: set the clock of that machine"));
    }
    Ok(Outside { host: text::name(&Given::new("host", host))?, started })
}

fn bundle(bundle: Option<wire::Bundle>) -> Result<Bundle, Invalid> {
    let wire::Bundle { id, tar_bytes, files } =
        bundle.ok_or_else(|| Invalid::new("bundle", "is missing"))?;
    if files > BUNDLE_FILES {
        let why = format!("{files} are too many; a bundle holds at most {BUNDLE_FILES}");
        return Err(Invalid::new("bundle.files", why));
    }
    let id: BundleId = parse(&Given::new("bundle.id", id))?;
    Ok(Bundle { id, tar_size: tar_bytes, files })
}

fn git(git: wire::Git) -> Result<Git, Invalid> {
    // What the diff measures is seen here.
    let wire::Git { commit, branch, dirty, diff: _ } = git;
    let digits = commit.bytes().all(|it| it.is_ascii_hexdigit());
    if !digits || !(4..=64).contains(&commit.len()) {
        return Err(Invalid::new("git.commit", "is not the hexadecimal id of a commit"));
    }
    if !branch.is_empty() {
        text::bounded(&Given::new("git.branch", branch.clone()), 512)?;
    }
    Ok(Git { commit, branch, dirty, diff: None })
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    given: &Given<String>,
) -> Result<T, Invalid> {
    given.value.parse().map_err(|why: T::Err| given.refuse(why))
}
