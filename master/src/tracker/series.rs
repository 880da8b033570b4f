//! A metric's points, wherever they lie.

use std::io;

use atlas_core::{JobId, Run};

use super::block::Sample;
use super::points::{self, Units};
use crate::archive::Archive;

/// All points that count, in the order of their steps: of two of the same step the one that came later, or from the later attempt.
/// Blocks.
pub fn read(
    archive: &Archive,
    job: JobId,
    run: &Run,
    key: &str,
    rank: u32,
) -> io::Result<Vec<Sample>> {
    let units = Units::one(key, rank);
    let mut samples = Vec::new();
    for attempt in run.attempts.keys() {
        points::of_attempt(archive, (job, run), *attempt, &units, &mut |_, _, mut more| {
            samples.append(&mut more);
            Ok(())
        })?;
    }
    Ok(counting(samples))
}

fn counting(mut samples: Vec<Sample>) -> Vec<Sample> {
    // It keeps the order in which those of one step came.
    samples.sort_by_key(|it| it.step);
    samples.reverse();
    samples.dedup_by_key(|it| it.step);
    samples.reverse();
    samples
}

#[cfg(test)]
mod tests {
    use atlas_core::Timestamp;
    use atlas_core::run::Scalar;

    use super::*;

    #[test]
    fn of_each_step_the_last_point_counts() {
        let sample = |(step, value)| Sample { step, at: Timestamp(0), value: Scalar::Int(value) };
        let came = [(5, 1), (0, 2), (5, 3), (7, 4), (0, 5), (6, 6)].map(sample);
        let expected = [(0, 5), (5, 3), (6, 6), (7, 4)].map(sample);
        assert_eq!(counting(came.into()), expected);
    }
}
