//! One column: a value for each run that has one.

use std::collections::HashMap;

use super::texts::TextId;

/// What stands in a column for one run.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    Missing,
    Null,
    Bool(bool),
    Number(f64),
    /// Digits of an integer that no float holds exactly.
    Big(TextId),
    Text(TextId),
    /// A list or a map, as JSON.
    Json(TextId),
}

/// The kinds of cells that there are.
const KINDS: usize = 7;
/// A column of which more than this part is empty keeps only what it has.
const SPARSE: usize = 4;

/// A cell without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    Missing,
    Null,
    Bool,
    Number,
    Big,
    Text,
    Json,
}

/// Cells by row. Rows that were never set are missing.
#[derive(Debug, Default)]
pub struct Column {
    cells: Cells,
    /// Of each kind but missing.
    counts: [u32; KINDS],
}

#[derive(Debug)]
enum Cells {
    /// Of runs that few others are like.
    Few(HashMap<u32, Cell>),
    /// Nine bytes a row.
    Many { kinds: Vec<CellKind>, bits: Vec<u64> },
}

impl Default for Cells {
    fn default() -> Self {
        Self::Many { kinds: Vec::new(), bits: Vec::new() }
    }
}

impl Column {
    pub fn get(&self, row: u32) -> Cell {
        match &self.cells {
            Cells::Few(few) => few.get(&row).copied().unwrap_or(Cell::Missing),
            Cells::Many { kinds, bits } => match kinds.get(row as usize) {
                Some(kind) => Cell::unpack(*kind, bits[row as usize]),
                None => Cell::Missing,
            },
        }
    }

    /// Gives what stood there before.
    pub fn set(&mut self, row: u32, cell: Cell) -> Cell {
        let before = self.get(row);
        let (kind, bits) = cell.pack();
        let (kind_before, bits_before) = before.pack();
        if (kind, bits) == (kind_before, bits_before) {
            return before;
        }
        if kind_before != CellKind::Missing {
            self.counts[kind_before as usize] -= 1;
        }
        if kind != CellKind::Missing {
            self.counts[kind as usize] += 1;
            self.make_room(row);
        }
        match &mut self.cells {
            Cells::Few(few) if kind == CellKind::Missing => {
                few.remove(&row);
            }
            Cells::Few(few) => {
                few.insert(row, cell);
            }
            Cells::Many { kinds, bits: all } => {
                if let Some(at) = kinds.get_mut(row as usize) {
                    *at = kind;
                    all[row as usize] = bits;
                }
            }
        }
        before
    }

    /// So that this row can be set, in the shape that takes less memory.
    fn make_room(&mut self, row: u32) {
        let (rows, present) = (row as usize + 1, self.present());
        match &mut self.cells {
            Cells::Many { kinds, bits } if rows > kinds.len() => {
                if rows > present * SPARSE {
                    let mut few = HashMap::new();
                    self.each(|row, cell| {
                        few.insert(row, cell);
                    });
                    self.cells = Cells::Few(few);
                } else {
                    kinds.resize(rows, CellKind::Missing);
                    bits.resize(rows, 0);
                }
            }
            // Looked at each time the number has doubled.
            Cells::Few(few) if few.len().is_power_of_two() => {
                let last = few.keys().copied().max().unwrap_or(0).max(row) as usize;
                // Half as sparse as it was when it came to be so: it does not go to and fro.
                if (last + 1) * 2 <= few.len() * SPARSE {
                    let (mut kinds, mut bits) =
                        (vec![CellKind::Missing; last + 1], vec![0; last + 1]);
                    for (row, cell) in few {
                        (kinds[*row as usize], bits[*row as usize]) = cell.pack();
                    }
                    self.cells = Cells::Many { kinds, bits };
                }
            }
            Cells::Few(_) | Cells::Many { .. } => {}
        }
    }

    /// Every cell that is not missing.
    pub fn each(&self, mut see: impl FnMut(u32, Cell)) {
        match &self.cells {
            Cells::Few(few) => few.iter().for_each(|(row, cell)| see(*row, *cell)),
            Cells::Many { kinds, bits } => {
                for (row, (kind, bits)) in (0u32..).zip(kinds.iter().zip(bits)) {
                    if *kind != CellKind::Missing {
                        see(row, Cell::unpack(*kind, *bits));
                    }
                }
            }
        }
    }

