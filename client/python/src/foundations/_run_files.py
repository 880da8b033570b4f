"""The files of a run outside of a job on their way to its master: what it saved, what TensorBoard shows, and folders."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

from foundations import _content, _folder, _syncable, _tensorboard
from foundations._content import Changed, Hashes
from foundations._errors import AtlasError, Refused, Unreachable
from foundations._spool import Spool

if TYPE_CHECKING:
    from foundations._http import Master

_AT_ONCE = 20
"""Artifacts between two looks at the spool."""
_EVERY = 5.0
"""Seconds between two looks at what TensorBoard shows."""
_OVER = ("not_outside", "not_running", "no_job")
"""Refusals that are about the run, and not about a file."""


class RunFiles:
    """Those of one run."""

    def __init__(self, folder: str, run: str) -> None:
        self._folder = folder
        self._run = run
        self._logdirs: dict[str, _tensorboard.Logdir] = {}
        self._looked = 0.0
        self.is_all = True
        """Everything that the run saved is at the master."""

    def bring(self, master: Master, wanted: list[str]) -> dict[str, str]:
        """Sends artifacts, and returns what is to be said of them: which are there, and why one is not. Raises Unreachable."""
        kept: list[str] = []
        for path in wanted[:_AT_ONCE]:
            try:
                self._artifact(master, path)
            except (Changed, OSError) as error:
                why = "its copy on the machine of the run cannot be read: %s" % error
            except Refused as refused:
                if refused.code in _OVER:
                    raise
                why = str(refused)
            else:
                kept.append(path)
                continue
            self.is_all = False
            return {"kept": "\n".join(kept), "missing": path, "why": why[:200]}
        return {"kept": "\n".join(kept)}

    def end(self, master: Master) -> None:
        """Sends the folders that could not be uploaded, before the rest of the spool, which says so then."""
        home = os.path.join(self._folder, _syncable.KEPT)
        names = [it for it in sorted(os.listdir(home)) if not it.endswith(".part")] if os.path.isdir(home) else []
        for key in names:
            folder = os.path.join(home, key)
            try:
                files = _folder.upload(master, self._run, key, folder, Hashes())
            except Unreachable:
                raise
            except (AtlasError, OSError) as error:
                if isinstance(error, Refused) and error.code in _OVER:
                    raise
                self.is_all = False  # it stays here, and keeps nothing else
                continue
            spool = Spool(os.path.join(self._folder, "spool", "events"))
            spool.write(_syncable.line(key, files))
            spool.close()
            shutil.rmtree(folder)

    def tensorboard(self, master: Master, is_over: bool) -> None:
        """Sends what is new of the folders that TensorBoard reads."""
        if not is_over and time.monotonic() < self._looked + _EVERY:
            return
        for it in _tensorboard.of_run(self._folder, self._logdirs):
            while not it.advance(master, self._run) and is_over:
                pass
        self._looked = time.monotonic()

    def _artifact(self, master: Master, path: str) -> None:
        """A file, or a folder with all that is in it."""
        if not _content.is_plain(path):
            raise OSError("%r leads out of the run's folder" % path)
        top = os.path.join(self._folder, "spool", "files")
        if os.path.islink(os.path.join(top, path.partition("/")[0])):
            raise OSError("%r is behind a link" % path)
        for name, is_folder in _beneath(top, path):
            address = _content.address("runs", self._run, "artifacts", name)
            if is_folder:
                master.ask("PUT", address, b"", folder="true")
                continue
            local = os.path.join(top, name)
            with open(local, "rb") as file:
                content = _content.read(file)
            _content.put(master, address, local, content, sha256=content.sha256)


def _beneath(top: str, path: str) -> list[tuple[str, bool]]:
    """The path and all below it, with whether it is a folder; links are left out, for a copy has none."""
    whole = os.path.join(top, path)
    if os.path.islink(whole) or not os.path.exists(whole):
        raise FileNotFoundError("%s is not there" % whole)
    if not os.path.isdir(whole):
        return [(path, False)]
    found = [(path, True)]
    for name in sorted(os.listdir(whole)):
        if not os.path.islink(os.path.join(whole, name)):
            found += _beneath(top, path + "/" + name)
    return found
