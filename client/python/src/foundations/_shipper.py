"""Brings a run outside of the cluster to its master: the folder that it was started in, what it logs and prints, how it ended.

All that is to be sent lies in the run's folder, so that it can be sent by whoever comes, as often as it takes.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import Any, Callable

from foundations import _bundle, _changes, _http, _tree, _upload
from foundations._errors import AtlasError, Refused
from foundations._run_files import RunFiles

_PIECE = 512 * 1024
_LARGEST = 1_000_000_000
"""Bytes of a folder; of a larger one the script goes along alone."""
_DETAIL = 500
_FILES = (("log", "log"), ("spool", "spool/events"))
"""What is sent as it grows, by its name in the address and in the run's folder."""
_SILENCE = 5.0
"""Seconds after which a run says that it is still there, and hears whether it is to stop."""
_OVER = ("not_outside", "not_running", "no_job")
"""Refusals that mean that nobody waits for more: it has ended before, or was deleted."""
SENT = "sent"
"""The file that says that the master has all of a run."""


class Shipper:
    """One run on its way."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._run = self._json("run.json") or {}
        self._master: _http.Master | None = None
        self._begun = False
        self._files = RunFiles(folder, str(self._run.get("id")))
        self._there: dict[str, int] = {}
        """Bytes of log and spool that the master has."""
        self._heard = 0.0
        self.is_to_stop = False
        """Somebody asked the run to stop."""
        self.notice = ""
        """What the script's user should know of it."""

    def advance(self) -> bool:
        """Sends what is new, and says that the run is still there. True = the master has all of it, its end too.

        Raises Unreachable where the same may succeed later, and AtlasError where it will not.
        """
        if self._master is None:
            self._master = _http.connect(self._run.get("config"))
        try:
            if not self._begun:
                self._begin(self._master)
                self._begun = True
            end = self._json("end.json")  # before the rest is looked at: then there is no more
            if end is not None:
                self._files.end(self._master)
            for what, name in _FILES:
                self._send(self._master, what, self._at(name), is_over=end is not None)
            self._files.tensorboard(self._master, is_over=end is not None)
            if end is None:
                return False
            self._master.ask_once("POST", self._path("end"), self._ending(end))
        except Refused as refused:
            if refused.code not in _OVER:
                raise
        self._clean()
        return True

    def keep(self) -> None:
        """Packs the folder as it is now, for a master that is away."""
        self._packed(self._asked())

    def _begin(self, master: _http.Master) -> None:
        asked = self._asked()
        try:
            master.ask_once("POST", "/runs", asked)
        except Refused as refused:
            if refused.code != "no_bundle":
                raise
            asked = self._packed(asked)
            with open(self._at("bundle"), "rb") as file:
                _upload.upload(master, file, _bundle.Bundle(**asked["bundle"]))
            master.ask_once("POST", "/runs", asked)

    def _asked(self) -> dict[str, Any]:
        """What the master is asked to begin: the same each time. Most bundles it knows, and they need not be packed."""
        return self._json("begin.json") or self._of_either(_bundle.identify)

    def _packed(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Has the bundle in a file. Of a folder that changed meanwhile it is another one, which no master was asked for."""
        if os.path.exists(self._at("bundle")):
            return asked
        return self._of_either(self._keep)

    def _keep(self, tree: _tree.Tree) -> _bundle.Bundle:
        with _bundle.packed(tree) as (packed, bundle), open(self._at("bundle.part"), "wb") as file:
            packed.seek(0)
            shutil.copyfileobj(packed, file)
        os.rename(self._at("bundle.part"), self._at("bundle"))
        return bundle

    def _write(self, tree: _tree.Tree, bundle: _bundle.Bundle) -> dict[str, Any]:
        run = self._run
        asked = {
            "id": run["id"],
            "bundle": bundle._asdict(),
            "dir_name": os.path.basename(run["directory"]),
            "host": os.uname().nodename,
            "started_ms": run["at"],
            "command": run["command"],
            "project": run["project"],
            **_changes.described(tree),
        }
        with open(self._at("begin.part"), "w", encoding="utf-8") as file:
            json.dump(asked, file)
        os.rename(self._at("begin.part"), self._at("begin.json"))
        return asked

    def _of_either(self, read: Callable[[_tree.Tree], _bundle.Bundle]) -> dict[str, Any]:
        """The whole folder; the script alone where somebody writes to the folder meanwhile, or it cannot be read."""
        try:
            tree = self._whole()
            bundle = read(tree)
        except AtlasError as error:
            tree = self._script_alone(str(error))
            bundle = read(tree)
        return self._write(tree, bundle)

    def _whole(self) -> _tree.Tree:
        directory = os.path.realpath(self._run["directory"])
        if directory in ("/", os.path.realpath(os.path.expanduser("~"))):
            return self._script_alone("%s is no folder of a project" % directory)
        tree = _tree.collect(directory)
        if sum(it.size for it in tree.entries) <= _LARGEST:
            return tree
        return self._script_alone("%s holds more than 1 GB; .atlasignore leaves things out" % directory)

    def _script_alone(self, why: str) -> _tree.Tree:
        """What is not a file is not there either: a notebook, a module, a command."""
        self.notice = "only the script itself is kept with this run: %s" % why
        path = os.fsencode(os.path.join(self._run["directory"], self._run["command"][0]))
        tree = _tree.Tree(os.path.dirname(path))
        if os.path.isfile(path):
            entry = _tree.Entry(os.path.basename(path), os.stat(path).st_size, False, None)
            tree.entries.append(entry)
        return tree

    def _send(self, master: _http.Master, what: str, path: str, is_over: bool) -> None:
        brought: dict[str, str] = {}
        while True:
            before = self._there.get(what, 0)
            data = _read(path, before)
            is_news = data or is_over or what not in self._there or time.monotonic() > self._heard + _SILENCE
            if not is_news:
                return
            last = "true" if is_over and what == "spool" and len(data) < _PIECE else None
            files = "true" if what == "spool" else None
            asked: dict[str, Any] = {**brought, "offset": before, "last": last, "files": files}
            answer = master.ask_once("POST", self._path(what), data, **asked)
            self._heard = time.monotonic()
            self._there[what] = int(answer["offset"])
            self.is_to_stop = self.is_to_stop or answer["stop"] is True
            stands = self._there[what] == before
            wanted = answer.get("wanted") or []
            if wanted and stands and brought:
                raise AtlasError("the master does not find %s, which was sent" % wanted[0])
            if not wanted and (not data or stands):
                return
            brought = self._files.bring(master, wanted) if wanted else {}

    def _ending(self, end: dict[str, Any]) -> dict[str, Any]:
        error = end.get("error") or {}
        detail = "%s: %s" % (error.get("type"), error.get("message")) if error else ""
        return {
            "exit_code": end.get("code"),
            "signal": end.get("signal"),
            "stopped": end.get("stopped", False),
            "ended_ms": end["at"],
            "log_bytes": self._there["log"],
            "spool_bytes": self._there["spool"],
            "detail": " ".join(detail.split())[:_DETAIL],
        }

    def _clean(self) -> None:
        """The master has all of it. Where it took a file not, its copy stays here."""
        open(self._at(SENT), "w", encoding="utf-8").close()
        if os.path.exists(self._at("bundle")):
            os.remove(self._at("bundle"))
        if self._files.is_all:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, what: str) -> str:
        return "/runs/%s/%s" % (self._run["id"], what)

    def _at(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            with open(self._at(name), encoding="utf-8") as file:
                found = json.load(file)
        except FileNotFoundError:
            return None
        return found if isinstance(found, dict) else None


def _read(path: str, offset: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(_PIECE)
    except FileNotFoundError:
        return b""
