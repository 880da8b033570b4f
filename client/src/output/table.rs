//! A table without borders that fits its terminal.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Colour, paint};

/// Rows below titles.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Clone, Debug)]
pub struct Column {
    title: Cow<'static, str>,
    right: bool,
    /// May be shortened to fit the terminal, down to this width.
    least: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    colour: Option<Colour>,
}

const GAP: usize = 2;

impl Column {
    pub const fn left(title: &'static str) -> Self {
        Self { title: Cow::Borrowed(title), right: false, least: None }
    }

    /// For what the master names.
    pub fn named(title: &str) -> Self {
        let title = Cell::new(title).text.into();
        Self { title, right: true, least: None }
    }

    /// For numbers.
    pub const fn right(title: &'static str) -> Self {
        Self { title: Cow::Borrowed(title), right: true, least: None }
    }

    /// Is shortened first.
    pub const fn flexible(title: &'static str) -> Self {
        Self { title: Cow::Borrowed(title), right: false, least: Some(10) }
    }
}

impl Cell {
    /// On one line, and nothing in it steers the terminal.
    pub fn new(text: impl AsRef<str>) -> Self {
        let one = |it: char| match it {
            '\n' | '\t' | '\r' => ' ',
            it if it.is_control() => char::REPLACEMENT_CHARACTER,
            it => it,
        };
        let text = text.as_ref();
        let text = if text.is_empty() { "-".to_owned() } else { text.chars().map(one).collect() };
        Self { text, colour: None }
    }

    /// What may be empty, such as a tag, and is something else then than what is not there.
    pub fn value(text: Option<&str>) -> Self {
        match text {
            Some("") => Self::new("\"\""),
            text => Self::new(text.unwrap_or_default()),
        }
    }

    #[must_use]
    pub fn coloured(self, colour: Colour) -> Self {
        Self { colour: Some(colour), ..self }
    }
}

impl Table {
    pub const fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len(), "a cell for each column");
        self.rows.push(row);
    }

    /// `width` = columns of the terminal.
    pub fn render(&self, width: Option<usize>, colours: bool) -> String {
        let title = |it: &Column| Cell { text: it.title.to_string(), colour: Some(Colour::Dim) };
        let titles: Vec<Cell> = self.columns.iter().map(title).collect();
        self.lines(std::iter::once(&titles).chain(&self.rows), width, colours)
    }

    /// Without titles, nothing shortened.
    pub fn render_rows(&self) -> String {
        self.lines(self.rows.iter(), None, false)
    }

    fn lines<'a>(
        &self,
        rows: impl Iterator<Item = &'a Vec<Cell>>,
        width: Option<usize>,
        colours: bool,
    ) -> String {
        let widths = self.widths(width);
        let mut text = String::new();
        for row in rows {
            let mut line = String::new();
            for ((cell, column), width) in row.iter().zip(&self.columns).zip(&widths) {
                if !line.is_empty() {
                    line.push_str(&" ".repeat(GAP));
                }
                let shown = shortened(&cell.text, *width);
                let space = " ".repeat(width.saturating_sub(shown.width()));
                let shown = match cell.colour {
                    Some(colour) if colours => paint(&shown, colour),
                    _ => shown,
                };
                line.push_str(&if column.right { space + &shown } else { shown + &space });
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn widths(&self, terminal: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|it| it.title.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        let Some(terminal) = terminal else { return widths };
        loop {
            let total = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
            let too_much = total.saturating_sub(terminal);
            // The widest of those that may be shortened gives first.
            let widest = (0..widths.len())
                .filter(|at| self.columns[*at].least.is_some_and(|least| widths[*at] > least))
                .max_by_key(|at| widths[*at]);
            let (Some(at), 1..) = (widest, too_much) else { return widths };
            widths[at] -= 1;
        }
    }
}

/// `text` in at most `width` columns, with `…` where something was cut.
fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let mut cut: String = text
        .chars()
        .take_while(|it| {
            let wide = it.width().unwrap_or(0);
            let fits = wide <= left;
            left = left.saturating_sub(wide);
            fits
        })
        .collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn table() -> Table {
        let mut table =
            Table::new(vec![Column::left("ID"), Column::flexible("NAME"), Column::right("SIZE")]);
        for (id, name, size) in
            [("4554", "first", "1 B"), ("9", "数据 with a long name", "20 kB"), ("1", "", "")]
        {
            table.push([id, name, size].map(Cell::new).into());
        }
        table
    }

    fn check(width: Option<usize>, expected: &Expect) {
        expected.assert_eq(&table().render(width, false));
    }

    #[test]
    fn columns_are_as_wide_as_they_need() {
        check(
            None,
            &expect![[r#"
                ID    NAME                    SIZE
                4554  first                    1 B
                9     数据 with a long name  20 kB
                1     -                          -
            "#]],
        );
    }

    #[test]
    fn a_long_cell_is_shortened_to_fit_the_terminal() {
        check(
            Some(27),
            &expect![[r#"
                ID    NAME             SIZE
                4554  first             1 B
                9     数据 with a l…  20 kB
                1     -                   -
            "#]],
        );
    }

    #[test]
    fn a_terminal_narrower_than_possible_gets_what_is_possible() {
        assert!(table().render(Some(1), false).contains("数据 with…"));
    }

    #[test]
    fn a_cell_stays_on_its_line_and_steers_nothing() {
        let mut table = Table::new(vec![Column::left("A")]);
        table.push(vec![Cell::new("x\ny\x1b[31m")]);
        assert_eq!(table.render(None, false), "A\nx y\u{fffd}[31m\n");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let mut table = Table::new(vec![Column::left("A"), Column::left("B")]);
        table.push(vec![Cell::new("x").coloured(Colour::Red), Cell::new("y")]);
        assert!(table.render(None, true).contains("\x1b[31mx\x1b[0m  y"));
    }
}
