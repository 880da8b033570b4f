//! A long series in few points, such that a drawing of them looks like one of all: no spike is lost.

use std::cmp::Ordering;

use super::block::Sample;

/// At most `most` points, or four if that is fewer: the first and the last one, and of each of the equal parts between them the
/// least and the greatest. Of a part without any that has an order (text, NaN) the first stands for it.
pub fn envelope(samples: Vec<Sample>, most: usize) -> Vec<Sample> {
    let most = most.max(4);
    if samples.len() <= most {
        return samples;
    }
    let (first, rest) = samples.split_first().expect("there are more than four");
    let (last, between) = rest.split_last().expect("there are more than four");
    let parts = (most - 2) / 2;
    let mut kept = vec![first.clone()];
    for part in 0..parts {
        let (from, to) = (between.len() * part / parts, between.len() * (part + 1) / parts);
        let (least, greatest) = extremes(&between[from..to]);
        let (one, other) = (least.min(greatest), least.max(greatest));
        kept.push(between[from + one].clone());
        if other != one {
            kept.push(between[from + other].clone());
        }
    }
    kept.push(last.clone());
    kept
}

/// Where the least and the greatest are.
fn extremes(part: &[Sample]) -> (usize, usize) {
    let mut found: Option<(usize, usize)> = None;
    for (at, sample) in part.iter().enumerate() {
        if sample.value.number().is_none_or(f64::is_nan) {
            continue;
        }
        let (least, greatest) = found.get_or_insert((at, at));
        if sample.value.compare(&part[*least].value) == Some(Ordering::Less) {
            *least = at;
        }
        if sample.value.compare(&part[*greatest].value) == Some(Ordering::Greater) {
            *greatest = at;
        }
    }
    found.unwrap_or((0, 0))
}

#[cfg(test)]
mod tests {
    use atlas_core::Timestamp;
    use atlas_core::run::Scalar;

    use super::*;

    fn series(values: impl IntoIterator<Item = Scalar>) -> Vec<Sample> {
        let sample = |(step, value)| Sample { step, at: Timestamp(step), value };
        (0..).zip(values).map(sample).collect()
    }

    #[test]
    fn a_spike_survives_and_so_do_both_ends() {
        let flat = |step| match step {
            12_345 => 9.0,
            54_321 => -9.0,
            _ => 0.5,
        };
        let all = series((0..100_000).map(|step| Scalar::Float(flat(step))));
        for most in [4, 5, 100, 1_000] {
            let kept = envelope(all.clone(), most);
            assert!(kept.len() <= most, "{} of {most}", kept.len());
            let steps: Vec<_> = kept.iter().map(|it| it.step).collect();
            assert!(steps.is_sorted());
            for step in [0, 12_345, 54_321, 99_999] {
                assert!(steps.contains(&step), "{step} is not among {most}");
            }
        }
    }

    #[test]
    fn few_points_stay_as_they_are_and_what_has_no_order_is_stood_for() {
        let few = series((0..7).map(Scalar::Int));
        assert_eq!(envelope(few.clone(), 7), few);
        let text = series((0..100).map(|it| Scalar::Text(it.to_string())));
        let kept = envelope(text, 10);
        assert_eq!(kept.iter().map(|it| it.step).collect::<Vec<_>>(), [0, 1, 25, 50, 74, 99]);
        let nan = series([f64::NAN; 50].map(Scalar::Float));
        assert_eq!(envelope(nan, 4).len(), 3);
    }
}
