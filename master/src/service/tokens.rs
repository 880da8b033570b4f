//! Whom a job's token speaks for.

use atlas_core::{Attempt, Identity, JobId, JobState};

use super::{Error, Service};

/// Why nobody is known to have sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    #[error("requests of a job must carry its token: `authorization: Bearer $ATLAS_TOKEN`")]
    Missing,
    #[error(
        "the authorization header is not understood: one `Bearer TOKEN`, with the ATLAS_TOKEN of a job, is"
    )]
    Unknown,
    #[error("the token is not one that this cluster gave to a job")]
    NotOurs,
    #[error("the token of attempt {attempt} of job {job} ended with that attempt")]
    Ended { job: JobId, attempt: Attempt },
}

impl Service {
    /// The submitter of the job whose token this is, as long as that attempt has a place on a node and has not ended.
    pub async fn holder(&self, token: &str) -> Result<Identity, Error> {
        let (job, attempt) = self.keys.tokens.read(token).map_err(|_| Unauthenticated::NotOurs)?;
        let found = self.store.job(job).await?;
        match found.filter(|it| is_live(&it.status.state, attempt)) {
            Some(it) => Ok(Identity::of_job(it.spec.user.clone(), job, attempt)),
            None => Err(Unauthenticated::Ended { job, attempt }.into()),
        }
    }
}

/// A job that is being stopped may still save what it has.
fn is_live(state: &JobState, attempt: Attempt) -> bool {
    state.holds_resources() && state.placement().is_some_and(|it| it.attempt == attempt)
}

#[cfg(test)]
mod tests {
    use atlas_core::job::{Archive, End, Placement};
    use atlas_core::{Outcome, Timestamp};

    use super::*;

    #[test]
    fn only_the_attempt_that_has_a_place_now_is_live() {
        let placement =
            || Placement { node: "a".parse().unwrap(), gpus: Vec::new(), attempt: Attempt(2) };
        let end = || End {
            outcome: Outcome::Completed,
            at: Timestamp(1),
            started: None,
            log_length: 0,
            spool_length: 0,
        };
        let live = [
            JobState::Placed { placement: placement(), excluded: Vec::new() },
            JobState::Running { placement: placement(), started: Timestamp(1) },
            JobState::Stopping { placement: placement(), started: None, by: "ada".into() },
        ];
        for state in live {
            assert!(is_live(&state, Attempt(2)), "{state:?}");
            assert!(!is_live(&state, Attempt(1)) && !is_live(&state, Attempt(3)), "{state:?}");
        }
        let over = [
            JobState::Queued { excluded: Vec::new() },
            JobState::Archiving { placement: placement(), end: end() },
            JobState::done(end(), None, Archive::Complete),
            JobState::Deleting { end: end() },
        ];
        for state in over {
            assert!(!is_live(&state, Attempt(2)), "{state:?}");
        }
    }
}
