//! Nodes as people are shown them.

use super::Cluster;
use super::nodes::{Link, Node};
use crate::id::JobId;
use crate::node::NodeRecord;
use crate::resources::Free;
use crate::time::Now;

/// A node as people are shown it.
#[derive(Clone, Debug)]
pub struct NodeView {
    pub record: NodeRecord,
    /// Why it gets no new jobs although it is there.
    pub cordon: Option<String>,
    pub connected: bool,
    /// Since it was last heard, milliseconds.
    pub silent_ms: u64,
    pub free: Free,
    pub jobs: Vec<JobId>,
}

impl Cluster {
    /// What people are shown of a node.
    pub fn node_views(&self, now: Now) -> Vec<NodeView> {
        let view = |node: &Node| NodeView {
            record: node.record.clone(),
            cordon: node.cordon(),
            connected: matches!(node.link, Link::Connected(_)),
            silent_ms: (now.mono - node.heard).0,
            free: node.free.clone(),
            jobs: node.jobs().collect(),
        };
        self.nodes.values().map(view).collect()
    }
}
