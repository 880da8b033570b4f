//! What is asked of a master before this node joins it.

use std::time::Duration;

use atlas_core::{ClusterId, Epoch, NodeName, Revision};
use atlas_proto::convert::MasterFacts;
use atlas_proto::wire;
use atlas_proto::wire::nodes_client::NodesClient;
use atlas_runtime::clock::Wall;
use tonic::Code;
use tonic::transport::{Channel, Uri};

use super::Error;
use crate::conditions::clock;
use crate::master::Token;

const PATIENCE: Duration = Duration::from_secs(30);

/// A master that would let this node in.
pub struct Greeted {
    pub facts: MasterFacts,
    /// How far the clock of this machine is ahead of its, milliseconds; as little as may be.
    pub ahead: i64,
}

/// What a node says of itself and of the past.
pub struct Known<'a> {
    pub name: &'a NodeName,
    pub cluster: Option<&'a ClusterId>,
    /// The last commit that it heard of.
    pub seen: (Epoch, Revision),
}

/// Hears whom this node is about to join, and whether it may.
pub async fn greet(
    client: &mut NodesClient<Channel>,
    master: &Uri,
    token: &Token,
    known: Known<'_>,
) -> Result<Greeted, Error> {
    let Known { name, cluster, seen } = known;
    let greeting = wire::Greeting {
        version: env!("CARGO_PKG_VERSION").into(),
        cluster_id: cluster.map(ToString::to_string).unwrap_or_default(),
        name: name.to_string(),
        seen_epoch: seen.0.0,
        seen_revision: seen.1.0,
    };
    let sent = Wall::now();
    let reply = client.greet(token.with(greeting));
    let reply = tokio::time::timeout(PATIENCE, reply).await.map_err(|_| Error::Silent(PATIENCE))?;
    let facts = reply.map_err(|status| match status.code() {
        Code::Unimplemented => Error::OtherMaster { master: master.clone() },
        _ => Error::Refused { master: master.clone(), status },
    })?;
    let facts = MasterFacts::try_from(facts.into_inner()).map_err(Error::Invalid)?;
    match cluster {
        Some(ours) if *ours != facts.cluster => Err(Error::OtherCluster {
            ours: ours.clone(),
            theirs: facts.cluster,
            master: master.clone(),
        }),
        _ => Ok(Greeted { ahead: clock::ahead(sent, facts.wall_ms, Wall::now()), facts }),
    }
}
