//! The lines of a spool, as its writers left them: whole, torn, too long or nonsense. Nothing of one line costs another.

use std::ops::ControlFlow;

use super::Entry;
use super::limits::LINE;

/// What every event begins with. Quotes within JSON text are escaped, so that this is never part of one.
const BEGINNING: &[u8] = br#"{"e":"#;

/// How far a piece of a spool was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub consumed: usize,
    /// It ends within a line that is too long.
    pub skipping: bool,
    pub unreadable: u64,
}

/// Gives every event of the piece to `take`, in order; one that it breaks at is not consumed, nor what follows. `skipping`: the piece
/// begins within a line that is too long. `last`: nothing follows it, so that what has no end is a line as well. `parse` reads the
/// JSON of one event.
pub fn read<'a>(
    piece: &'a [u8],
    skipping: bool,
    last: bool,
    parse: impl Fn(&'a [u8]) -> Option<Entry<'a>>,
    mut take: impl FnMut(Entry<'a>) -> ControlFlow<()>,
) -> Read {
    let mut read = Read { consumed: 0, skipping, unreadable: 0 };
    while read.consumed < piece.len() {
        let rest = &piece[read.consumed..];
        let end = rest.iter().position(|it| *it == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        let is_whole = end.is_some() || last;
        if !read.skipping && line.len() >= LINE {
            read.unreadable += 1;
            read.skipping = true;
        } else if !read.skipping && is_whole {
            let ControlFlow::Continue(lost) = event(line, &parse, &mut take) else { return read };
            read.unreadable += lost;
        } else if !read.skipping {
            return read; // the rest of this line is on its way
        }
        read.skipping &= !is_whole;
        read.consumed += end.map_or(rest.len(), |it| it + 1);
    }
    read
}

/// Returns how many lines of it were lost.
fn event<'a>(
    line: &'a [u8],
    parse: &impl Fn(&'a [u8]) -> Option<Entry<'a>>,
    take: &mut impl FnMut(Entry<'a>) -> ControlFlow<()>,
) -> ControlFlow<(), u64> {
    if line.trim_ascii().is_empty() {
        return ControlFlow::Continue(0);
    }
    if let Some(entry) = parse(line) {
        return take(entry).map_continue(|()| 0);
    }
    // The beginning of a line that nobody ended may stand before it.
    let begins = |at: &usize| *at > 0 && line[*at..].starts_with(BEGINNING);
    let torn = (0..line.len().saturating_sub(BEGINNING.len())).rev().find(begins);
    match torn.and_then(|at| parse(&line[at..])) {
        Some(entry) => take(entry).map_continue(|()| 1),
        None => ControlFlow::Continue(1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::*;

    fn parse(line: &[u8]) -> Option<Entry<'_>> {
        serde_json::from_slice(line).ok()
    }

    fn metric(key: &str) -> String {
        format!(r#"{{"e":"metric","key":"{key}","value":1}}"#)
    }

    /// Keys of what was read, how far, and how many lines were lost.
    fn keys(piece: &str, skipping: bool, last: bool) -> (Vec<String>, Read) {
        let mut keys = Vec::new();
        let read = read(piece.as_bytes(), skipping, last, parse, |entry| {
            let Event::Metric { key, .. } = entry.event else { panic!("{entry:?}") };
            keys.push(key.into_owned());
            ControlFlow::Continue(())
        });
        (keys, read)
    }

    fn check(piece: &str, expected: &[&str], lost: u64) {
        let (keys, read) = keys(piece, false, false);
        assert_eq!(keys, expected, "{piece}");
        let whole = Read { consumed: piece.len(), skipping: false, unreadable: lost };
        assert_eq!(read, whole, "{piece}");
    }

    #[test]
    fn every_whole_line_is_read_and_a_beginning_waits_for_its_end() {
        let (a, b) = (metric("a"), metric("b"));
        check(&format!("{a}\n{b}\n"), &["a", "b"], 0);
        check(&format!("{a}\n\n\r\n{b}\n"), &["a", "b"], 0);
        check("", &[], 0);
        let piece = format!("{a}\n{}", &b[..9]);
        let (keys, read) = self::keys(&piece, false, false);
        assert_eq!((keys.len(), read.consumed, read.skipping), (1, a.len() + 1, false));
    }

    #[test]
    fn at_the_end_what_has_no_end_is_a_line() {
        let (a, b) = (metric("a"), metric("b"));
        let both = format!("{a}\n{b}");
        let (read_keys, read) = keys(&both, false, true);
        assert_eq!(
            (read_keys, read.consumed, read.unreadable),
            (vec!["a".into(), "b".into()], both.len(), 0)
        );
        let torn = &both[..both.len() - 2];
        let (read_keys, read) = keys(torn, false, true);
        assert_eq!((read_keys.len(), read.consumed, read.unreadable), (1, torn.len(), 1));
    }

    #[test]
    fn a_torn_line_costs_itself_and_not_the_one_that_follows_it() {
        let (a, b, c) = (metric("a"), metric("b"), metric("c"));
        check(&format!("{a}\n{}{b}\n{c}\n", &a[..20]), &["a", "b", "c"], 1);
        check(&format!("{}\n{b}\n", &a[..20]), &["b"], 1);
        check(&format!("nonsense\n{b}\n\u{0}\u{1}\n"), &["b"], 2);
        check(&format!("{}{}{c}\n", &a[..20], &b[..9]), &["c"], 1);
        // Text of a user that looks like an event is none: its quotes are escaped.
        let tricky = r#"{"e":"metric","key":"{\"e\":\"x\"","value":1}"#;
        check(&format!("{tricky}\n"), &[r#"{"e":"x""#], 0);
    }

    #[test]
    fn what_takes_them_can_break_before_an_event() {
        let piece = format!("{}\n{}{}\n", metric("a"), &metric("b")[..9], metric("c"));
        let mut count = 0;
        let read = read(piece.as_bytes(), false, false, parse, |_| {
            count += 1;
            if count == 1 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let before = metric("a").len() + 1;
        assert_eq!(read, Read { consumed: before, skipping: false, unreadable: 0 });
    }

    #[test]
    fn bytes_that_are_no_text_cost_their_line() {
        let mut piece = metric("a").into_bytes();
        piece.extend(b"\n{\"e\":\"metric\",\"key\":\"\xff\",\"value\":1}\n");
        let mut count = 0;
        let read = read(&piece, false, false, parse, |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        assert_eq!((count, read.unreadable), (1, 1));
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_in_one_piece_and_in_several() {
        let long = metric(&"x".repeat(LINE));
        let (a, b) = (metric("a"), metric("b"));
        check(&format!("{a}\n{long}\n{b}\n"), &["a", "b"], 1);
        let fits =
            format!("{{\"e\":\"metric\",\"key\":\"k\",\"value\":1{}}}", " ".repeat(LINE - 35));
        assert_eq!(fits.len() + 1, LINE);
        check(&format!("{fits}\n"), &["k"], 0);
        check(&format!("{fits} \n"), &[], 1);
        let (none, first) = keys(&long, false, false);
        assert_eq!(
            (none.len(), first),
            (0, Read { consumed: long.len(), skipping: true, unreadable: 1 })
        );
        let (none, more) = keys(&long, true, false);
        assert_eq!(
            (none.len(), more),
            (0, Read { consumed: long.len(), skipping: true, unreadable: 0 })
        );
        let rest = format!("rest\n{b}\n");
        let (then, end) = keys(&rest, true, false);
        assert_eq!((then, end.skipping, end.unreadable), (vec!["b".to_owned()], false, 0));
        assert!(!keys(&long, true, true).1.skipping);
    }
}
