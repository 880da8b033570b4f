"""A folder on its way into the queue: looked at once, for one job or for thousands."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from http import HTTPStatus

from foundations import _asked, _bundle, _changes, _say, _tree
from foundations._errors import AtlasError, Refused, Unreachable
from foundations._http import BRIEF, Json, Master, Patience, refused
from foundations._upload import upload

_CONFIG = "job.config.yaml"
_LONGEST_CONFIG = 1 << 20
_LARGE = 100_000_000
"""Bytes; more is worth a warning: data sets belong on volumes."""
_AT_ONCE, _BYTES_AT_ONCE = 5_000, 16 << 20
"""Jobs of one request, and what they may take as JSON."""
_WITHIN = 120.0


class Submission:
    """What the jobs of one call have in common."""

    def __init__(self, master: Master, tree: _tree.Tree, config: str | None, secrets: dict[str, str]) -> None:
        self._master = master
        self._tree = tree
        self._bundle = _bundle.identify(tree)
        self._config = config
        self._secrets = secrets
        self.projects: dict[str, str] = {}
        """Of the jobs that were taken, by their ids."""
        self._shared = {
            "bundle": self._bundle._asdict(),
            "dir_name": os.path.basename(tree.root).decode("utf-8", "replace"),
            "job_config_yaml": config,
            **_changes.described(tree),
        }

    def send(self, jobs: list[Json]) -> list[str | Refused]:
        """Submits jobs, each said by its overrides. What became of each: its id, or why it was refused."""
        ones = [{"id": str(uuid.uuid4()), "overrides": it} for it in jobs]
        fates: list[str | Refused] = []
        while len(fates) < len(ones):
            some = _fitting(ones[len(fates) :])
            fates += self._insist(some)
        return fates

    def _insist(self, ones: list[Json]) -> list[str | Refused]:
        """Sends what the master turns out to lack. The ids make it the same jobs each time."""
        fates, notices = self._ask(ones)
        wanted = [it for it in fates if isinstance(it, Refused) and it.code == "secrets_wanted"]
        if wanted:
            names = wanted[0].secrets
            self._secrets.update(_asked.of_config(names, self._config or ""))
            _say.notice("Secrets sent from this environment: %s." % ", ".join(names))
            fates, notices = self._ask(ones)
        if any(isinstance(it, Refused) and it.code == "no_bundle" for it in fates):
            self._send_bundle()
            fates, notices = self._ask(ones)
        for notice in notices:
            _say.warn_once(notice, notice)
        return fates

    def _ask(self, ones: list[Json]) -> tuple[list[str | Refused], list[str]]:
        body = {**self._shared, "secrets": self._secrets, "jobs": ones}
        patience = Patience(BRIEF)
        while True:
            answers = self._master.ask("POST", "/jobs/batch", body, _WITHIN, patience)["jobs"]
            fates: list[str | Refused] = []
            notices: list[str] = []
            if [it["id"] for it in answers] != [it["id"] for it in ones]:
                raise AtlasError("the master at %s answers for other jobs than it was given" % self._master.url)
            for answer in answers:
                problem = answer.get("problem")
                fates.append((problem and refused(problem, problem["status"])) or answer["id"])
                notices += answer.get("notices", ())
                if "project" in answer:
                    self.projects[answer["id"]] = answer["project"]
            away = [it for it in fates if isinstance(it, Refused) and it.status == HTTPStatus.SERVICE_UNAVAILABLE]
            if not away:
                return fates, notices
            patience.wait(Unreachable("the master at %s could not do it: %s" % (self._master.url, away[0])))

    def _send_bundle(self) -> None:
        with _bundle.packed(self._tree) as (file, bundle):
            if bundle != self._bundle:
                raise _bundle.changed(self._tree.root)
            upload(self._master, file, bundle)


def look(folder: str, commands: list[list[str]], sends_all: bool) -> _tree.Tree:
    """Looks at a job directory and says what is worth knowing about it; once in a process, since searches submit again and
    again.
    """
    tree = _tree.collect(folder, sends_all)
    for command in commands:
        tree.check_command(command)
    for notice in tree.notices:
        _say.warn_once(notice, notice)
    where = _tree.shown(tree.root)
    if tree.excluded:
        what = "%d file(s) and folder(s) of %s stay behind by ignore rules (`atlas submit --dry-run` lists them)."
        _notice_once(what % (len(tree.excluded), where))
    size = sum(it.size for it in tree.entries)
    if size > _LARGE:
        what = (
            "The job directory %s holds %d MB (`atlas submit --dry-run` lists them): leave out what the job does not need "
            "with .atlasignore, and pass data sets by volumes=..."
        )
        _say.warn_once("large " + where, what % (where, size // 1_000_000))
    for first in {it[0] for it in commands if it}:
        if not _is_known(tree.root, first):
            what = "'%s' is neither a file of the job directory nor a program of this machine." % first
            _say.warn_once(what, what + " If the job's image has it, all is well.")
    return tree


def job_config(folder: str) -> str | None:
    """The raw text of job.config.yaml, if there is one; the master checks it."""
    path = os.path.join(folder, _CONFIG)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read(_LONGEST_CONFIG + 1)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise AtlasError("could not read %s: %s" % (path, error)) from error
    if len(text.encode("utf-8")) > _LONGEST_CONFIG:
        raise AtlasError("could not read %s: it is larger than 1 MiB" % path)
    return text


def _notice_once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        _say.notice(text)


_told: set[str] = set()


def _is_known(root: bytes, word: str) -> bool:
    """Whether a command's first word is a file of the job directory, an option of python, or a program."""
    if word.startswith("-") or os.path.exists(os.path.join(root, os.fsencode(word))):
        return True
    return "/" not in word and shutil.which(word) is not None


def _fitting(ones: list[Json]) -> list[Json]:
    """As many as one request carries, at least one."""
    some: list[Json] = []
    size = 0
    for one in ones[:_AT_ONCE]:
        size += len(json.dumps(one))
        if some and size > _BYTES_AT_ONCE:
            break
        some.append(one)
    return some
