//! What only this cluster's master can make and open, and what a node gets of it for a job.

use atlas_core::agent::Assignment;
use atlas_core::spec::Sealed;
use atlas_core::{Attempt, JobId};
use atlas_proto::convert::Entrusted;
use atlas_proto::wire;

use super::seal::{NotOurs, Seals};
use super::token::JobTokens;

/// A cheap handle.
#[derive(Clone)]
pub struct Keys {
    pub tokens: JobTokens,
    pub seals: Seals,
}

impl Keys {
    /// An assignment as its node hears it.
    pub fn assignment(&self, assignment: &Assignment) -> wire::Assignment {
        let Assignment { job, attempt, duty: _ } = assignment;
        wire::Assignment::of(assignment, |sealed| self.entrust(*job, *attempt, sealed))
    }

    /// A secret that does not open is left out: the node ends the job because of it, and the queue goes on.
    fn entrust(&self, job: JobId, attempt: Attempt, sealed: &Sealed) -> Entrusted {
        let open = |(name, text): (&String, &String)| match self.seals.open(job, name, text) {
            Ok(value) => Some((name.clone(), value)),
            Err(NotOurs) => {
                tracing::error!(job.id = %job, "secret {name} of job {job} was not sealed with this master's key");
                None
            }
        };
        let secrets = sealed.0.iter().filter_map(open).collect();
        Entrusted { token: self.tokens.mint(job, attempt), secrets }
    }
}
