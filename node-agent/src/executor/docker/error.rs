//! What the engine says, and whose fault it is.

use atlas_core::Cause;

use crate::executor::Verdict;

/// What is asked of the engine first.
pub(super) const CREATE: &str = "create";

/// Why a container or an image is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no Docker engine answers (DOCKER_HOST says where, else /var/run/docker.sock): start it, or start this agent with --executor process"
    )]
    Absent(#[source] bollard::errors::Error),
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
    #[error("could not pull image {image}")]
    Pull { image: String, source: bollard::errors::Error },
    #[error("container {name} ended before its supervisor was up: {why}")]
    Stillborn { name: String, why: String },
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
        if is_unknown(&source) {
            Self::NoSuch { image, source }
        } else {
            Self::Pull { image, source }
        }
    }

    pub fn verdict(&self) -> Verdict {
        let (cause, strike) = match self {
            Self::Name(_) | Self::NotHere { .. } | Self::NoSuch { .. } => (Cause::Image, false),
            Self::Pull { .. } => (Cause::Image, true),
            // The engine understood what the job asks for, and will not have it: too little memory, a strange path.
            Self::Refused { what: CREATE, source, .. } if status(source) == Some(400) => {
                (Cause::Rejected, false)
            }
            Self::Cancelled => (Cause::Internal, false),
            Self::Absent(_)
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

/// Whether a registry said that there is no such image: no other node would find it either.
fn is_unknown(error: &bollard::errors::Error) -> bool {
    let text = match error {
        bollard::errors::Error::DockerResponseServerError { status_code: 400 | 404, .. } => {
            return true;
        }
        bollard::errors::Error::DockerResponseServerError { message, .. } => message,
        bollard::errors::Error::DockerStreamError { error } => error,
        _ => return false,
    };
    let text = text.to_lowercase();
    ["not found", "manifest unknown", "access denied", "does not exist", "unauthorized"]
        .iter()
        .any(|sign| text.contains(sign))
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
        let error = Error::of(CREATE, "c", answer(400, "Minimum memory limit allowed is 6MB"));
        assert_eq!(verdict(&error), (Cause::Rejected, false));
    }
}
