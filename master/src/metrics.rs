//! Every metric of the master.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::service::Service;

/// Read when asked for: nothing is counted while nobody looks.
pub struct Metrics {
    registry: Registry,
    queued: Gauge<u64, AtomicU64>,
    live: Gauge<u64, AtomicU64>,
    nodes: Gauge<u64, AtomicU64>,
    slots: Gauge<u64, AtomicU64>,
    slots_free: Gauge<u64, AtomicU64>,
    gpus: Gauge<u64, AtomicU64>,
    gpus_free: Gauge<u64, AtomicU64>,
    store_refuses: Gauge<u64, AtomicU64>,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("atlas");
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::<u64, AtomicU64>::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let queued = gauge("jobs_queued", "Jobs that wait, the ones that are set aside included");
        let live = gauge(
            "jobs_live",
            "Jobs that have not left the master: queued, starting, running, archiving",
        );
        let nodes = gauge("nodes_connected", "Nodes with a session");
        let slots = gauge("slots", "Worker slots of connected nodes");
        let slots_free = gauge("slots_free", "Worker slots that no job holds");
        let gpus = gauge("gpus", "GPUs of connected nodes");
        let gpus_free = gauge("gpus_free", "GPUs that no job holds");
        let store_refuses = gauge("store_refuses", "1 while the store refuses to write");
        Self { registry, queued, live, nodes, slots, slots_free, gpus, gpus_free, store_refuses }
    }

    /// The OpenMetrics text as of now.
    pub async fn text(&self, service: &Service) -> String {
        if let (Ok(counts), Ok(nodes)) =
            (service.reactor.counts().await, service.reactor.nodes().await)
        {
            let connected: Vec<_> = nodes.iter().filter(|it| it.connected).collect();
            self.queued.set(counts.queued as u64);
            self.live.set(counts.live as u64);
            self.nodes.set(connected.len() as u64);
            self.slots
                .set(connected.iter().map(|it| u64::from(it.record.spec.capacity.slots)).sum());
            self.slots_free.set(connected.iter().map(|it| u64::from(it.free.slots)).sum());
            self.gpus
                .set(connected.iter().map(|it| it.record.spec.capacity.gpus.len() as u64).sum());
            self.gpus_free.set(connected.iter().map(|it| it.free.gpus.len() as u64).sum());
        }
        self.store_refuses.set(u64::from(service.reactor.refusing().is_some()));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
