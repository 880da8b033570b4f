//! A set of rows, a bit each.

#[derive(Clone, Debug)]
pub struct Bits {
    words: Vec<u64>,
    rows: usize,
}

impl Bits {
    pub fn none(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)], rows }
    }

    pub fn all(rows: usize) -> Self {
        Self::none(rows).negated()
    }

    pub fn add(&mut self, row: u32) {
        self.words[row as usize / 64] |= 1 << (row % 64);
    }

    #[must_use]
    pub fn negated(mut self) -> Self {
        self.words.iter_mut().for_each(|it| *it = !*it);
        if let (Some(last), used @ 1..) = (self.words.last_mut(), self.rows % 64) {
            *last &= (1 << used) - 1;
        }
        self
    }

    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        self.zip(other, |one, other| one & other)
    }

    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        self.zip(other, |one, other| one | other)
    }

    fn zip(mut self, other: &Self, join: fn(u64, u64) -> u64) -> Self {
        for (one, other) in self.words.iter_mut().zip(&other.words) {
            *one = join(*one, *other);
        }
        self
    }

    pub fn count(&self) -> usize {
        self.words.iter().map(|it| it.count_ones() as usize).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.words).flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_rows_is_one() {
        for rows in [0usize, 1, 63, 64, 65, 130] {
            assert_eq!(Bits::all(rows).count(), rows);
            let mut odd = Bits::none(rows);
            let all = 0..u32::try_from(rows).unwrap();
            all.clone().filter(|it| it % 2 == 1).for_each(|it| odd.add(it));
            let even = odd.clone().negated();
            assert!(even.iter().eq(all.clone().filter(|it| it % 2 == 0)), "{rows}");
            assert_eq!(odd.clone().and(&even).count(), 0);
            assert!(odd.or(&even).iter().eq(all));
        }
    }
}
