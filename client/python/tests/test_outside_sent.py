"""Runs outside of the cluster on their way to the master, with a real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from conftest import Job, eventually
from test_outside import HEARD, Outside, unasked


@pytest.fixture
def outside(job: Job, tmp_path: Path) -> Outside:
    (tmp_path / "outside").mkdir()
    return Outside(tmp_path / "outside")


@pytest.fixture
def near(outside: Outside, cluster: Cluster) -> Outside:
    """With a master that answers."""
    outside.goes_to(cluster.url)
    return outside


def done(cluster: Cluster, run: Path) -> Any:
    """What the master knows of a run that has ended."""

    def look() -> Any:
        job = cluster.get("/jobs/" + run.name)
        return job if job["phase"] == "done" else None

    eventually("all of it is sent, and nothing kept twice", lambda: None if run.exists() else True)
    return eventually("the run has ended", look)


def test_an_import_makes_the_run_appear(near: Outside, cluster: Cluster) -> None:
    (near.folder / "helper.py").write_text("x = 1\n")
    text = "import foundations\nprint('trained')\nfoundations.log_metric('loss', [0.5, 0.25])\nfoundations.log_param('lr', 1)\n"
    near.script(text, "--lr", "1", FOUNDATIONS_PROJECT_NAME="laptop")
    run = near.the_run()
    job = done(cluster, run)
    assert (job["status"], job["project"], job["command"]) == ("completed", "laptop", ["main.py", "--lr", "1"])
    assert job["host"] == os.uname().nodename
    assert cluster.atlas("get", "logs", "scheduler", run.name, cwd=near.folder) == "trained\n"
    cluster.atlas("get", "job", "scheduler", run.name, cwd=near.root)
    assert (near.root / run.name / "source" / "helper.py").read_text() == "x = 1\n"
    told = cluster.get("/jobs/%s/run" % run.name)
    assert told["params"] == {"lr": 1}
    assert (told["metrics"]["loss"]["last"], told["metrics"]["loss"]["count"]) == (0.25, 2)
    assert told["facts"]["argv"][-2:] == ["--lr", "1"]


def test_nothing_is_said_where_all_is_well(near: Outside, cluster: Cluster) -> None:
    assert near.script("import foundations\n").stderr == ""
    done(cluster, near.the_run())


@pytest.mark.parametrize(
    ("ending", "cause"),
    [
        ("raise SystemExit(3)", "exit-code 3"),
        ("1 / 0", "exit-code 1"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("os.abort()", "signal 6"),
    ],
)
def test_the_cluster_knows_the_truth(near: Outside, cluster: Cluster, ending: str, cause: str) -> None:
    child = unasked(near, ending)
    job = done(cluster, near.the_run())
    child.wait()
    assert (job["status"], job["cause"]) == ("failed", cause)
    if ending == "1 / 0":
        assert job["detail"] == "ZeroDivisionError: division by zero"


def test_a_run_goes_on_in_the_list_and_can_be_stopped(near: Outside, cluster: Cluster) -> None:
    (near.folder / "main.py").write_text("import foundations, time\nprint('up', flush=True)\ntime.sleep(1000)\n")
    script = subprocess.Popen([sys.executable, "main.py"], cwd=near.folder, env={**os.environ, **near.variables})
    run = eventually("it begins", lambda: next(iter(near.runs()), None))
    eventually("the master knows it", lambda: (run / "notice").exists() or None)
    assert cluster.get("/jobs/" + run.name)["status"] == "running"
    cluster.atlas("stop", "job", "scheduler", run.name, cwd=near.folder)
    assert script.wait(60) == -signal.SIGTERM
    job = done(cluster, run)
    assert (job["status"], job["cause"].partition(" ")[0]) == ("failed", "stopped-by")


def test_what_could_not_be_sent_is_sent_later(outside: Outside, cluster: Cluster) -> None:
    outside.script("import foundations\nprint('alone')\n")
    outside.end()
    run = outside.the_run()
    eventually("the folder is packed as it is", lambda: (run / "bundle").exists() or None)
    (outside.folder / "main.py").write_text("print('another')\n")
    helper = eventually("it is held by its helper", lambda: holder(run / "lock"))
    early = outside.run("-m", "foundations", "sync")
    assert (early.returncode, early.stdout) == (0, "")
    assert "%s: another process sends it already" % run.name in early.stderr
    os.kill(helper, signal.SIGKILL)
    eventually("the helper is gone", lambda: None if holder(run / "lock") else True)
    outside.goes_to(cluster.url)
    assert outside.run("-m", "foundations", "sync").stdout == run.name + "\n"
    assert done(cluster, run)["status"] == "completed"
    log = cluster.atlas("get", "logs", "scheduler", run.name, cwd=outside.folder)
    assert log.startswith("alone\n")
    cluster.atlas("get", "job", "scheduler", run.name, cwd=outside.root)
    assert "alone" in (outside.root / run.name / "source" / "main.py").read_text()
    again = outside.run("-m", "foundations", "sync")
    assert (again.returncode, again.stdout) == (0, "")


def test_a_run_whose_files_are_damaged_keeps_no_other_from_being_sent(outside: Outside) -> None:
    for name, text in (("damaged", "{"), ("whole", "{}")):
        run = outside.home / "runs" / name
        run.mkdir(parents=True)
        (run / "run.json").write_text(text)
    sent = outside.run("-m", "foundations", "sync")
    assert sent.returncode == 126
    assert "damaged: its files are not as they were written: JSONDecodeError" in sent.stderr
    assert "whole: no Atlas master answers" in sent.stderr


def holder(path: Path) -> int | None:
    """Which process holds a lock."""
    inode = path.stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5].endswith(":%d" % inode):
            return int(words[4])
    return None


def test_a_home_is_not_sent(near: Outside, cluster: Cluster) -> None:
    (near.folder / "private").write_text("x")
    script = near.script(HEARD, HOME=str(near.folder), FOUNDATIONS_USER="ada")
    assert "only the script itself is kept" in script.stderr
    run = near.the_run()
    done(cluster, run)
    cluster.atlas("get", "job", "scheduler", run.name, cwd=near.root)
    assert os.listdir(near.root / run.name / "source") == ["main.py"]
    assert cluster.get("/jobs/" + run.name)["user"] == "ada"
