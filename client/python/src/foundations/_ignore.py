"""What stays behind, and by which rule: the same as for `atlas`, so that a folder is the same bundle for both.

The job directory stands for itself: `.atlasignore` if it has one, else `.gitignore`, in the directory and in the folders below
it. Ignore files above it or in the user's home do not count.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Pattern

from foundations import _glob


class _Line(NamedTuple):
    pattern: Pattern[bytes]
    is_lifted: bool
    is_only_folders: bool
    rule: str


_ATLAS, _GIT = b".atlasignore", b".gitignore"
_BLANK = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What Unicode calls white space; Python strips some control characters beside it."""


class Ignored:
    """The rules at one place of the walk: the ignore files from the job directory down to it. Paths are relative bytes."""

    def __init__(self, root: bytes, sends_all: bool) -> None:
        self._root = root
        self._name = b""
        if not sends_all:
            self._name = _ATLAS if os.path.isfile(os.path.join(root, _ATLAS)) else _GIT
        self._stack: list[tuple[int, list[_Line]]] = []
        self.notices: list[str] = []

    def enter(self, folder: bytes) -> None:
        """Goes down into a folder (empty, or with a slash at its end); every call is answered by one of `leave`."""
        path = os.path.join(self._root, folder, self._name)
        # What is no file, such as a named pipe, is no ignore file either.
        lines = self._read(path, folder + self._name) if self._name and os.path.isfile(path) else []
        self._stack.append((len(folder), lines))

    def leave(self) -> None:
        """Goes back up."""
        self._stack.pop()

    def rule_for(self, path: bytes, is_folder: bool) -> str | None:
        """The rule by which a path of the folder entered last stays behind."""
        if not self._name:
            return None
        for above, lines in reversed(self._stack):
            line = _last_match(lines, path[above:], is_folder)
            if line is not None:
                if not line.is_lifted:
                    return line.rule
                if self._name == _ATLAS:
                    return None
                break  # Git's own file knows nothing of our rules, so it cannot lift them.
        return self._built_in(path, is_folder)

    def _built_in(self, path: bytes, is_folder: bool) -> str | None:
        name = path.rpartition(b"/")[2]
        if name == b".git":
            return "the built-in rule '.git'"
        if is_folder and name == b"__pycache__":
            return "the built-in rule '__pycache__/'"
        if is_folder and os.path.isfile(os.path.join(self._root, path, b"pyvenv.cfg")):
            return "the built-in rule for virtual environments (pyvenv.cfg)"
        return None

    def _read(self, path: bytes, name: bytes) -> list[_Line]:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8", "replace").lstrip("\ufeff")
        lines = []
        for number, written in enumerate(_split(text), 1):
            rule = "%s:%d '%s'" % (os.fsdecode(name), number, written.rstrip(_BLANK))
            try:
                line = parsed(written, rule)
            except _glob.Invalid as error:
                what = "%s is no pattern (error parsing glob '%s': %s) and ignores nothing"
                self.notices.append(what % (rule, written.rstrip(_BLANK), error))
                continue
            if line is not None:
                lines.append(line)
        return lines


def parsed(text: str, rule: str) -> _Line | None:
    """A line of an ignore file; `None` = it says nothing. Raises `_glob.Invalid`."""
    if text.startswith("#"):
        return None
    if not text.endswith("\\ "):
        text = text.rstrip(_BLANK)
    if not text:
        return None
    is_lifted = is_rooted = False
    if text.startswith(("\\!", "\\#")):
        text = text[1:]
    else:
        is_lifted = text.startswith("!")
        text = text[1:] if is_lifted else text
        is_rooted = text.startswith("/")
        text = text[1:] if is_rooted else text
    is_only_folders = text.endswith("/")
    if is_only_folders:
        text = text[:-1]
        text = text[:-1] if text.endswith("\\") else text
    if not is_rooted and "/" not in text and text != "**":
        text = "**/" + text
    if text.endswith("/**"):
        text += "/*"  # what is in the folder, but not the folder
    return _Line(_glob.compiled(text), is_lifted, is_only_folders, rule)


def _last_match(lines: list[_Line], path: bytes, is_folder: bool) -> _Line | None:
    for line in reversed(lines):
        if (is_folder or not line.is_only_folders) and line.pattern.fullmatch(path):
            return line
    return None


def _split(text: str) -> list[str]:
    """The lines, whichever system wrote them."""
    lines = text.split("\n")
    last = lines.pop()
    lines = [it[:-1] if it.endswith("\r") else it for it in lines]
    return [*lines, last] if last else lines
