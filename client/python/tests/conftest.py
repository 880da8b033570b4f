"""A job as the SDK finds it: its variables, and a module that nobody has used yet."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest
from cluster import Cluster
from waiting import eventually as eventually

Event = Dict[str, Any]


class Job:
    """The folder in which a job runs and the spool that it writes to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "job"
        self.folder.mkdir()
        (root / "spool").mkdir()
        self.spool = root / "spool" / "events"
        self.home = root / "home"
        self.variables = {
            "ATLAS_HOME": str(self.home),
            "ATLAS_SPOOL": str(self.spool),
            "ATLAS_ATTEMPT": "1",
            "ATLAS_PROJECT": "mnist",
        }

    def lines(self) -> list[str]:
        return self.spool.read_text("utf-8").splitlines() if self.spool.exists() else []

    def events(self, kind: str = "") -> list[Event]:
        """What was written, without its times; facts only when asked for."""
        found = [json.loads(line) for line in self.lines()]
        assert all(abs(it.pop("at") - 1000 * os.stat(self.spool).st_mtime) < 3_600_000 for it in found)
        return [it for it in found if it["e"] == kind or (not kind and it["e"] != "facts")]

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs Python in the job's folder."""
        env = {**os.environ, **self.variables, **variables}
        return subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=env, capture_output=True, text=True, check=False
        )

    def script(self, text: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a script, which has to end well."""
        (self.folder / "main.py").write_text(text, "utf-8")
        done = self.run("main.py", *words, **variables)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    for name in list(os.environ):
        if name.startswith(("ATLAS_", "FOUNDATIONS_")) or name in ("RANK", "SLURM_PROCID", "PMI_RANK"):
            monkeypatch.delenv(name)
    return Job(tmp_path)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """Imports the module as a new process does."""
    yield _fresh
    _fresh()


def _fresh() -> Any:
    for name in list(sys.modules):
        if name.partition(".")[0] == "foundations":
            del sys.modules[name]
    return importlib.import_module("foundations")


@pytest.fixture
def sdk(job: Job, fresh: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module inside of a job."""
    for name, value in job.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(job.folder)
    return fresh()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests."""
    it = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        eventually("the cluster is up", lambda: it.is_up() or None)
        yield it
    finally:
        it.end()


@pytest.fixture
def submitting(cluster: Cluster, job: Job, fresh: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module in the hands of somebody who submits the folder that they stand in."""
    monkeypatch.setenv("ATLAS_HOME", str(cluster.home))
    monkeypatch.chdir(job.folder)
    return fresh()
