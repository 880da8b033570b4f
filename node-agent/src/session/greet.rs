//! What is asked of a master before this node joins it.

use std::time::Duration;

use atlas_core::ClusterId;
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

/// Hears whom this node is about to join, and whether it may.
pub async fn greet(
    client: &mut NodesClient<Channel>,
    master: &Uri,
    token: &Token,
    cluster: Option<&ClusterId>,
) -> Result<Greeted, Error> {
    let cluster_id = cluster.map(ToString::to_string).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION").into();
    let sent = Wall::now();
    let reply = client.greet(token.with(wire::Greeting { version, cluster_id }));
    let reply = tokio::time::timeout(PATIENCE, reply).await.map_err(|_| Error::Silent(PATIENCE))?;
    let facts = reply.map_err(|source| match source.code() {
        Code::Unimplemented => Error::OtherMaster { master: master.clone() },
        _ => Error::Refused { master: master.clone(), source },
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
