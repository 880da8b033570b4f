//! Who asks, and whether they may. Every mutating call passes [`allow`].

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::id::{Attempt, JobId};

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// A login name.
    pub user: String,
    /// False without accounts: the client said so, nobody checked.
    pub verified: bool,
    pub by: By,
}

/// Who speaks for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    Themselves,
    /// A job that they submitted, with the token of this attempt.
    Job {
        job: JobId,
        attempt: Attempt,
    },
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Read,
    Submit,
    /// Stop or delete a job of this user.
    Change,
    ClearQueue,
    /// Bring in what others did in another cluster, under their names.
    Import,
    ManageNodes,
}

/// Refused: who, what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{who} may not {verb}")]
pub struct Denied {
    pub who: String,
    pub verb: Verb,
}

impl fmt::Display for Verb {
    /// Its name in words: `manage nodes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, letter) in format!("{self:?}").char_indices() {
            if at > 0 && letter.is_ascii_uppercase() {
                f.write_char(' ')?;
            }
            f.write_char(letter.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

impl Identity {
    /// Someone that no account vouches for.
    pub fn unverified(user: impl Into<String>) -> Self {
        Self { user: user.into(), verified: false, by: By::Themselves }
    }

    /// The submitter of a job, for whom the job speaks. As much verified as its submission was, which is not known.
    pub fn of_job(submitter: impl Into<String>, job: JobId, attempt: Attempt) -> Self {
        Self { by: By::Job { job, attempt }, ..Self::unverified(submitter) }
    }
}

/// Without accounts everybody who reaches the master may do everything, as long as they say who they are: listeners are on
/// loopback then. Accounts narrow this function and nothing else. A job has the rights of its submitter, except over machines
/// and the names of others: its code comes from anywhere.
pub fn allow(who: &Identity, verb: Verb) -> Result<(), Denied> {
    match (who.by, verb) {
        (By::Job { job, .. }, Verb::Import | Verb::ManageNodes) => {
            Err(Denied { who: format!("job {job} of {}", who.user), verb })
        }
        (_, verb) if verb != Verb::Read && who.user.is_empty() => {
            Err(Denied { who: "who gives no name (the header x-atlas-user)".into(), verb })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBS: [Verb; 6] =
        [Verb::Read, Verb::Submit, Verb::Change, Verb::ClearQueue, Verb::Import, Verb::ManageNodes];

    fn allowed(who: &Identity) -> Vec<Verb> {
        VERBS.into_iter().filter(|verb| allow(who, *verb).is_ok()).collect()
    }

    #[test]
    fn who_does_not_say_who_they_are_may_look() {
        let nobody = Identity::unverified("");
        assert_eq!(allowed(&nobody), [Verb::Read]);
        let denied = allow(&nobody, Verb::Submit).unwrap_err().to_string();
        assert_eq!(denied, "who gives no name (the header x-atlas-user) may not submit");
        assert_eq!(allowed(&Identity::unverified("ada")), VERBS);
    }

    #[test]
    fn a_job_may_do_what_its_submitter_may_but_for_nodes_and_the_names_of_others() {
        let job = JobId::from_random([7; 16]);
        let who = Identity::of_job("ada", job, Attempt(2));
        assert_eq!(allowed(&who), VERBS[..4]);
        let denied = allow(&who, Verb::ManageNodes).unwrap_err();
        assert_eq!(denied.to_string(), format!("job {job} of ada may not manage nodes"));
    }
}
