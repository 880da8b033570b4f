//! Lines of ignore files, for a matcher that reads classes of characters otherwise than git does.

/// NUL: no name of a file has it.
const NOTHING: char = '\0';

/// The same line for a matcher whose classes match a slash: git's never do, so those of what is not there are told of it, and
/// from the others it is taken.
pub fn as_git_reads_it(line: &str) -> String {
    if line.starts_with('#') {
        return line.to_owned();
    }
    let told = tell(line);
    // A line with a slash means one folder and what is below it, another one every folder: as before it was told.
    let (is_of_one, seems_of_one) = (has_slash(line), has_slash(&told));
    let (sign, rest) = match told.strip_prefix('!') {
        Some(rest) => ("!", rest),
        None => ("", &*told),
    };
    match (is_of_one, seems_of_one) {
        (false, true) => format!("{sign}**/{rest}"),
        (true, false) => format!("{sign}/{rest}"),
        _ => told,
    }
}

/// But for one at the end, which means a folder.
fn has_slash(line: &str) -> bool {
    let words = line.trim_end();
    words.strip_suffix('/').unwrap_or(words).contains('/')
}

fn tell(pattern: &str) -> String {
    let mut found = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find(['\\', '[']) {
        let (before, special) = rest.split_at(at);
        found.push_str(before);
        if let Some(escaped) = special.strip_prefix('\\') {
            let length = 1 + first(escaped);
            found.push_str(&special[..length]);
            rest = &special[length..];
            continue;
        }
        // One without its end stands for itself, and so do all behind it.
        let Some(length) = class(special) else {
            rest = special;
            break;
        };
        found.push_str(&without_slash(&special[..length]));
        rest = &special[length..];
    }
    found + rest
}

fn is_negated(class: &str) -> bool {
    class.starts_with("[!") || class.starts_with("[^")
}

/// Bytes of the class that this begins with, its brackets included.
fn class(text: &str) -> Option<usize> {
    let head = if is_negated(text) { 2 } else { 1 };
    // Right behind the head a bracket stands for itself.
    let behind = head + first(&text[head..]);
    Some(behind + text[behind..].find(']')? + 1)
}

fn without_slash(class: &str) -> String {
    if !is_negated(class) {
        return taken(class);
    }
    let (head, tail) = class.split_at(slash_at(class));
    format!("{head}/{tail}")
}

/// Behind the first character or range: before it, what begins with `]` or `-` would mean something else.
fn slash_at(class: &str) -> usize {
    let head = 2;
    let mut at = head + first(&class[head..]);
    while let Some(to) = class[at..].strip_prefix('-').filter(|it| !it.starts_with(']')) {
        at += 1 + first(to);
    }
    at
}

/// A range around the slash becomes two, in its place: what begins with `]`, `-`, `!` or `^` means the same as before there.
fn taken(class: &str) -> String {
    let ranges = ranges(&class[1..class.len() - 1]);
    let of_slash = |(low, high): &(char, char)| *low <= '/' && '/' <= *high;
    if !ranges.iter().any(of_slash) {
        return class.to_owned();
    }
    let mut found = String::from("[");
    for range in &ranges {
        let (low, high) = *range;
        if !of_slash(range) {
            push(&mut found, low, high);
            continue;
        }
        if low < '/' {
            push(&mut found, low, '.');
        }
        if high > '/' {
            push(&mut found, '0', high);
        }
        if low == high {
            found.push(NOTHING);
        }
    }
    found + "]"
}

fn push(class: &mut String, low: char, high: char) {
    class.push(low);
    if low != high {
        class.push('-');
        class.push(high);
    }
}

/// What stands between the brackets, as the matcher reads it: of `a-c-e` the end is told twice.
fn ranges(text: &str) -> Vec<(char, char)> {
    let mut found: Vec<(char, char)> = Vec::new();
    let mut is_open = false;
    for char in text.chars() {
        match found.last_mut() {
            Some(_) if char == '-' && !is_open => is_open = true,
            Some((_, high)) if is_open => {
                *high = char;
                is_open = false;
            }
            _ => found.push((char, char)),
        }
    }
    if is_open {
        found.push(('-', '-'));
    }
    found
}

/// Bytes of the first character.
fn first(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_of_what_is_not_there_has_the_slash_too_and_is_otherwise_the_same() {
        for (pattern, expected) in [
            ("a[!0-9]b", "a[!0-9/]b"),
            ("[^a]/[!bc]", "[^a/]/[!b/c]"),
            ("[!]]x", "[!]/]x"),
            ("[!]-a]", "[!]-a/]"),
            ("[!-a]", "[!-/a]"),
            ("[!a-]", "[!a/-]"),
            ("[!-]", "[!-/]"),
            ("[!ä-ü]", "[!ä-ü/]"),
            ("\\[!a]", "\\[!a]"),
            ("[!a", "[!a"),
            ("[![!a]", "[![/!a]"),
            ("[", "["),
            ("[!", "[!"),
            ("\\", "\\"),
            ("*.log", "*.log"),
        ] {
            assert_eq!(tell(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn from_a_class_of_what_is_there_the_slash_is_taken_and_nothing_else() {
        for (pattern, expected) in [
            ("[a!]", "[a!]"),
            ("[]a-z-]", "[]a-z-]"),
            ("a[+-9]b", "a[+-.0-9]b"),
            ("[a!-~]", "[a!-.0-~]"),
            ("[--9]", "[--.0-9]"),
            ("[/-9-]", "[0-9-]"),
            ("[.-/]", "[.]"),
            ("[a/!]", "[a\0!]"),
            ("[/]", "[\0]"),
            ("[+-.-9]", "[+-.0-9]"),
            ("[+--/]", "[+--\0]"),
        ] {
            assert_eq!(tell(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn a_line_means_the_folders_that_it_meant() {
        for (line, expected) in [
            ("*.log", "*.log"),
            ("[!a]", "**/[!a/]"),
            ("![!a]/", "!**/[!a/]/"),
            ("#[!a]", "#[!a]"),
            ("\\#[!a] ", "**/\\#[!a/] "),
            ("/[!a]", "/[!a/]"),
            ("!x/[!a]", "!x/[!a/]"),
            ("[+-9]", "[+-.0-9]"),
            ("[/]a", "/[\0]a"),
            ("!a[b/]/", "!/a[b\0]/"),
        ] {
            assert_eq!(as_git_reads_it(line), expected, "{line}");
        }
    }
}
