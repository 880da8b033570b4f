//! Nodes as people see them.

use atlas_core::access::{Verb, allow};
use atlas_core::cluster::{Input, NodeView};
use atlas_core::{Identity, NodeName};

use super::{Error, Service};

impl Service {
    pub async fn nodes(&self) -> Result<Vec<NodeView>, Error> {
        Ok(self.reactor.nodes().await?)
    }

    /// Forgets a node that is gone for good.
    pub async fn remove_node(&self, who: &Identity, name: &str) -> Result<(), Error> {
        allow(who, Verb::ManageNodes)?;
        let node: NodeName = name
            .parse()
            .map_err(|why: atlas_core::id::Invalid| Error::invalid("name", why.to_string()))?;
        self.reactor.ask_for(Input::RemoveNode { node }).await?;
        Ok(())
    }
}
