//! What the engine says, and whose fault it is.

use atlas_core::Cause;

use super::login::registry;
use crate::executor::Verdict;

/// What is asked of the engine first, and then.
pub(super) const CREATE: &str = "create";
pub(super) const START: &str = "start";

/// Why a container or an image is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no Docker engine answers (DOCKER_HOST says where, else /var/run/docker.sock): start it, or start this agent with --executor process"
    )]
    Absent(#[source] bollard::errors::Error),
    #[error("{0:?} is not where a Docker engine listens: give unix:///PATH or tcp://HOST:PORT")]
    Host(String),
    #[error("the engine did not answer when asked to {what} {name}")]
    Engine { what: &'static str, name: String, source: bollard::errors::Error },
    #[error("the engine refused to {what} {name}")]
    Refused { what: &'static str, name: String, source: bollard::errors::Error },
    #[error("{0:?} is not the name of an image")]
    Name(String),
    #[error("there is no image {image} on this node, and worker.pull is never")]
    NotHere { image: String },
    #[error("image {image} does not exist, or may not be pulled from here")]
    NoSuch { image: String, source: bollard::errors::Error },
    #[error(
        "the registry does not give image {image} to this node: run `docker login {registry}` there as whoever the agent runs as, or name a \
         file with the login by atlas-node --registry-config"
    )]
    Login { image: String, registry: String, source: bollard::errors::Error },
    /// Several jobs waited for it.
    #[error(transparent)]
    Shared(std::sync::Arc<Error>),
    #[error("could not pull image {image}")]
    Pull { image: String, source: bollard::errors::Error },
    #[error("container {name} ended before its supervisor was up: {why}")]
    Stillborn { name: String, why: String, out_of_memory: bool },
    #[error("container {name} runs")]
    Runs { name: String },
    #[error("the job has no image")]
    NoImage,
    #[error("could not write the job's log")]
    Log(#[from] crate::logs::PreludeError),
    #[error("stopped while its image was being fetched")]
    Cancelled,
}

impl Error {
    /// Tells an engine that says no from one that says nothing.
    pub(super) fn of(what: &'static str, name: &str, source: bollard::errors::Error) -> Self {
        let name = name.to_owned();
        match status(&source) {
            Some(_) => Self::Refused { what, name, source },
            None => Self::Engine { what, name, source },
        }
    }

    /// A failed pull.
    pub(super) fn pull(image: &str, source: bollard::errors::Error) -> Self {
        let image = image.to_owned();
        if says(&source, &NO_LOGIN) {
            Self::Login { registry: registry(&image).to_owned(), image, source }
        } else if is_unknown(&source) {
            Self::NoSuch { image, source }
        } else {
            Self::Pull { image, source }
        }
    }

    pub fn verdict(&self) -> Verdict {
        let (cause, strike) = match self {
            Self::Shared(error) => return error.verdict(),
            // Other registries may well take this node.
            Self::Login { .. } => (Cause::Image, false),
            Self::Name(_) | Self::NotHere { .. } | Self::NoSuch { .. } => (Cause::Image, false),
            Self::Pull { .. } => (Cause::Image, true),
            // The engine understood what the job asks for, and will not have it: too little memory, a strange path.
            Self::Refused { what: CREATE, source, .. } if status(source) == Some(400) => {
                (Cause::Rejected, false)
            }
            Self::Refused { what: START, source, .. } => start_verdict(source),
            Self::Stillborn { out_of_memory: true, .. } => (Cause::OutOfMemory, false),
            Self::Cancelled => (Cause::Internal, false),
            Self::Absent(_)
            | Self::Host(_)
            | Self::Runs { .. }
            | Self::Engine { .. }
            | Self::Refused { .. }
            | Self::Stillborn { .. }
            | Self::NoImage
            | Self::Log(_) => (Cause::Internal, true),
        };
        Verdict { cause, strike }
    }
}

/// The engine's answer, if it gave one.
pub(super) fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Whether a container did not start because the engine may not lift its limits.
pub(super) fn is_about_limits(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { message, .. } if message.contains("rlimit"))
}

/// A container that the engine made but did not start. What its entrypoint is and where our own folders go is the node's; the
/// rest the job asked for.
fn start_verdict(error: &bollard::errors::Error) -> (Cause, bool) {
    let bollard::errors::Error::DockerResponseServerError { message, .. } = error else {
        return (Cause::Internal, true);
    };
    let has = |signs: &[&str]| signs.iter().any(|sign| message.contains(sign));
    if has(&NO_MEMORY) {
        (Cause::OutOfMemory, false)
    } else if message.contains("mounting") && has(&NO_PLACE) {
        (Cause::Rejected, false)
    } else {
        (Cause::Internal, true)
    }
}

/// The runtime itself did not fit into the memory of the job.
const NO_MEMORY: [&str; 3] = ["OOM-killed", "memory limit too low", "unable to set memory limit"];

