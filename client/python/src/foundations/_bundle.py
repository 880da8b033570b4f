"""The job directory as one file: the canonical tar of docs/using/bundle-format.md, named by its SHA-256."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import os
import struct
import tempfile
from typing import IO, Callable, Iterator, NamedTuple

from foundations._errors import AtlasError
from foundations._tree import Entry, Tree, shown

_BLOCK, _RECORD = 512, 20 * 512
_SHORT = 100
"""Names up to this many bytes stand in the header; longer ones in an entry before it."""
_PIECE = 256 << 10
_LEVEL = 3
"""More costs time and saves little; the master packs it anew."""


class Bundle(NamedTuple):
    """What an archive is called, and what it measures."""

    id: str
    tar_bytes: int
    files: int
    """Files, folders and links."""


def identify(tree: Tree) -> Bundle:
    """The name of a tree without packing it: most bundles the master knows."""
    return _archive(tree, lambda _: None)


@contextlib.contextmanager
def packed(tree: Tree) -> Iterator[tuple[IO[bytes], Bundle]]:
    """The tree as gzip, in a file without a name."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(prefix="atlas-"))
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0) as out:
                bundle = _archive(tree, out.write)
        except OSError as error:
            what = "cannot write the bundle to a temporary file (set TMPDIR to a folder with room): %s"
            raise AtlasError(what % error) from error
        yield file, bundle


def _archive(tree: Tree, write: Callable[[bytes], object]) -> Bundle:
    """Writes the archive and names it. Memory does not grow with the files."""
    sha256, done = hashlib.sha256(), 0

    def out(data: bytes) -> None:
        nonlocal done
        sha256.update(data)
        write(data)
        done += len(data)

    for entry in tree.entries:
        out(_headers(entry))
        if entry.target is None and not entry.name.endswith(b"/"):
            _copy(os.path.join(tree.root, entry.name), entry.size, out)
    out(bytes(2 * _BLOCK + -(done + 2 * _BLOCK) % _RECORD))
    return Bundle(sha256.hexdigest(), done, len(tree.entries))


def _copy(path: bytes, size: int, out: Callable[[bytes], None]) -> None:
    """A file that has to be as long as it was when the tree was collected, since its header says so."""
    copied = 0
    for piece in _pieces(path):
        copied += len(piece)
        if copied > size:
            break
        out(piece)
    if copied != size:
        raise changed(path)
    out(bytes(-size % _BLOCK))


def changed(path: bytes) -> AtlasError:
    """Why a folder was not sent that somebody writes to."""
    what = "%s changed while it was being packed: submit again when nothing writes to it"
    return AtlasError(what % shown(path))


def _pieces(path: bytes) -> Iterator[bytes]:
    # Not a link that took the file's place, nor a pipe that nobody writes to.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(os.open(path, flags), "rb", buffering=0) as file:
            while True:
                piece = file.read(_PIECE)
                if not piece:
                    return
                yield piece
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT):
            raise changed(path) from error
        raise AtlasError("cannot read %s: %s" % (shown(path), error.strerror)) from error


def _headers(entry: Entry) -> bytes:
    """All that stands before an entry's content."""
    name, target = entry.name, entry.target
    if target is not None:
        return _long(b"K", target) + _long(b"L", name) + _header(b"2", name, 0o644, 0, target)
    mode = 0o755 if entry.is_executable else 0o644
    kind = b"5" if name.endswith(b"/") else b"0"
    return _long(b"L", name) + _header(kind, name, mode, entry.size)


def _long(kind: bytes, text: bytes) -> bytes:
    if len(text) <= _SHORT:
        return b""
    return _header(kind, b"././@LongLink", 0, len(text) + 1) + text + bytes(1 + -(len(text) + 1) % _BLOCK)


def _header(kind: bytes, name: bytes, mode: int, size: int, target: bytes = b"") -> bytes:
    numbers = (_number(mode, 8), 2 * _number(0, 8), _number(size, 12), _number(0, 12), b" " * 8)
    block = struct.pack("100s 8s 16s 12s 12s 8s c 100s 8s 247x", name, *numbers, kind, target, b"ustar  \0")
    return block[:148] + b"%06o\0" % sum(block) + block[155:]


def _number(value: int, length: int) -> bytes:
    """Octal with a zero byte behind; where that is too short (8 GiB and more) binary with the highest bit set."""
    digits = b"%0*o" % (length - 1, value)
    return digits + b"\0" if len(digits) < length else b"\x80" + value.to_bytes(length - 1, "big")
