//! How far a shipment has come.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// At its best: a try that comes no further than one before it is no progress.
#[derive(Clone, Debug)]
pub struct Progress(Arc<watch::Sender<u64>>);

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Progress {
    pub(super) fn reached(&self, at: u64) {
        self.0.send_if_modified(|furthest| {
            let moved = at > *furthest;
            *furthest = at.max(*furthest);
            moved
        });
    }

    /// Returns when it has come no further for so long.
    pub async fn stalled(&self, span: Duration) {
        let mut furthest = self.0.subscribe();
        while tokio::time::timeout(span, furthest.changed()).await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_starts_over_and_comes_no_further_makes_no_progress() {
        let progress = Progress::default();
        let mut seen = progress.0.subscribe();
        let mut moves = |at| {
            progress.reached(at);
            let moved = seen.has_changed().unwrap();
            seen.mark_unchanged();
            moved
        };
        assert_eq!([5, 5, 3, 6].map(&mut moves), [true, false, false, true]);
    }

    #[tokio::test]
    async fn what_does_not_move_stalls() {
        Progress::default().stalled(Duration::from_millis(1)).await;
    }
}
