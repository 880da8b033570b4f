//! One function per kind of value; each says what is wrong with it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};

use atlas_core::NodeName;
use atlas_core::node::{AllowedVolume, ExecutorKind};
use atlas_core::spec::Volume;
use atlas_runtime::config::Secret;
use tonic::transport::Uri;

use super::JobUser;
use crate::inventory::Wanted;

/// No token is longer; what is longer is the wrong file.
const LONGEST_TOKEN: u64 = 4096;

pub(super) fn executor(text: &str) -> Result<ExecutorKind, String> {
    match text {
        "docker" => Ok(ExecutorKind::Docker),
        "process" => Ok(ExecutorKind::Process),
        other => Err(format!("{other:?} is neither docker nor process")),
    }
}

pub(super) fn master(text: &str) -> Result<Uri, String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = with_scheme.parse().map_err(|error| format!("{text:?}: {error}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(format!("{text:?} is not an address such as http://master:5558")),
    }
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an address such as 127.0.0.1:5000"))
}

pub(super) fn name(given: Option<&str>) -> Result<NodeName, String> {
    let host;
    let text = match given {
        Some(text) => text,
        None => {
            host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            &host
        }
    };
    text.parse().map_err(|error: atlas_core::id::Invalid| error.to_string())
}

pub(super) fn inventory(workers: Option<u32>, gpus: Option<bool>) -> Result<Wanted, String> {
    match workers {
        Some(0) => Err("a node has at least one worker".into()),
        workers => Ok(Wanted { workers, gpus: gpus.unwrap_or(false) }),
    }
}

pub(super) fn token(file: &Path) -> Result<Secret<String>, String> {
    let failed = |error| format!("could not read {}: {error}", file.display());
    if fs::metadata(file).map_err(failed)?.len() > LONGEST_TOKEN {
        return Err(format!("{} is too long to hold a token", file.display()));
    }
    let text = fs::read_to_string(file).map_err(failed)?;
    let token = text.trim();
    if token.is_empty() {
        return Err(format!("{} is empty", file.display()));
    }
    Ok(Secret::new(token.to_owned()))
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A file that is there now; what is in it is read when it is needed.
pub(super) fn readable(path: &Path) -> Result<PathBuf, String> {
    let failed = |error| format!("could not read {}: {error}", path.display());
    fs::File::open(path).map_err(failed)?;
    absolute(path)
}

pub(super) fn allowed_volume(text: &str) -> Result<AllowedVolume, String> {
    let (prefix, read_only) = mode(text)?;
    plain(prefix)?;
    Ok(AllowedVolume { prefix: prefix.to_owned(), read_only })
}

pub(super) fn volume(text: &str) -> Result<Volume, String> {
    let (paths, read_only) = mode(text)?;
    let (host, bind) = paths
        .split_once(':')
        .ok_or_else(|| format!("{text:?} is not HOST:PATH or HOST:PATH:ro"))?;
    plain(host)?;
    plain(bind)?;
    Ok(Volume { host: host.to_owned(), bind: bind.to_owned(), read_only })
}

fn mode(text: &str) -> Result<(&str, bool), String> {
    match text.rsplit_once(':') {
        Some((rest, "ro")) => Ok((rest, true)),
        Some((rest, "rw")) => Ok((rest, false)),
        _ => Ok((text, false)),
    }
}

/// Absolute, without `..`, and without the separator of Docker's own notation.
fn plain(path: &str) -> Result<(), String> {
    let parts = Path::new(path).components();
    let climbs = parts.clone().any(|it| matches!(it, Component::ParentDir));
    if !path.starts_with('/') || climbs || path.contains(':') {
        return Err(format!("{path:?} is not an absolute path without `..` and `:`"));
    }
    Ok(())
}

pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !text.contains('\0') => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("a variable is NAME=VALUE".to_owned()),
    }
}

/// Root never stands in for a job by accident.
pub(super) fn job_user(given: Option<&JobUser>) -> Result<JobUser, String> {
    let me = JobUser::this_process();
    match given {
        Some(user) if me.uid != 0 && *user != me && !user.is_this_process() => {
            Err(format!("jobs can run as {user} only if the agent runs as root; it runs as {me}"))
        }
        Some(user) => Ok(user.clone()),
        None if me.uid == 0 => {
            Err("the agent runs as root: say whom jobs run as with --job-user UID:GID (or `root`)"
                .into())
        }
        None => Ok(me),
    }
}

pub(super) fn supervisor(given: Option<&Path>) -> Result<PathBuf, String> {
    let path = match given {
        Some(path) => absolute(path)?,
        None => std::env::current_exe()
            .map_err(|error| format!("could not find this program's own folder: {error}"))?
            .with_file_name("atlas-supervisor"),
    };
    match fs::metadata(&path) {
        Ok(file) if file.is_file() => Ok(path),
        Ok(_) => Err(format!("{} is not a file", path.display())),
        Err(error) => Err(format!("{}: {error}; name the program by --supervisor", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_absolute_and_may_be_read_only() {
        let it = volume("/data:/mnt/data:ro").unwrap();
        assert_eq!(
            (it.host.as_str(), it.bind.as_str(), it.read_only),
            ("/data", "/mnt/data", true)
        );
        assert!(!volume("/data:/data:rw").unwrap().read_only);
        assert!(allowed_volume("/data:ro").unwrap().read_only);
        for text in ["/data", "data:/x", "/a:/b:/c", "/a/../b:/c", ""] {
            assert!(volume(text).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn an_address_without_scheme_is_http() {
        assert_eq!(master("m:5558").unwrap().to_string(), "http://m:5558/");
        for text in ["", "ftp://m", "http://"] {
            assert!(master(text).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn a_token_file_is_read_without_its_line_end_and_an_empty_one_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(token(file.path()).is_err());
        fs::write(file.path(), "secret\n").unwrap();
        assert_eq!(token(file.path()).unwrap().expose(), "secret");
    }

    #[test]
    fn a_variable_needs_a_name() {
        assert_eq!(variable("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(variable("A="), Ok(("A".into(), String::new())));
        assert!(variable("=b").is_err() && variable("A").is_err());
    }
}
