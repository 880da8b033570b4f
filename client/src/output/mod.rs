//! Results on stdout: tables for people, JSON for programs.

mod table;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

pub use table::{Cell, Column, Table};

/// How a listing looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; fits the terminal
    #[default]
    Table,
    /// One JSON array; of one thing, an object
    Json,
    /// One JSON object per line
    Jsonl,
    /// A table with all columns, nothing shortened
    Wide,
}

/// `--output`, as every listing has it.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Output {
    /// How the result looks
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
}

/// What can be listed: a JSON object, and a row of a table.
pub trait Row: Serialize {
    fn columns(wide: bool) -> Vec<Column>;
    fn cells(&self, wide: bool) -> Vec<Cell>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Red,
    Green,
    Yellow,
    Blue,
    Dim,
}

/// Prints a listing as it was asked for.
pub fn list<R: Row>(format: Format, rows: &[R]) -> io::Result<()> {
    list_with(format, rows, &[], |_, _| Cell::default())
}

/// The same with columns of these names behind the others; JSON has what it has.
pub fn list_with<R: Row>(
    format: Format,
    rows: &[R],
    names: &[String],
    cell: impl Fn(&R, &str) -> Cell,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, rows)?;
            writeln!(out)?;
        }
        Format::Jsonl => {
            for row in rows {
                serde_json::to_writer(&mut out, row)?;
                writeln!(out)?;
            }
        }
        Format::Table | Format::Wide => {
            let wide = format == Format::Wide;
            let named = names.iter().map(|it| Column::named(it));
            let mut table = Table::new(R::columns(wide).into_iter().chain(named).collect());
            for row in rows {
                let named = names.iter().map(|it| cell(row, it));
                table.push(row.cells(wide).into_iter().chain(named).collect());
            }
            let width = if wide { None } else { terminal_width() };
            out.write_all(table.render(width, colours(&io::stdout())).as_bytes())?;
        }
    }
    out.flush()
}

/// Prints one thing as JSON: indented for `json`, on one line for `jsonl`.
pub fn object(format: Format, value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Jsonl => serde_json::to_writer(&mut out, value)?,
        Format::Json | Format::Table | Format::Wide => {
            serde_json::to_writer_pretty(&mut out, value)?;
        }
    }
    writeln!(out)?;
    out.flush()
}

/// Prints one line.
pub fn line(line: &str) -> io::Result<()> {
    text(&format!("{line}\n"))
}

/// Prints lines that end as they do.
pub fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whether a stream wants colours: a terminal whose user did not say `NO_COLOR`.
pub fn colours(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|it| it == "dumb");
    stream.is_terminal() && !refused && !dumb
}

pub fn paint(text: &str, colour: Colour) -> String {
    let code = match colour {
        Colour::Red => 31,
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Blue => 34,
        Colour::Dim => 2,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Columns of the terminal that stdout is, if it is one.
fn terminal_width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&stdout).ok().map(|it| it.ws_col.into()).filter(|it| *it > 0)
}

/// `1 job`, `3 jobs`: a number with what stands behind it, for one and for any other number.
pub fn counted<N: Copy + From<u8> + PartialEq + Display>(
    number: N,
    one: &str,
    others: &str,
) -> String {
    let words = if number == N::from(1) { one } else { others };
    format!("{number} {words}")
}

/// `1.2 MB`: bytes for people, in thousands.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count;
    let mut unit = 0;
    while value >= 999_950 {
        value /= 1000;
        unit += 1;
    }
    let tenths = (value + 50) / 100;
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_are_shown_with_one_digit_behind_the_point() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_049, "1.0 kB"),
            (1_050, "1.1 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (104_857_600, "104.9 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
        }
    }
}
