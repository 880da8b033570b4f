//! What of the job directory was not committed, for people who look at the job later: the bundle has every file as it was sent.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::git::{ask, git};
use crate::bundle::{Kind, Tree};

/// For all of it; a submission does not wait longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of names, and of the diff of all files.
const MOST: u64 = 4 << 20;
/// Bytes that the master takes, and those of them that are left for names.
const LONGEST: usize = 256 << 10;
const FOR_NAMES: usize = 32 << 10;
/// Files that git is asked about by name; of more the others are only named.
const ASKED: usize = 1000;
/// Each file, as it always is, whatever the user's configuration says, and no program that it names. A file that was removed is
/// named: its text is in the commit, and may be of those that an ignore file keeps back.
const DIFF: [&str; 14] = [
    "-c",
    "core.quotePath=false",
    "--no-pager",
    "--literal-pathspecs",
    "diff",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-renames",
    "--irreversible-delete",
    "--ignore-submodules=all",
    "--relative",
    "--src-prefix=a/",
    "--dst-prefix=b/",
];
const HEADER: &str = "diff --git ";

/// `None` where git does not tell, or not soon enough: no submission fails for that.
pub(super) async fn describe(tree: &Tree) -> Option<String> {
    let told = tokio::time::timeout(PATIENCE, tell(tree)).await;
    told.ok().flatten()
}

async fn tell(tree: &Tree) -> Option<String> {
    let dir = tree.root();
    let travels: HashSet<&[u8]> = tree
        .entries()
        .iter()
        .filter(|it| !matches!(it.kind, Kind::Folder))
        .map(|it| &*it.name)
        .collect();
    let changed = [&DIFF[..], &["--name-only", "-z", "HEAD", "--", "."]].concat();
    let changed = ask(git(dir, &changed), MOST).await?;
    let new = ["ls-files", "-z", "--others", "--exclude-standard", "--", "."];
    let new = ask(git(dir, &new), MOST).await?;
    // What an ignore file keeps back is not in the diff either.
    let changed: Vec<&[u8]> =
        names(&changed).filter(|it| travels.contains(it) || is_gone(dir, it)).collect();
    let new: Vec<&[u8]> = names(&new).filter(|it| travels.contains(it)).collect();
    let asked = &changed[..changed.len().min(ASKED)];
    let diff = if asked.is_empty() { Vec::new() } else { of_files(dir, asked).await? };
    Some(text(&String::from_utf8_lossy(&diff), &changed, &new)).filter(|it| !it.is_empty())
}

async fn of_files(dir: &Path, names: &[&[u8]]) -> Option<Vec<u8>> {
    let mut question = git(dir, &DIFF);
    question.args(["HEAD", "--"]).args(names.iter().map(|it| OsStr::from_bytes(it)));
    ask(question, MOST).await
}

/// Those that end: more than are read may break off within one.
fn names(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split_inclusive(|it| *it == 0).filter_map(|it| it.strip_suffix(b"\0"))
}

fn is_gone(dir: &Path, name: &[u8]) -> bool {
    dir.join(OsStr::from_bytes(name)).symlink_metadata().is_err()
}

/// The files that fit as git shows them, then the names of the others and of those that git does not know.
fn text(diff: &str, changed: &[&[u8]], new: &[&[u8]]) -> String {
    let mut text = String::new();
    let mut shown = HashSet::new();
    let mut rest = diff;
    // What git said was perhaps not read to its end: then its last file is not whole.
    let is_whole = (diff.len() as u64) < MOST;
    while !rest.is_empty() {
        let end = rest.find(&format!("\n{HEADER}")).map(|at| at + 1);
        let (file, others) = rest.split_at(end.unwrap_or(rest.len()));
        let fits = text.len() + file.len() <= LONGEST - FOR_NAMES && (is_whole || end.is_some());
        // Git takes a file for text that has a NUL far from its beginning; the master does not.
        let fits = fits && !file.contains('\0');
        if fits {
            text.push_str(file);
            shown.insert(file.lines().next().unwrap_or_default());
        }
        rest = others;
    }
    let is_shown = |name: &&&[u8]| {
        let name = String::from_utf8_lossy(name);
        // Git quotes the names of few files; these are named twice rather than never.
        shown.contains(&*format!("{HEADER}a/{name} b/{name}"))
    };
    let cut = changed.iter().filter(|it| !is_shown(it)).map(|it| ("cut", it));
    for (what, name) in cut.chain(new.iter().map(|it| ("new", it))) {
        let line = format!("# {what}: {}\n", on_a_line(&String::from_utf8_lossy(name)));
        if text.len() + line.len() > LONGEST {
            break;
        }
        text.push_str(&line);
    }
    text
}

