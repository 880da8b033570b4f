//! Classes of characters in patterns of ignore files.

/// The same pattern for a matcher that lets a class of what is not there match a slash: git does not, so it is told of the slash.
pub(super) fn without_slash(line: &str) -> String {
    let told = tell(line);
    if told == line || line.starts_with('#') {
        return line.to_owned();
    }
    // A line without a slash means every folder, and one that has been told of it would mean this one alone.
    let words = line.trim_end();
    if words.strip_suffix('/').unwrap_or(words).contains('/') {
        return told;
    }
    match told.strip_prefix('!') {
        Some(rest) => format!("!**/{rest}"),
        None => format!("**/{told}"),
    }
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
        let (head, tail) = special[..length].split_at(slash_at(&special[..length]));
        found.push_str(head);
        if is_negated(special) {
            found.push('/');
        }
        found.push_str(tail);
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

/// Behind the first character or range: before it, what begins with `]` or `-` would mean something else.
fn slash_at(class: &str) -> usize {
    let head = if is_negated(class) { 2 } else { 1 };
    let mut at = head + first(&class[head..]);
    while let Some(to) = class[at..].strip_prefix('-').filter(|it| !it.starts_with(']')) {
        at += 1 + first(to);
    }
    at
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
            ("[a!]", "[a!]"),
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
    fn a_line_means_the_folders_that_it_meant() {
        for (line, expected) in [
            ("*.log", "*.log"),
            ("[!a]", "**/[!a/]"),
            ("![!a]/", "!**/[!a/]/"),
            ("#[!a]", "#[!a]"),
            ("\\#[!a] ", "**/\\#[!a/] "),
            ("/[!a]", "/[!a/]"),
            ("!x/[!a]", "!x/[!a/]"),
        ] {
            assert_eq!(without_slash(line), expected, "{line}");
        }
    }
}
