//! From what a user typed or wrote to a job whose values hold. What the command line or the SDK says wins over job.config.yaml,
//! which wins over the default; either way it is checked here, so that every client says the same about a mistake.

mod asked;
mod file;
mod flags;
mod given;
mod params;
mod quantity;
mod text;
mod volume;
mod words;
mod yaml;

#[cfg(test)]
mod tests;

use atlas_core::spec::{Bundle, Git};
use atlas_core::{BundleId, Identity, JobId, JobSpec};
use atlas_proto::wire;

use asked::Asked;
use given::Given;
pub use given::Invalid;

/// Entries of a bundle's tar.
const BUNDLE_FILES: u64 = 1_000_000;

/// The job that is asked for, and what its user should know about it, a sentence each.
pub fn build(
    request: wire::SubmitRequest,
    who: &Identity,
) -> Result<(JobId, JobSpec, Vec<String>), Invalid> {
    let wire::SubmitRequest { id, bundle, dir_name, job_config_yaml, overrides, git } = request;
    let id = parse(&Given::new("id", id))?;
    let mut notices = Vec::new();
    let flags = flags::read(overrides.unwrap_or_default())?;
    let file = match &job_config_yaml {
        Some(yaml) => file::read(yaml, &mut notices)?,
        None => Asked::default(),
    };
    let frame = asked::Frame {
        user: text::name(&Given::new("user", who.user.clone()))?,
        bundle: self::bundle(bundle)?,
        dir_name,
        git: git.map(self::git).transpose()?,
    };
    Ok((id, flags.over(file).build(frame)?, notices))
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
    let wire::Git { commit, branch, dirty } = git;
    let digits = commit.bytes().all(|it| it.is_ascii_hexdigit());
    if !digits || !(4..=64).contains(&commit.len()) {
        return Err(Invalid::new("git.commit", "is not the hexadecimal id of a commit"));
    }
    if !branch.is_empty() {
        text::bounded(&Given::new("git.branch", branch.clone()), 512)?;
    }
    Ok(Git { commit, branch, dirty })
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    given: &Given<String>,
) -> Result<T, Invalid> {
    given.value.parse().map_err(|why: T::Err| given.refuse(why))
}