/// As any client says it, whatever its language takes for printable.
fn on_a_line(name: &str) -> String {
    let escaped = |it: char| it.is_control() || it == '\\';
    let mut line = String::new();
    for it in name.chars() {
        if escaped(it) { line.extend(it.escape_default()) } else { line.push(it) }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::fs;

    use expect_test::expect;

    use super::super::git::tests::run;
    use super::*;
    use crate::bundle::{Rules, collect};

    async fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), &["init"]).await;
        for (name, text) in files {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), text).unwrap();
        }
        run(dir.path(), &["add", "."]).await;
        run(dir.path(), &["commit", "-m", "first"]).await;
        dir
    }

    async fn told(dir: &Path) -> Option<String> {
        tell(&collect(dir, Rules::Ignore).unwrap()).await
    }

    #[tokio::test]
    async fn changes_are_shown_and_what_stays_behind_is_not() {
        let files = [
            ("job/main.py", "one\n"),
            ("job/secret.txt", "before\n"),
            ("job/gone.py", "old\n"),
            ("job/model.pt", "\0a"),
            ("beside.py", "one\n"),
            ("job/.atlasignore", "secret.txt\nnew.log\n"),
        ];
        let dir = repository(&files).await;
        let job = dir.path().join("job");
        assert_eq!(told(&job).await, None, "nothing changed");
        for (name, text) in [
            ("job/main.py", "two\n"),
            ("job/secret.txt", "after\n"),
            ("job/model.pt", "\0b"),
            ("beside.py", "two\n"),
            ("job/new.py", "x"),
            ("job/new.log", "x"),
            ("job/staged.py", "x\n"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::remove_file(job.join("gone.py")).unwrap();
        run(dir.path(), &["add", "job/staged.py"]).await;
        // None of what the user set up changes the form, and no program of theirs is run.
        let ran = dir.path().join("ran");
        let program = format!("touch {}; echo", ran.display());
        for (name, value) in [
            ("diff.external", program.as_str()),
            ("diff.textual.textconv", &program),
            ("core.pager", &program),
            ("color.ui", "always"),
            ("diff.noprefix", "true"),
            ("diff.mnemonicPrefix", "true"),
        ] {
            run(dir.path(), &["config", name, value]).await;
        }
        fs::write(dir.path().join(".git/info/attributes"), "*.py diff=textual\n").unwrap();
        let text = told(&job).await.unwrap();
        let text: Vec<_> = text.lines().filter(|it| !it.starts_with("index ")).collect();
        expect![[r#"
            diff --git a/gone.py b/gone.py
            deleted file mode 100644
            diff --git a/main.py b/main.py
            --- a/main.py
            +++ b/main.py
            @@ -1 +1 @@
            -one
            +two
            diff --git a/model.pt b/model.pt
            Binary files a/model.pt and b/model.pt differ
            diff --git a/staged.py b/staged.py
            new file mode 100644
            --- /dev/null
            +++ b/staged.py
            @@ -0,0 +1 @@
            +x
            # new: new.py"#]]
        .assert_eq(&text.join("\n"));
        assert!(!ran.exists(), "a program of the repository ran");
    }

    #[tokio::test]
    async fn a_file_that_is_too_long_is_named_and_those_behind_it_are_shown() {
        let dir = repository(&[("a.ipynb", "\n"), ("b.py", "one\n"), ("ü \"q\".py", "1\n")]).await;
        fs::write(dir.path().join("a.ipynb"), "x\n".repeat(200_000)).unwrap();
        fs::write(dir.path().join("b.py"), "two\n").unwrap();
        fs::write(dir.path().join("c\nd"), "").unwrap();
        let text = told(dir.path()).await.unwrap();
        assert!(text.starts_with("diff --git a/b.py b/b.py\n"), "{text:.80}");
        assert!(text.ends_with("+two\n# cut: a.ipynb\n# new: c\\nd\n"), "{text}");
    }

    #[tokio::test]
    async fn a_file_that_is_text_for_git_alone_is_named() {
        let late = |end: &str| format!("{}\0{end}\n", "x".repeat(10_000));
        let dir = repository(&[("a.dat", &late("1")), ("b.py", "one\n")]).await;
        fs::write(dir.path().join("a.dat"), late("2")).unwrap();
        fs::write(dir.path().join("b.py"), "two\n").unwrap();
        let text = told(dir.path()).await.unwrap();
        assert!(!text.contains('\0') && text.ends_with("+two\n# cut: a.dat\n"), "{text}");
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(on_a_line("ü \"q'\\\n\u{1b}\u{85}"), "ü \"q'\\\\\\n\\u{1b}\\u{85}");
    }

    #[test]
    fn the_text_is_never_longer_than_what_the_master_takes() {
        let new: Vec<Vec<u8>> = (0..20_000).map(|it| format!("{it:032}").into_bytes()).collect();
        let new: Vec<&[u8]> = new.iter().map(Vec::as_slice).collect();
        let file = format!("{HEADER}a/x b/x\n+{}\n", "x".repeat(100_000));
        let text = text(&file.repeat(3), &[b"x"], &new);
        assert!(text.len() <= LONGEST && text.len() > LONGEST - 100, "{}", text.len());
        assert!(text.ends_with('\n') && text.starts_with(&file.repeat(2)));
    }
}
