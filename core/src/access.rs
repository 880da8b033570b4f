//! Who asks, and whether they may. Every mutating call passes [`allow`].

use serde::{Deserialize, Serialize};

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// A login name.
    pub user: String,
    /// False without accounts: the client said so, nobody checked.
    pub verified: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Read,
    Submit,
    /// Stop or delete a job of this user.
    Change,
    ClearQueue,
    ManageNodes,
}

/// Refused: who, what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{user} may not {verb:?}")]
pub struct Denied {
    pub user: String,
    pub verb: Verb,
}

impl Identity {
    /// Someone that no account vouches for.
    pub fn unverified(user: impl Into<String>) -> Self {
        Self { user: user.into(), verified: false }
    }
}

/// Without accounts everybody who reaches the master may do everything, as long as they say who they are: listeners are on
/// loopback then. Accounts narrow this function and nothing else.
pub fn allow(who: &Identity, verb: Verb) -> Result<(), Denied> {
    if verb != Verb::Read && who.user.is_empty() {
        return Err(Denied { user: "nobody (no user name was sent)".into(), verb });
    }
    Ok(())
}
