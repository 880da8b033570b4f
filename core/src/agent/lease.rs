//! The node's side of its lease, counted so that it always ends before the master's does.

use std::collections::VecDeque;

use crate::time::{Millis, Mono};

/// Kept by the agent. The master counts from when it heard a heartbeat, the node from when it *sent* the one that was answered:
/// whatever is lost, late or repeated in between, the node's end comes first.
///
/// In a session: [`opened`](Self::opened) when the join is sent, [`welcomed`](Self::welcomed) when the list is there, and no
/// heartbeat before the new [`deadline`](Self::deadline) is written down for every job: a heartbeat tells the master that the
/// node counts by this session alone.
#[derive(Clone, Debug, Default)]
pub struct LeaseClock {
    lease: Option<Lease>,
    opened: Option<Mono>,
    /// Not answered yet.
    sent: VecDeque<(u64, Mono)>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    from: Mono,
    span: Option<Millis>,
}

/// Between the time at which a supervisor kills and the end of the lease: clocks of two machines do not run alike.
pub const MARGIN: Millis = Millis::from_secs(5);
/// Heartbeats that may wait for an answer; an older one is not worth waiting for.
const UNANSWERED: usize = 64;

impl LeaseClock {
    /// A new session begins: nothing that was sent in the last one will be answered.
    pub fn opened(&mut self, now: Mono) {
        self.sent.clear();
        self.opened = Some(now);
    }

    /// The master let the node in; leases last so long, `None` = until the machine restarts.
    pub fn welcomed(&mut self, span: Option<Millis>) {
        if let Some(from) = self.opened.take() {
            self.lease = Some(Lease { from, span });
        }
    }

    /// To be called before the heartbeat leaves.
    pub fn sent(&mut self, number: u64, now: Mono) {
        if self.sent.len() == UNANSWERED {
            self.sent.pop_front();
        }
        self.sent.push_back((number, now));
    }

    pub fn answered(&mut self, number: u64) {
        let Some(at) = self.sent.iter().position(|(it, _)| *it == number) else { return };
        let sent = self.sent.drain(..=at).next_back();
        if let (Some(lease), Some((_, at))) = (&mut self.lease, sent) {
            lease.from = lease.from.max(at);
        }
    }

    /// The master stops on purpose. Counts from the last answered heartbeat, because the word itself may have been long on its way.
    pub fn granted(&mut self, span: Millis) {
        if let Some(lease) = &mut self.lease {
            lease.span = lease.span.map(|before| before.max(span));
        }
    }

    /// When a supervisor must begin to stop its job, so that it is gone before the master may place it again. `None` = never;
    /// not to be asked before the first welcome.
    pub fn deadline(&self, grace: Millis) -> Option<Mono> {
        let Lease { from, span } = self.lease?;
        let usable = span?.0.saturating_sub(grace.0).saturating_sub(MARGIN.0);
        Some(from + Millis(usable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Millis = Millis::from_secs(10);

    fn welcomed(at: u64) -> LeaseClock {
        let mut clock = LeaseClock::default();
        clock.opened(Mono(at));
        clock.welcomed(Some(Millis::from_secs(300)));
        clock
    }

    #[test]
    fn a_lease_counts_from_when_the_answered_heartbeat_was_sent() {
        let mut clock = welcomed(0);
        clock.sent(1, Mono(1_000));
        clock.sent(2, Mono(3_000));
        assert_eq!(clock.deadline(GRACE), Some(Mono(285_000)));
        clock.answered(1);
        assert_eq!(clock.deadline(GRACE), Some(Mono(286_000)));
        clock.answered(2);
        assert_eq!(clock.deadline(GRACE), Some(Mono(288_000)));
    }

    #[test]
    fn an_answer_that_was_never_asked_for_renews_nothing() {
        let mut clock = welcomed(0);
        clock.sent(1, Mono(1_000));
        clock.answered(7);
        assert_eq!(clock.deadline(GRACE), Some(Mono(285_000)));
    }

    #[test]
    fn an_answer_to_a_heartbeat_of_an_older_session_renews_nothing() {
        let mut clock = welcomed(0);
        clock.sent(1, Mono(1_000));
        clock.opened(Mono(2_000));
        clock.answered(1);
        assert_eq!(clock.deadline(GRACE), Some(Mono(285_000)));
    }

    #[test]
    fn a_grant_counts_from_the_last_answer_and_ends_with_the_next_session() {
        let mut clock = welcomed(0);
        clock.granted(Millis::from_secs(3600));
        assert_eq!(clock.deadline(GRACE), Some(Mono(3_585_000)));
        clock.opened(Mono(100_000));
        assert_eq!(clock.deadline(GRACE), Some(Mono(3_585_000)), "a session that never opened");
        clock.welcomed(Some(Millis::from_secs(300)));
        assert_eq!(clock.deadline(GRACE), Some(Mono(385_000)));
    }

    #[test]
    fn a_lease_until_the_machine_restarts_has_no_deadline() {
        let mut clock = LeaseClock::default();
        clock.opened(Mono(0));
        clock.welcomed(None);
        clock.granted(Millis::from_secs(3600));
        assert_eq!(clock.deadline(GRACE), None);
    }

    #[test]
    fn unanswered_heartbeats_do_not_pile_up() {
        let mut clock = welcomed(0);
        for number in 0..10_000 {
            clock.sent(number, Mono(number));
        }
        assert_eq!(clock.sent.len(), UNANSWERED);
    }
}
