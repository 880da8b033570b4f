"""What of the job directory was not committed, for people who look at the job later: the bundle has every file as it was sent.

Byte for byte what `atlas submit` tells of the same folder (client/src/commands/submit/changes.rs).
"""

from __future__ import annotations

import os
import time

from foundations import _git, _tree

_PATIENCE = 5.0
"""Seconds for all of it; a submission does not wait longer."""
_MOST = 4 << 20
"""Bytes of names, and of the diff of all files."""
_LONGEST = 256 << 10
_FOR_NAMES = 32 << 10
"""Bytes that the master takes, and those of them that are left for names."""
_ASKED = 1000
"""Files that git is asked about by name; of more the others are only named."""
_DIFF = (
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
)
"""Each file, as it always is, whatever the user's configuration says, and no program that it names. A file that was removed is
named: its text is in the commit, and may be of those that an ignore file keeps back.
"""
_HEADER = b"diff --git "


def described(tree: _tree.Tree) -> dict[str, object]:
    """What a submission says of the repository."""
    git = _git.describe(tree.root)
    return {"git": git, "git_diff": describe(tree) if git and git["dirty"] else None}


def describe(tree: _tree.Tree) -> str | None:
    """`None` where git does not tell, or not soon enough: no submission fails for that."""
    try:
        text = _tell(tree, time.monotonic() + _PATIENCE)
    except _git.Slow:
        return None
    return text.decode("utf-8") or None


def _tell(tree: _tree.Tree, until: float) -> bytes:
    travels = {it.name for it in tree.entries if not it.name.endswith(b"/")}
    changed = _git.ask(tree.root, [*_DIFF, "--name-only", "-z", "HEAD", "--", "."], _MOST, until)
    new = _git.ask(tree.root, ["ls-files", "-z", "--others", "--exclude-standard", "--", "."], _MOST, until)
    if changed is None or new is None:
        return b""
    # What an ignore file keeps back is not in the diff either.
    of_git = [it for it in _names(changed) if it in travels or not os.path.lexists(os.path.join(tree.root, it))]
    of_nobody = [it for it in _names(new) if it in travels]
    asked = of_git[:_ASKED]
    diff = _git.ask(tree.root, [*_DIFF, "HEAD", "--", *asked], _MOST, until) if asked else b""
    return b"" if diff is None else _text(_shown(diff), of_git, of_nobody)


def _names(listed: bytes) -> list[bytes]:
    """Those that end: more than are read may break off within one."""
    return listed.split(b"\0")[:-1]


def _shown(text: bytes) -> bytes:
    return text.decode("utf-8", "replace").encode("utf-8")


def _text(diff: bytes, changed: list[bytes], new: list[bytes]) -> bytes:
    """The files that fit as git shows them, then the names of the others and of those that git does not know."""
    text = bytearray()
    shown = set()
    # What git said was perhaps not read to its end: then its last file is not whole.
    is_whole = len(diff) < _MOST
    at = 0
    while at < len(diff):
        end = diff.find(b"\n" + _HEADER, at) + 1
        file = diff[at : end or len(diff)]
        # Git takes a file for text that has a NUL far from its beginning; the master does not.
        if len(text) + len(file) <= _LONGEST - _FOR_NAMES and (is_whole or end) and b"\0" not in file:
            text += file
            shown.add(file.partition(b"\n")[0])
        at += len(file)
    # Git quotes the names of few files; these are named twice rather than never.
    cut = [it for it in changed if b"%sa/%s b/%s" % (_HEADER, _shown(it), _shown(it)) not in shown]
    for what, name in [("cut", it) for it in cut] + [("new", it) for it in new]:
        line = ("# %s: %s\n" % (what, _on_a_line(name.decode("utf-8", "replace")))).encode("utf-8")
        if len(text) + len(line) > _LONGEST:
            break
        text += line
    return bytes(text)


def _on_a_line(name: str) -> str:
    return "".join(_escaped(it) if it < " " or "\x7f" <= it <= "\x9f" or it == "\\" else it for it in name)


def _escaped(character: str) -> str:
    return {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}.get(character, "\\u{%x}" % ord(character))
