//! Waits between retries: exponential with full jitter, so that a thousand clients of a restarted master do not come
//! back in step.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// How fast and how often to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The longest first wait; it doubles with each attempt.
    pub first: Duration,
    /// No wait is longer.
    pub max: Duration,
    /// Waits before giving up; `None` never gives up.
    pub attempts: Option<u32>,
}

/// The waits of one run of retries: each drawn evenly from zero to a bound that doubles up to [`Policy::max`].
///
/// ```
/// use std::time::Duration;
/// use atlas_runtime::backoff::{Backoff, Policy};
///
/// let policy = Policy { first: Duration::from_millis(100), max: Duration::from_secs(10), attempts: Some(5) };
/// let mut backoff = Backoff::new(policy);
/// while let Some(wait) = backoff.next() {
///     assert!(wait <= policy.max); // sleep(wait).await; try again; on success: backoff.reset()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: Policy,
    attempt: u32,
    random: u64,
}

impl Backoff {
    /// With randomness of its own.
    pub fn new(policy: Policy) -> Self {
        Self::seeded(policy, RandomState::new().hash_one(0u8))
    }

    /// The same seed gives the same waits.
    pub const fn seeded(policy: Policy, seed: u64) -> Self {
        Self { policy, attempt: 0, random: seed }
    }

    /// After a success: the next wait is short again.
    pub const fn reset(&mut self) {
        self.attempt = 0;
    }

    /// The next of an endless row of random numbers (SplitMix64).
    const fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.policy.attempts.is_some_and(|attempts| self.attempt >= attempts) {
            return None;
        }
        let growth = 1u32.checked_shl(self.attempt).unwrap_or(u32::MAX);
        let bound = self.policy.first.saturating_mul(growth).min(self.policy.max);
        self.attempt = self.attempt.saturating_add(1);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let drawn = (u128::from(self.random()) * (u128::from(nanos) + 1)) >> 64;
        Some(Duration::from_nanos(u64::try_from(drawn).expect("at most nanos")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { first: Duration::from_millis(100), max: Duration::from_secs(5), attempts: None };

    #[test]
    fn no_wait_is_longer_than_its_bound_and_the_bound_doubles_to_the_maximum() {
        for seed in 0..200 {
            for (attempt, wait) in Backoff::seeded(POLICY, seed).take(100).enumerate() {
                let bound = POLICY.first.saturating_mul(1 << attempt.min(20)).min(POLICY.max);
                assert!(wait <= bound, "seed {seed}, attempt {attempt}: {wait:?} > {bound:?}");
            }
        }
    }

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let long: Vec<_> = (0..1000)
            .map(|seed| Backoff::seeded(POLICY, seed).nth(20).unwrap().as_secs_f64() / 5.0)
            .collect();
        let mean = long.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert!(long.iter().any(|it| *it < 0.05) && long.iter().any(|it| *it > 0.95));
    }

    #[test]
    fn a_bounded_policy_ends() {
        let policy = Policy { attempts: Some(3), ..POLICY };
        assert_eq!(Backoff::new(policy).count(), 3);
    }

    #[test]
    fn a_reset_starts_over_with_short_waits_and_all_attempts() {
        let mut backoff = Backoff::seeded(Policy { attempts: Some(30), ..POLICY }, 7);
        assert_eq!(backoff.by_ref().count(), 30);
        backoff.reset();
        assert!(backoff.next().unwrap() <= POLICY.first);
        assert_eq!(backoff.count(), 29);
    }

    #[test]
    fn a_seed_gives_the_same_waits_again_and_new_ones_differ() {
        let waits = |backoff: Backoff| backoff.take(10).collect::<Vec<_>>();
        assert_eq!(waits(Backoff::seeded(POLICY, 42)), waits(Backoff::seeded(POLICY, 42)));
        assert_ne!(waits(Backoff::new(POLICY)), waits(Backoff::new(POLICY)));
    }

    #[test]
    fn extreme_policies_do_not_overflow() {
        let policy = Policy { first: Duration::MAX, max: Duration::MAX, attempts: Some(100) };
        assert_eq!(Backoff::new(policy).count(), 100);
        let policy = Policy { first: Duration::ZERO, max: Duration::ZERO, attempts: None };
        assert_eq!(Backoff::new(policy).next(), Some(Duration::ZERO));
    }
}
