"""The walk through a job directory: what goes along, what stays behind, and what somebody should know of it first."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from foundations import _keys
from foundations._errors import AtlasError
from foundations._ignore import Ignored

_MOST_ENTRIES = 1_000_000
"""More than this is a data set, which belongs on a volume; nodes refuse it too."""
_DEEPEST = 128
_LONGEST_PATH = 4095
_MEANT = "leave it out with .atlasignore"


class Entry(NamedTuple):
    """An entry of the archive."""

    name: bytes
    """As it stands in the archive: a folder's with a slash at its end."""
    size: int
    """Of a file."""
    is_executable: bool
    target: bytes | None
    """Of a link."""


class Tree:
    """The files of a job directory in the order of the archive, what stays behind, and what was noticed on the way."""

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.entries: list[Entry] = []
        self.excluded: dict[bytes, tuple[str, bool]] = {}
        """By path: the rule, and whether it is a folder."""
        self.notices: list[str] = []

    def check_command(self, command: list[str]) -> None:
        """Refuses a command that names a file which stays behind: `main.py`, `./main.py` and `--config=main.py` alike."""
        for word in command:
            for named in (word, word.partition("=")[2]):
                path = self._below(os.fsencode(named))
                rule = self._rule_of(path) if path else None
                if rule is not None:
                    raise AtlasError(
                        "%s is named in the command but stays behind by %s: change that rule, write an .atlasignore (it takes "
                        "the place of .gitignore) or use no_ignore=True" % (shown(path), rule)
                    )

    def _rule_of(self, path: bytes) -> str | None:
        at = path
        while at and at not in self.excluded:
            at = at.rpartition(b"/")[0]
        if not at:
            return None
        rule, is_folder = self.excluded[at]
        # A folder in the command is most often where results go; only a file can be missing.
        return rule if not is_folder or os.path.isfile(os.path.join(self.root, path)) else None

    def _below(self, named: bytes) -> bytes:
        """The path below the job directory, without `.` and `..`; empty for what lies outside."""
        if named.startswith(self.root + b"/"):
            named = named[len(self.root) :].lstrip(b"/")
        clean: list[bytes] = []
        for part in named.split(b"/") if not named.startswith(b"/") else []:
            if part == b"..":
                if not clean:
                    return b""
                clean.pop()
            elif part not in (b"", b"."):
                clean.append(part)
        return b"/".join(clean)


def collect(folder: str, sends_all: bool = False) -> Tree:
    """Looks at every file of a job directory. Reads names and sizes, and of small files whether they are private keys; follows
    no link. `sends_all`: no rule keeps anything behind.
    """
    root = os.path.realpath(os.fsencode(folder))
    if not os.path.isdir(root):
        what = "is not a directory" if os.path.exists(root) else "does not exist"
        raise AtlasError("the job directory %s %s" % (folder, what))
    walk = _Walk(Tree(root), Ignored(root, sends_all))
    try:
        walk.folder(b"", 0)
    except OSError as error:
        raise AtlasError("cannot read %s: %s" % (shown(error.filename or root), error.strerror)) from error
    tree = walk.tree
    tree.entries.sort()
    tree.notices[:0] = walk.ignored.notices
    return tree


class _Walk:
    def __init__(self, tree: Tree, ignored: Ignored) -> None:
        self.tree = tree
        self.ignored = ignored
        self.seen = 0

    def folder(self, prefix: bytes, depth: int) -> None:
        if depth > _DEEPEST:
            raise AtlasError("%s lies more than %d folders deep: %s" % (shown(prefix), _DEEPEST, _MEANT))
        self.ignored.enter(prefix)
        found = []
        with os.scandir(os.path.join(self.tree.root, prefix)) as items:
            for item in items:
                self.seen += 1
                if self.seen > _MOST_ENTRIES:
                    what = "%s holds more than %d files: leave folders out with .atlasignore or pass large data by a volume"
                    raise AtlasError(what % (shown(self.tree.root), _MOST_ENTRIES))
                found.append(item)
        for item in sorted(found, key=lambda it: it.name):
            self.item(prefix + item.name, item, depth)
        self.ignored.leave()

    def item(self, name: bytes, item: os.DirEntry[bytes], depth: int) -> None:
        is_folder = item.is_dir(follow_symlinks=False)
        rule = self.ignored.rule_for(name, is_folder)
        if rule is not None:
            self.tree.excluded[name] = (rule, is_folder)
        elif len(name) >= _LONGEST_PATH:
            raise AtlasError("the path %s is longer than %d bytes" % (shown(name), _LONGEST_PATH))
        elif is_folder:
            self.tree.entries.append(Entry(name + b"/", 0, True, None))
            self.folder(name + b"/", depth + 1)
        elif item.is_symlink():
            self.link(name, item)
        else:
            self.file(name, item)

    def link(self, name: bytes, item: os.DirEntry[bytes]) -> None:
        target = os.readlink(item.path)
        if _leaves(name, target):
            self.notice(
                "%s is a link to %s, outside of the job directory: the link goes along, the data does not"
                % (shown(name), shown(target))
            )
        self.tree.entries.append(Entry(name, 0, False, target))

    def file(self, name: bytes, item: os.DirEntry[bytes]) -> None:
        state = item.stat(follow_symlinks=False)
        if not stat.S_ISREG(state.st_mode):
            self.notice("%s is a %s and stays behind" % (shown(name), _special(state.st_mode)))
            return
        what = _keys.by_name(name.rpartition(b"/")[2]) or _keys.by_text(item.path, state.st_size)
        if what is not None:
            self.notice("%s looks like %s and goes along: %s" % (shown(name), what, _MEANT))
        self.tree.entries.append(Entry(name, state.st_size, bool(state.st_mode & stat.S_IXUSR), None))

    def notice(self, text: str) -> None:
        self.tree.notices.append(text)


def shown(path: bytes | str) -> str:
    """A path for a message: on one line, whatever it is made of."""
    text = path.decode("utf-8", "replace") if isinstance(path, bytes) else path
    return text if text.isprintable() else repr(text)[1:-1]


def _leaves(link: bytes, target: bytes) -> bool:
    """Whether a link points out of the tree, by its text alone."""
    if target.startswith(b"/"):
        return True
    depth = link.count(b"/")
    for part in target.split(b"/"):
        if part == b"..":
            depth -= 1
        elif part not in (b"", b"."):
            depth += 1
        if depth < 0:
            return True
    return False


def _special(mode: int) -> str:
    return "socket" if stat.S_ISSOCK(mode) else "named pipe" if stat.S_ISFIFO(mode) else "device"
