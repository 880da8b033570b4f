"""What TensorBoard shows of a run, uploaded while it is written: its files grow, and only what was added travels."""

from __future__ import annotations

import atexit
import json
import os
import threading

from foundations import _run, _say, _tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from foundations._http import Master, Patience

    AnyPath = Union[str, "os.PathLike[str]"]

LIST = "logdirs"
"""The file of a run outside of a job that names the folders, a line each: who brings the run to the master reads them."""
_EVERY = 5.0
"""Seconds between two looks at a folder."""
_PIECE = 1 << 20
_AT_ONCE = 32 << 20
"""Bytes that go at one look, so that other things of a run come to their turn."""
_WITHIN = 120.0
_GROWS = "tfevents"
"""What the names of files have that are only appended to."""

_folders: dict[str, Logdir] = {}
"""Those that this process uploads."""
_over = threading.Event()
_uploader: threading.Thread | None = None


def set_tensorboard_logdir(path: AnyPath) -> None:
    """Uploads a folder that TensorBoard's files are written to: every few seconds, and at the end of the process.

    It is below `tensorboard/` among the job's files. The folder need not be there yet. Several may be named.
    """
    global _uploader
    folder = os.path.abspath(os.fspath(path))
    if isinstance(folder, bytes):
        raise TypeError("Invalid logdir %r with type %s. It should be text or a path" % (path, type(path)))
    spool = _run.spool()
    if spool is None or folder in _folders:
        return
    _folders[folder] = Logdir(folder)
    _tags.set_tag("tf", "tf")
    if not _run.is_job():
        with open(os.path.join(os.environ["ATLAS_RUN_DIR"], LIST), "a", encoding="utf-8") as file:
            file.write(json.dumps(folder) + "\n")
        return
    if _uploader is None or not _uploader.is_alive():
        if _uploader is None:
            atexit.register(_end)
        _uploader = threading.Thread(target=_carry, name="foundations-tensorboard", daemon=True)
        _uploader.start()


class Logdir:
    """One folder on its way."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._sent: dict[str, tuple[tuple[int, int], int]] = {}
        """What each file looked like when it was sent last, and how many bytes of it are there."""

    def advance(self, master: Master, job: str, most: int = _AT_ONCE, patience: Patience | None = None) -> bool:
        """Sends what is new, up to so many bytes. False = there is more. Raises Unreachable."""
        from foundations import _content
        from foundations._errors import Refused

        if not os.path.isdir(self._folder):
            return True
        try:
            found = _content.below(self._folder, self._warn)
        except OSError as error:
            self._warn("", str(error))
            return True
        for path in found:
            try:
                most -= self._send(master, job, path, most, patience)
            except FileNotFoundError:
                continue  # gone since
            except OSError as error:
                self._warn(path, str(error))
            except Refused as refused:
                if refused.code in ("not_running", "no_job"):
                    raise
                self._warn(path, str(refused))
                self._sent[path] = (_look(os.path.join(self._folder, path)), -1)
            if most <= 0:
                return False
        return True

    def _send(self, master: Master, job: str, path: str, most: int, patience: Patience | None) -> int:
        """Returns the bytes that went."""
        from foundations import _content

        local = os.path.join(self._folder, path)
        now = _look(local)
        before, there = self._sent.get(path, (None, 0))
        if before == now:
            return 0
        grows = _GROWS in os.path.basename(path) and now[0] >= there >= 0
        offset, anew, sent = (there, None, 0) if grows else (0, "true", 0)
        address = _content.address("jobs", job, "tensorboard", path)
        with open(local, "rb") as file:
            while True:
                file.seek(offset)
                piece = file.read(min(_PIECE, now[0] - offset)) if offset < now[0] else b""
                answer = master.ask("PUT", address, piece, _WITHIN, patience, offset=offset, anew=anew)
                came, sent, anew = int(answer["offset"]), sent + len(piece), None
                is_done = came >= now[0] or not piece
                if is_done or sent >= most or came == offset:
                    offset = came
                    break
                offset = came
        self._sent[path] = (now if is_done else (-1, -1), offset)
        return max(sent, 1)

    def _warn(self, path: str, why: str) -> None:
        whole = os.path.join(self._folder, path)
        _say.warn_once(whole, "%s is not uploaded for TensorBoard: %s" % (whole, why))


def of_run(folder: str, known: dict[str, Logdir]) -> list[Logdir]:
    """The folders that a run outside of a job named."""
    try:
        with open(os.path.join(folder, LIST), encoding="utf-8") as file:
            named = [json.loads(it) for it in file.read().splitlines()]
    except (OSError, ValueError):
        return []
    return [known.setdefault(it, Logdir(it)) for it in named if isinstance(it, str)]


def _look(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def _carry() -> None:
    while not _over.wait(_EVERY):
        _advance(_AT_ONCE)


def _end() -> None:
    """All that there is by the end of the process."""
    _over.set()
    if _uploader is not None and _uploader.is_alive():
        _uploader.join()
    _advance(1 << 62)


def _advance(most: int) -> None:
    from foundations import _http
    from foundations._errors import AtlasError, Unreachable

    job = os.environ.get("ATLAS_JOB_ID", "")
    try:
        master = _http.connect(None)
        for it in list(_folders.values()):
            it.advance(master, job, most)
    except Unreachable as error:
        _say.warn_once("tensorboard-away", "what TensorBoard shows of this job is not uploaded for now: %s" % error)
    except (AtlasError, OSError) as error:
        _say.warn_once("tensorboard", "what TensorBoard shows of this job is not uploaded: %s" % error)


def _forget() -> None:
    _folders.clear()


def _is_somebody_elses() -> None:
    """A process that is forked off has no thread: its parent goes on."""
    global _uploader
    _folders.clear()
    _uploader = None


_run.of_one_run(_forget)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_is_somebody_elses)
