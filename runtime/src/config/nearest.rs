//! "Did you mean …?"

/// The candidate that `word` was most likely meant to be, if one is near enough to be worth naming.
///
/// ```
/// use atlas_runtime::config::nearest;
/// assert_eq!(nearest("htpp", ["grpc", "http"]), Some("http"));
/// assert_eq!(nearest("num-gpus", ["num_gpus", "ram"]), Some("num_gpus"));
/// assert_eq!(nearest("colour", ["grpc", "http"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes that much; the bound keeps hostile keys cheap.
    const LONGEST: usize = 64;
    let word: Vec<char> = word.chars().take(LONGEST + 1).map(plain).collect();
    if word.len() > LONGEST {
        return None;
    }
    let allowed = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|it| (distance(&word, &it.chars().map(plain).collect::<Vec<_>>()), it))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, it)| it)
}

/// Case and the two ways to join words are no difference.
fn plain(c: char) -> char {
    if c == '-' { '_' } else { c.to_ascii_lowercase() }
}

/// Edits between `a` and `b`, a swap of neighbours counting as one (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_a_drop_and_an_insertion_are_one_edit_each() {
        for word in ["rma", "rm", "raam"] {
            assert_eq!(nearest(word, ["entrypoint", "ram"]), Some("ram"), "{word}");
        }
    }

    #[test]
    fn the_nearest_of_several_wins() {
        assert_eq!(nearest("num_gpu", ["num_cpus", "num_gpus"]), Some("num_gpus"));
    }

    #[test]
    fn an_endless_word_is_like_nothing() {
        assert_eq!(nearest(&"a".repeat(1_000_000), ["a"]), None);
    }

    #[test]
    fn an_empty_word_is_not_compared_to_long_ones() {
        assert_eq!(nearest("", ["http"]), None);
    }
}
