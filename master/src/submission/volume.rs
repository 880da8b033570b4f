//! Paths of a node inside a job. Whether a node allows one is the node's to say; here it is made plain and unambiguous.

use atlas_core::spec::Volume;

use super::Invalid;
use super::given::{Given, shown};

/// As it was said.
#[derive(Clone, Debug)]
pub struct Asked {
    pub host: String,
    pub bind: String,
    pub mode: Option<String>,
}

/// Places inside a job that are not for volumes, nor is anything below them.
const RESERVED: [&str; 5] = ["/job", "/atlas", "/proc", "/sys", "/dev"];

const LONGEST: usize = 4095;

/// `HOST:PATH`, `HOST:PATH:ro` or `HOST:PATH:rw`.
pub fn parse(given: &Given<String>) -> Result<Given<Asked>, Invalid> {
    let parts: Vec<&str> = given.value.split(':').collect();
    let (host, bind, mode) = match parts[..] {
        [host, bind] => (host, bind, None),
        [host, bind, mode] => (host, bind, Some(mode.to_owned())),
        _ => {
            let why = format!("{} is not HOST:PATH or HOST:PATH:ro", shown(&given.value));
            return Err(given.refuse(why));
        }
    };
    Ok(given.with(Asked { host: host.into(), bind: bind.into(), mode }))
}

pub fn check(given: &Given<Asked>) -> Result<Volume, Invalid> {
    let Asked { host, bind, mode } = &given.value;
    let read_only = match mode.as_deref() {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(other) => {
            return Err(given.refuse(format!("mode {} is neither rw nor ro", shown(other))));
        }
    };
    let (host, bind) = (path(&given.with(host.clone()))?, path(&given.with(bind.clone()))?);
    let below = |place: &&str| {
        bind.strip_prefix(*place).is_some_and(|it| it.is_empty() || it.starts_with('/'))
    };
    if bind == "/" || bind == "/tmp" || RESERVED.iter().any(below) {
        return Err(
            given.refuse(format!("{} inside a job is Atlas's own; bind elsewhere", shown(&bind)))
        );
    }
    Ok(Volume { host, bind, read_only })
}

/// Absolute, without `..`, `.`, doubled slashes or one at the end.
pub fn path(given: &Given<String>) -> Result<String, Invalid> {
    let text = &given.value;
    let refuse = |why: &str| Err(given.refuse(format!("{} {why}", shown(text))));
    if text.starts_with('~') {
        return refuse("is not a path: write the whole of it, as it is on the node");
    }
    if !text.starts_with('/') {
        return refuse("is not an absolute path");
    }
    if text.len() > LONGEST || text.chars().any(char::is_control) {
        return refuse("is too long or holds control characters");
    }
    let parts: Vec<&str> = text.split('/').filter(|it| !it.is_empty() && *it != ".").collect();
    if parts.contains(&"..") {
        return refuse("holds `..`");
    }
    Ok(format!("/{}", parts.join("/")))
}
