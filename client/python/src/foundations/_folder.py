"""A folder of a job at its master, and the same folder here: what is the same is not sent, and what went here goes there."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Callable

from foundations import _content, _say
from foundations._content import Changed, Content, Hashes
from foundations._errors import AtlasError, Refused, Unreachable

if TYPE_CHECKING:
    from foundations._http import Master, Patience

NOTE = ".atlas-synced.json"
"""What the master keeps in each folder."""
_TRIES = 10
"""For a folder that changes while it is read."""
_READ = 1 << 20


def upload(
    master: Master, job: str, key: str, folder: str, hashes: Hashes, patience: Patience | None = None
) -> dict[str, Content]:
    """Makes the job's folder what the local one is. Until all of it is there, the one before stands."""
    for _ in range(_TRIES):
        try:
            files = _files(folder, hashes)
            asked = {"files": [{"path": it, **files[it]._asdict()} for it in sorted(files)]}
            while True:
                answer = master.ask("PUT", _content.address("jobs", job, "synced", key), asked, 3600.0, patience)
                lacks = set(answer["lacks"])
                if not lacks:
                    return files
                for path, content in files.items():
                    if content.sha256 in lacks:
                        lacks.discard(content.sha256)
                        place = _content.address("jobs", job, "synced-content", content.sha256)
                        _content.put(master, place, os.path.join(folder, path), content, patience)
                if lacks:
                    raise AtlasError("the master asks for content that no file of %s has" % folder)
        except (Changed, FileNotFoundError):
            if not os.path.isdir(folder):
                raise
    raise AtlasError("%s changes faster than it can be uploaded: nothing of it was" % folder)


def download(
    master: Master, job: str, key: str, folder: str, seen: dict[str, Content], hashes: Hashes
) -> dict[str, Content]:
    """Makes the local folder what the job's is, and returns what that holds. What lies here and was never in it stays.

    `seen` is what it held when it was up- or downloaded last: of that, what is not in it any more goes.
    """
    for _ in range(_TRIES):
        found = master.ask("GET", _content.address("jobs", job, "synced", key))
        files = {str(it["path"]): Content(int(it["bytes"]), str(it["sha256"])) for it in found["files"]}
        for path in files:
            if not _content.is_plain(path):
                raise AtlasError("the folder `%s` of job %s names %r, which leads out of it" % (key, job, path))
        if found.get("at_ms") is None:
            return {}
        with tempfile.TemporaryDirectory(prefix=".atlas-", suffix=".part", dir=folder) as coming:
            try:
                came = [
                    it for it in sorted(files) if _fetched(master, (job, key, it), files[it], folder, coming, hashes)
                ]
            except Changed:
                continue  # another version took its place meanwhile
            for number in range(len(came)):
                _place(folder, came[number], os.path.join(coming, str(number)))
        for path in set(seen) - set(files):
            _remove(folder, path, seen[path], hashes)
        return files
    raise AtlasError("the folder `%s` of job %s changes faster than it can be downloaded" % (key, job))


def _files(folder: str, hashes: Hashes) -> dict[str, Content]:
    def warn(path: str, why: str) -> None:
        if not _content.is_ours(path.partition("/")[0]):
            _say.warn_once(os.path.join(folder, path), "%s is not uploaded: %s" % (os.path.join(folder, path), why))

    found = [it for it in _content.below(folder, warn) if it != NOTE]
    return {it: hashes.of(os.path.join(folder, it)) for it in found}


def _fetched(
    master: Master, of: tuple[str, str, str], content: Content, folder: str, coming: str, hashes: Hashes
) -> bool:
    """False = the file is here as it should be. Else it has come into `coming`, under the next number."""
    job, key, path = of
    local = os.path.join(folder, path)
    if _is_beneath(folder, path) and os.path.isfile(local) and hashes.of(local) == content:
        return False
    to = os.path.join(coming, str(len(os.listdir(coming))))
    address = _content.address("jobs", job, "files", "synced/%s/%s" % (key, path))
    try:
        _fetch(master, address, to)
    except Refused as refused:
        if refused.code not in ("no_file", "not_a_file"):
            raise
        raise Changed(path) from refused
    with open(to, "rb") as file:
        if _content.read(file) != content:
            raise Changed(path)
    return True


def _fetch(master: Master, address: str, to: str) -> None:
    from http.client import HTTPException, IncompleteRead

    from foundations import _http

    patience = _http.Patience(_http.BRIEF)
    while True:
        try:
            with master.open("GET", address) as response, open(to, "wb") as file:
                expected = response.length
                came = _copy(response.read, file.write)
            if expected is not None and came < expected:
                raise IncompleteRead(b"", expected - came)
            return
        except Unreachable as error:
            patience.wait(error)
        except (OSError, HTTPException) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # of our own file
            patience.wait(master.unreachable(error))


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], int]) -> int:
    size = 0
    while True:
        piece = read(_READ)
        if not piece:
            return size
        size += write(piece)


def _place(folder: str, path: str, whole: str) -> None:
    """Gives a file its name: whoever reads it meanwhile has the old one or the new one."""
    here = folder
    for part in path.split("/")[:-1]:
        here = os.path.join(here, part)
        if os.path.islink(here) or (os.path.lexists(here) and not os.path.isdir(here)):
            os.remove(here)  # no link leads out of the folder
        os.makedirs(here, exist_ok=True)
    to = os.path.join(folder, path)
    if os.path.isdir(to) and not os.path.islink(to):
        try:
            os.removedirs(to)
        except OSError as error:
            raise AtlasError("%s is a folder with something in it, where a file is to be" % to) from error
        os.makedirs(os.path.dirname(to), exist_ok=True)
    os.replace(whole, to)


def _remove(folder: str, path: str, was: Content, hashes: Hashes) -> None:
    """What somebody has changed here since stays."""
    local = os.path.join(folder, path)
    if not _is_beneath(folder, path) or not os.path.isfile(local) or hashes.of(local) != was:
        return
    os.remove(local)
    above = os.path.dirname(path)
    while above:
        try:
            os.rmdir(os.path.join(folder, above))
        except OSError:
            return  # something else is in it
        above = os.path.dirname(above)


def _is_beneath(folder: str, path: str) -> bool:
    """Whether no link is on the way to it, nor is it one."""
    here = folder
    for part in path.split("/"):
        here = os.path.join(here, part)
        if os.path.islink(here):
            return False
    return True
