//! `--dry-run`: what would travel, and why the rest would not.

use std::fmt::Write as _;
use std::io;

use crate::bundle::{Kind, Tree};
use crate::output::{self, bytes, counted};
use crate::say::clean;

pub(super) fn show(tree: &Tree) -> io::Result<()> {
    output::text(&listing(tree))
}

fn listing(tree: &Tree) -> String {
    let (files, size) = tree.totals();
    let mut text = format!("Would travel: {}, {}\n", counted(files, "file", "files"), bytes(size));
    for entry in tree.entries() {
        let path = clean(&entry.path().display().to_string());
        let line = match &entry.kind {
            Kind::File { size, .. } => format!("  {:>9}  {path}", bytes(*size)),
            Kind::Folder => format!("  {:>9}  {path}", "folder"),
            Kind::Link { target } => {
                format!("  {:>9}  {path} -> {}", "link", clean(&String::from_utf8_lossy(target)))
            }
        };
        writeln!(text, "{line}").expect("a text takes everything");
    }
    let behind = tree.excluded();
    writeln!(text, "Would stay behind: {}", behind.len()).expect("a text takes everything");
    for it in behind {
        let slash = if it.folder { "/" } else { "" };
        let path = clean(&it.path.display().to_string());
        writeln!(text, "  {path}{slash}  by {}", clean(&it.rule.to_string()))
            .expect("a text takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::bundle::{Rules, collect};

    #[test]
    fn what_travels_is_listed_with_sizes_and_what_does_not_with_its_rule() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("main.py", "print(1)\n"),
            (".gitignore", "*.pt\ndata/\n"),
            ("model.pt", "x"),
            ("data/a", "x"),
            ("lib/b.py", ""),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("main.py", dir.path().join("link")).unwrap();
        let tree = collect(dir.path(), Rules::Ignore).unwrap();
        expect![[r#"
            Would travel: 3 files, 20 B
                   11 B  .gitignore
                 folder  lib/
                    0 B  lib/b.py
                   link  link -> main.py
                    9 B  main.py
            Would stay behind: 2
              data/  by .gitignore:2 'data/'
              model.pt  by .gitignore:1 '*.pt'
        "#]]
        .assert_eq(&listing(&tree));
    }
}
