"""Files on their way to the master, each known by its hash: in pieces, and again from where they were when a connection broke."""

from __future__ import annotations

import hashlib
import os
import time
from typing import IO, TYPE_CHECKING, Callable, NamedTuple
from urllib.parse import quote

from foundations._errors import Refused

if TYPE_CHECKING:
    from foundations._http import Master, Patience

_PIECE = 4 << 20
_READ = 1 << 20
_WITHIN = 120.0
_FINISH_WITHIN = 3600.0
"""Seconds: with the last piece the master reads all of it."""
_SETTLED_NS = 2_000_000_000
"""What was written to so lately may be written to again without looking any different."""


class Content(NamedTuple):
    """What a file holds."""

    bytes: int
    sha256: str


class Changed(Exception):
    """A file is no more what it was when it was looked at."""


class Hashes:
    """What files held when they were read last; one that looks the same is not read again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], Content]] = {}

    def of(self, path: str) -> Content:
        """Raises OSError where it cannot be read."""
        with open(path, "rb") as file:
            look = _look(os.fstat(file.fileno()))
            known = self._known.get(path)
            if known is not None and known[0] == look:
                return known[1]
            began = time.time_ns()
            content = read(file)
        if look[2] < began - _SETTLED_NS:
            self._known[path] = look, content
        return content


def read(file: IO[bytes]) -> Content:
    """All of it, from where it stands."""
    digest, size = hashlib.sha256(), 0
    while True:
        piece = file.read(_READ)
        if not piece:
            return Content(size, digest.hexdigest())
        digest.update(piece)
        size += len(piece)


def put(
    master: Master, path: str, local: str, content: Content, patience: Patience | None = None, **query: str
) -> None:
    """Sends a file to an address that takes pieces. Raises Changed where it holds something else by now."""
    offset = 0
    with open(local, "rb") as file:
        while True:
            file.seek(offset)
            piece = file.read(min(_PIECE, content.bytes - offset))
            if len(piece) < min(_PIECE, content.bytes - offset):
                raise Changed(local)
            is_last = offset + len(piece) == content.bytes
            within = _FINISH_WITHIN if is_last else _WITHIN
            asked = {**query, "bytes": content.bytes, "offset": offset}
            try:
                answer = master.ask("PUT", path, piece, within, patience, **asked)
            except Refused as refused:
                if refused.field == "sha256":
                    raise Changed(local) from refused
                raise
            if answer["whole"] is True:
                return
            offset = int(answer["offset"])


def address(*parts: str) -> str:
    """A path of the API with these in it; the last one may have slashes."""
    first = [quote(it, safe="") for it in parts[:-1]]
    return "/" + "/".join([*first, quote(os.fsencode(parts[-1]), safe="/")])


def below(folder: str, warn: Callable[[str, str], None]) -> list[str]:
    """The files below a folder by their paths with slashes, in order. `warn` hears of what is no file of it, and why.

    A link to a file in the folder is that file; no link leads out of it.
    """
    real = os.path.realpath(folder)
    found: list[str] = []
    for here, folders, files in os.walk(real, onerror=_raise):
        for name in [*folders, *files]:
            whole = os.path.join(here, name)
            path = os.path.relpath(whole, real).replace(os.sep, "/")
            if os.path.isdir(whole) and not os.path.islink(whole):
                continue
            why = _why_not(whole, path, real)
            if why:
                warn(path, why)
            else:
                found.append(path)
    return sorted(found)


def is_plain(path: str) -> bool:
    """Whether a path stays below its folder, as the master sees it."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return False
    odd = any(it < " " or "\x7f" <= it < "\xa0" or it == "\\" for it in path)
    parts = path.split("/")
    return size <= 1024 and not odd and not any(it in ("", ".", "..") or is_ours(it) for it in parts)


def is_ours(name: str) -> bool:
    """A name of what is on its way."""
    return name.startswith(".atlas-") and name.endswith(".part")


def _why_not(whole: str, path: str, real: str) -> str | None:
    if is_ours(os.path.basename(path)):
        return "its name is that of a file on its way"
    if not is_plain(path):
        return "its name is too long, no text, or has characters that no path should have"
    if os.path.islink(whole):
        target = os.path.realpath(whole)
        if not target.startswith(os.path.join(real, "")):
            return "it is a link that leads out of the folder"
        if not os.path.isfile(target):
            return "it is a link to no file"
    elif not os.path.isfile(whole):
        return "it is no file"
    return None


def _raise(error: OSError) -> None:
    raise error


def _look(of: os.stat_result) -> tuple[int, ...]:
    return of.st_ino, of.st_size, of.st_mtime_ns, of.st_dev