    /// The last row takes the place of this one; gives what stood here.
    pub fn swap_remove(&mut self, row: u32, last: u32) -> Cell {
        let moved = self.set(last, Cell::Missing);
        if row == last { moved } else { self.set(row, moved) }
    }

    /// Runs that have a value.
    pub fn present(&self) -> usize {
        self.counts.iter().map(|it| *it as usize).sum()
    }

    /// What the values are.
    pub fn kinds(&self) -> impl Iterator<Item = CellKind> {
        use CellKind::{Big, Bool, Json, Null, Number, Text};
        [Null, Bool, Number, Big, Text, Json].into_iter().filter(|it| self.counts[*it as usize] > 0)
    }
}

impl Cell {
    fn pack(self) -> (CellKind, u64) {
        match self {
            Self::Missing => (CellKind::Missing, 0),
            Self::Null => (CellKind::Null, 0),
            Self::Bool(it) => (CellKind::Bool, it.into()),
            Self::Number(it) => (CellKind::Number, it.to_bits()),
            Self::Big(it) => (CellKind::Big, it.to_bits()),
            Self::Text(it) => (CellKind::Text, it.to_bits()),
            Self::Json(it) => (CellKind::Json, it.to_bits()),
        }
    }

    fn unpack(kind: CellKind, bits: u64) -> Self {
        match kind {
            CellKind::Missing => Self::Missing,
            CellKind::Null => Self::Null,
            CellKind::Bool => Self::Bool(bits != 0),
            CellKind::Number => Self::Number(f64::from_bits(bits)),
            CellKind::Big => Self::Big(TextId::from_bits(bits)),
            CellKind::Text => Self::Text(TextId::from_bits(bits)),
            CellKind::Json => Self::Json(TextId::from_bits(bits)),
        }
    }

    /// The text that it uses.
    pub fn text(self) -> Option<TextId> {
        match self {
            Self::Big(id) | Self::Text(id) | Self::Json(id) => Some(id),
            Self::Missing | Self::Null | Self::Bool(_) | Self::Number(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(column: &Column, rows: u32) -> Vec<Option<f64>> {
        let number = |row| match column.get(row) {
            Cell::Number(number) => Some(number),
            _ => None,
        };
        (0..rows).map(number).collect()
    }

    #[test]
    fn a_column_holds_what_was_set_whatever_its_shape() {
        let mut column = Column::default();
        let mut expected = vec![None; 2000];
        let mut random = 7u64;
        for step in 0..20_000u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let span = if step < 5000 { 2000 } else { 40 };
            let row = (random >> 33) as u32 % span;
            let cell =
                if random.is_multiple_of(3) { Cell::Missing } else { Cell::Number(step.into()) };
            column.set(row, cell);
            expected[row as usize] = match cell {
                Cell::Number(number) => Some(number),
                _ => None,
            };
        }
        assert_eq!(numbers(&column, 2000), expected);
        let mut seen = vec![None; 2000];
        column.each(|row, cell| {
            if let Cell::Number(number) = cell {
                seen[row as usize] = Some(number);
            }
        });
        assert_eq!((seen, column.present()), (expected.clone(), expected.iter().flatten().count()));
    }

    #[test]
    fn a_key_of_one_run_in_many_takes_no_room_for_the_others() {
        let mut column = Column::default();
        column.set(1_000_000, Cell::Bool(true));
        assert!(matches!(column.cells, Cells::Few(_)));
        let mut column = Column::default();
        column.set(0, Cell::Bool(true));
        column.set(1_000_000, Cell::Bool(true));
        assert!(matches!(column.cells, Cells::Few(_)));
        assert!(matches!(column.get(0), Cell::Bool(true)));
    }

    #[test]
    fn the_last_row_takes_the_place_of_one_that_goes() {
        let mut column = Column::default();
        for row in 0..4u32 {
            column.set(row, Cell::Number(row.into()));
        }
        column.swap_remove(1, 3);
        assert_eq!(numbers(&column, 4), [Some(0.0), Some(3.0), Some(2.0), None]);
        column.swap_remove(2, 2);
        assert_eq!((numbers(&column, 3), column.present()), (vec![Some(0.0), Some(3.0), None], 2));
    }
}