/// A path in the image where nothing can be mounted. That what is mounted cannot be read is not among them.
const NO_PLACE: [&str; 7] = [
    "not a directory",
    "is a directory",
    "read-only file system",
    "cannot be mounted because",
    "outside of rootfs",
    "too many levels of symbolic links",
    "file name too long",
];

/// Whether a registry said that there is no such image: no other node would find it either.
fn is_unknown(error: &bollard::errors::Error) -> bool {
    matches!(status(error), Some(400 | 404)) || says(error, &UNKNOWN)
}

/// What registries call an image that they do not have, or not for everybody.
const UNKNOWN: [&str; 4] = ["not found", "manifest unknown", "access denied", "does not exist"];
/// What they call a login that is missing or wrong.
const NO_LOGIN: [&str; 3] =
    ["unauthorized", "no basic auth credentials", "authentication required"];

fn says(error: &bollard::errors::Error, signs: &[&str]) -> bool {
    let text = match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message,
        bollard::errors::Error::DockerStreamError { error } => error,
        _ => return false,
    };
    let text = text.to_lowercase();
    signs.iter().any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16, message: &str) -> bollard::errors::Error {
        bollard::errors::Error::DockerResponseServerError { status_code, message: message.into() }
    }

    fn verdict(error: &Error) -> (Cause, bool) {
        let Verdict { cause, strike } = error.verdict();
        (cause, strike)
    }

    #[test]
    fn an_image_that_exists_nowhere_is_not_the_nodes_fault() {
        for (status, message) in [
            (404, "pull access denied for x, repository does not exist"),
            (500, "manifest for x:y not found: manifest unknown"),
            (400, "invalid reference format"),
        ] {
            let error = Error::pull("x", answer(status, message));
            assert_eq!(verdict(&error), (Cause::Image, false), "{message}");
        }
    }

    #[test]
    fn a_login_that_is_wrong_or_missing_says_what_to_do_and_is_no_strike() {
        for message in [
            "Get \"http://r:5000/v2/a/manifests/1\": no basic auth credentials",
            "Head \"http://r:5000/v2/a/manifests/1\": unauthorized: authentication required",
        ] {
            let error = Error::pull("r:5000/a:1", answer(500, message));
            assert_eq!(verdict(&error), (Cause::Image, false), "{message}");
            assert!(error.to_string().contains("`docker login r:5000`"), "{error}");
        }
    }

    #[test]
    fn a_registry_that_cannot_be_reached_is_the_nodes_fault() {
        let error = Error::pull("x", answer(500, "dial tcp: lookup registry: no such host"));
        assert_eq!(verdict(&error), (Cause::Image, true));
    }

    #[test]
    fn an_engine_that_says_nothing_is_the_nodes_fault() {
        let error = Error::of("create", "c", bollard::errors::Error::RequestTimeoutError);
        assert_eq!(verdict(&error), (Cause::Internal, true));
        let error = Error::of("start", "c", answer(400, "exec: not found"));
        assert_eq!(verdict(&error), (Cause::Internal, true), "its entrypoint is the node's own");
    }

    #[test]
    fn what_a_job_asks_for_in_vain_is_not_the_nodes_fault() {
        // The first of each pair as Engine 20.10 with runc 1.1 says it, the second as later ones do.
        let runc = "runc create failed: unable to start container process: ";
        let mount =
            r#"error during container init: error mounting "/d" to rootfs at "/etc/passwd": "#;
        for (what, status, message, cause) in [
            (CREATE, 400, "Minimum memory limit allowed is 6MB".to_owned(), Cause::Rejected),
            (CREATE, 400, "Duplicate mount point: /x".into(), Cause::Rejected),
            (
                START,
                400,
                format!(
                    "{runc}{mount}mount /d:/etc/passwd (via /proc/self/fd/6), flags: 0x5000: not a directory"
                ),
                Cause::Rejected,
            ),
            (
                START,
                400,
                format!(
                    "{runc}{mount}create mountpoint for /etc/passwd mount: make mountpoint \"/etc/passwd\": not a directory"
                ),
                Cause::Rejected,
            ),
            (
                START,
                500,
                format!(
                    "{runc}{mount}\"/merged/proc/x\" cannot be mounted because it is inside /proc"
                ),
                Cause::Rejected,
            ),
            (
                START,
                500,
                format!("{runc}container init was OOM-killed (memory limit too low?)"),
                Cause::OutOfMemory,
            ),
        ] {
            let error = Error::of(what, "c", answer(status, &message));
            assert_eq!(verdict(&error), (cause, false), "{message}");
        }
    }

    #[test]
    fn what_the_node_lacks_is_its_fault() {
        for (status, message) in [
            (500, "could not select device driver \"\" with capabilities: [[gpu]]"),
            (400, "exec: \"/atlas/supervisor\": permission denied"),
            (
                500,
                "error mounting \"/nfs/x\" to rootfs at \"/x\": stat /nfs/x: stale NFS file handle",
            ),
        ] {
            let error = Error::of(START, "c", answer(status, message));
            assert_eq!(verdict(&error), (Cause::Internal, true), "{message}");
        }
    }
}
