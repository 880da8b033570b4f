"""What stays behind: as git would have it, and in every detail as `atlas` does."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

import pytest
from cluster import binary

from foundations import _tree

FILES = [
    "a", "b.log", "build/x", "docs/a/b/c.txt", "docs/c.txt", "foo/bar/baz", "x/foo/bar", "sub/a", "sub/deep/b.log",
    "sub/keep.log", "#hash", "!bang", "sp ace", "star*", "q?", "br[1]", "ümlaut", "back\\slash", "data/big.csv",
    "data/small.csv", "A.LOG", "aXb", "a1b", "tail ", "x-y", "x]y", "deep/one/two/three/f",
]  # fmt: skip

# The text of .gitignore; git and the crate behind `atlas` agree about all of these.
AGREED = [
    "*.log", "/a", "a", "build/", "build", "/build/", "docs/**", "docs/**/c.txt", "**/c.txt", "**/bar", "foo/**/baz",
    "**", "*", "*\n!a", "*\n!*/", "*.log\n!keep.log", "!a\na", "\\#hash", "#hash", "\\!bang", "!bang", "sp ace", "sp\\ ace",
    "star\\*", "q\\?", "q?", "br\\[1\\]", "br[[]1]", "ümlaut", "back\\\\slash", "/data/*\n!/data/small.csv", "a[0-9]b",
    "a[A-Z]b", "x[]]y", "x[-]y", "x[a-]y", "deep/*/two", "deep/**/f", "deep/**/**/f", "*/a", "foo/*",
    "a   ", "tail\\ ", "\ufeffa", "a\r\nb.log\r\n", "", "\n\n", "/", "//", "docs", "docs/a/b", "**/foo", "foo/**", "sub/*.log",
    "d*", "*a*", "???", "?.log", "**/deep/**", "/**/c.txt", "a/", "*.csv\n!data", "[ab]", "[!a]", "x[!o]foo",
    "a[!0-9]b", "sub[^x]a", "x[!]]y", "x[!a-]y", "x[!-a]y", "sub[!a-c]*",
    "sub[+-9]a", "sub[a!-~]a", "foo[--9]*", "sub[/]a", "[/]a", "sub[b/]", "a[/-9]b", "a[+-9]b", "!sub[.-0]a\n*.log",
]  # fmt: skip


def make(root: Path, files: list[str]) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def travels(root: Path) -> set[str]:
    return {os.fsdecode(it.name) for it in _tree.collect(str(root)).entries if not it.name.endswith(b"/")}


@pytest.mark.parametrize("rules", AGREED)
def test_git_ignores_the_same_files(tmp_path: Path, rules: str) -> None:
    make(tmp_path, FILES)
    (tmp_path / ".gitignore").write_bytes(rules.encode())
    (tmp_path / "sub" / ".gitignore").write_text("!keep.log\n/local\n")
    git = ["git", "-C", str(tmp_path), "-c", "core.excludesFile="]
    subprocess.run([*git, "init", "--quiet"], check=True)
    listed = subprocess.run([*git, "ls-files", "-z", "--others", "--exclude-standard"], check=True, capture_output=True)
    assert travels(tmp_path) == {os.fsdecode(it) for it in listed.stdout.split(b"\0") if it}


def dry_run(root: Path) -> tuple[set[str], dict[str, str]]:
    """What `atlas` would send, and the rule of each that stays behind."""
    command = [binary("atlas"), "submit", "--dry-run", "scheduler", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sent, behind = re.split(r"^Would stay behind.*\n", done.stdout, maxsplit=1, flags=re.M)
    files = re.findall(r"^  .{9}  (.*?)(?: -> .*)?$", sent, flags=re.M)
    return set(files), dict(re.findall(r"^  (.*?)/?  by (.*)$", behind, flags=re.M))


def ours(root: Path) -> tuple[set[str], dict[str, str]]:
    tree = _tree.collect(str(root))
    return {it.name.decode() for it in tree.entries}, {path.decode(): rule for path, (rule, _) in tree.excluded.items()}


@pytest.mark.parametrize(
    "rules", ["*.{log,csv}", "{a,b.log}", "{data/big,docs/c}.*", "a{}", "{{},a}", "**/{sub,foo}/**"]
)
def test_where_atlas_differs_from_git_this_does_too(tmp_path: Path, rules: str) -> None:
    """Braces are alternatives."""
    make(tmp_path, ["a", "b.log", "data/big.csv", "docs/c.txt", "sub/x", "x/foo/bar"])
    (tmp_path / ".gitignore").write_text(rules)
    assert ours(tmp_path) == dry_run(tmp_path)


def test_random_rules_say_the_same_to_atlas(tmp_path: Path) -> None:
    """A thousand lines in a hundred trees."""
    draw = random.Random(20)
    names = ["a", "b", "ab", "a.b", "-", "a b", "é", "[", "]", "{", ",", "!", "\\a", "b\\"]
    pieces = [
        *names,
        "*",
        "**",
        "?",
        "[ab]",
        "[!a]",
        "[a-c]",
        "[^b-]",
        "[!]a-c]",
        "[!-]",
        "[!-a]",
        "[+-9]",
        "[a!-~]",
        "[/b]",
        "[+--9]",
        "[]]",
        "[z-a]",
        "{a,b}",
        "{*,b}",
        "\\*",
        "/",
        "/",
        "/",
    ]
    for tree in range(100):
        root = tmp_path / str(tree)
        make(root, ["/".join(draw.choices(names[:9], k=draw.randint(1, 3))) + ".%d" % it for it in range(12)])
        make(root, [name for name in names if not (root / name).exists()])
        place = draw.choice(["", "", "a"])
        if place and not (root / "a").is_dir():
            place = ""
        lines = [
            draw.choice(["", "", "!", "/"]) + "".join(draw.choices(pieces, k=draw.randint(1, 5))) for _ in range(10)
        ]
        (root / place / draw.choice([".gitignore", ".atlasignore"])).write_text("\n".join(lines))
        assert ours(root) == dry_run(root), lines


@pytest.mark.parametrize("file", [".gitignore", ".atlasignore"])
def test_only_atlasignore_lifts_what_is_built_in(tmp_path: Path, file: str) -> None:
    make(tmp_path, ["main.py", ".git/HEAD", "pkg/__pycache__/a.pyc", "env/pyvenv.cfg", "env/bin/python", "sub/.git"])
    (tmp_path / file).write_text("!/.git\n!env/\n")
    sent, behind = ours(tmp_path)
    assert (sent, behind) == dry_run(tmp_path)
    assert ("env/bin/python" in sent) == (file == ".atlasignore")
    assert behind["pkg/__pycache__"] == "the built-in rule '__pycache__/'"


def test_no_ignore_sends_all(tmp_path: Path) -> None:
    make(tmp_path, ["a", ".git/HEAD", "__pycache__/a.pyc"])
    (tmp_path / ".gitignore").write_text("*")
    names = [it.name for it in _tree.collect(str(tmp_path), sends_all=True).entries]
    assert names == [b".git/", b".git/HEAD", b".gitignore", b"__pycache__/", b"__pycache__/a.pyc", b"a"]


def test_a_line_that_is_no_pattern_is_told(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("ok\na[z-b]\n{a\nb\\")
    told = _tree.collect(str(tmp_path)).notices
    assert told[0] == (
        ".gitignore:2 'a[z-b]' is no pattern (error parsing glob 'a[z-b]': invalid range; 'z' > 'b') and ignores nothing"
    )
    assert "unclosed alternate group" in told[1]
    assert "dangling" in told[2]
