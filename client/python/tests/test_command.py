"""`foundations` and `python -m foundations`."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest
from cluster import binary
from conftest import Job


def log(job: Job, *words: str) -> Any:
    return job.run("-m", "foundations", "log", *words)


def test_shells_log_too(job: Job) -> None:
    (job.folder / "model.pt").write_text("12")
    for words in (
        ["metric", "loss", "0.25", "--step", "3"],
        ["metric", "count", "4"],
        ["metric", "note", "fine"],
        ["param", "sizes", "[1, 2]"],
        ["param", "opt", "adam"],
        ["tag", "best"],
        ["tag", "model", "cnn"],
        ["artifact", "model.pt", "--key", "the model"],
    ):
        done = log(job, *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    events = job.events()
    assert events[-1].pop("path").endswith("/model.pt")
    assert events == [
        {"e": "metric", "key": "loss", "value": 0.25, "step": 3},
        {"e": "metric", "key": "count", "value": 4},
        {"e": "metric", "key": "note", "value": "fine"},
        {"e": "param", "key": "sizes", "value": [1, 2]},
        {"e": "param", "key": "opt", "value": "adam"},
        {"e": "tag", "key": "best", "value": ""},
        {"e": "tag", "key": "model", "value": "cnn"},
        {"e": "artifact", "key": "the model", "bytes": 2, "folder": False},
    ]
    assert job.events("facts") == [], "the shell's job is no Python"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["metric", "loss"], 2, "required"),
        (["everything"], 2, "invalid choice"),
        (["metric", "loss", "1", "--step", "x"], 2, "invalid int"),
        (["metric", "loss", "1", "--step", "-1"], 126, "negative"),
        (["artifact", "nowhere"], 1, "nowhere"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(job: Job, words: Any, code: int, says: str) -> None:
    done = log(job, *words)
    assert done.returncode == code
    assert says in done.stderr
    assert job.lines() == []


def written(job: Job) -> Any:
    """What stands in the spool, without the names that copies were given; the spool is empty then."""
    events = job.events()
    for event in events:
        if "path" in event:
            event["path"] = event["path"].partition("/")[2]
    if job.spool.exists():
        job.spool.unlink()
    return events


@pytest.mark.parametrize(
    "words",
    [
        ["metric", "loss", "0.25", "--step", "3"],
        ["metric", "loss", "1e-7"],
        ["metric", "loss", "-Infinity"],
        ["metric", "loss", "nan"],
        ["metric", "n", "99999999999999999999"],
        ["metric", "n", "1_0"],
        ["metric", 'a "key" of ä', "x\ty"],
        ["metric", "text", "ä" * 501],
        ["metric", "text", "9" * 1001],
        ["metric", "k" * 251, "1"],
        ["metric", "a\nb", "1"],
        ["param", "sizes", '[64, 3.0, {"a": [null, true, NaN, -1e400, 99999999999999999999]}]'],
        ["param", "opt", "adam"],
        ["param", "opt", "[1,"],
        ["param", "deep", "[" * 33 + "]" * 33],
        ["param", "long", "x" * 17000],
        ["param", "", "1"],
        ["tag", "best"],
        ["tag", "model", "cnn"],
        ["tag", "long", "x" * 1001],
        ["artifact", "model.pt"],
        ["artifact", "folder", "--key", "f"],
        ["artifact", "."],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_atlas_writes_the_same_lines(job: Job, words: list[str]) -> None:
    (job.folder / "model.pt").write_text("12")
    (job.folder / "folder" / "inner").mkdir(parents=True)
    (job.folder / "folder" / "inner" / "a").write_text("123")
    ours = ["--", words[-1]] if words[-1].startswith("-") else [words[-1]]
    done = log(job, *words[:-1], *ours)
    assert done.returncode == 0, done.stderr
    expected = written(job)
    env = {"PATH": os.environ["PATH"], **job.variables, "RANK": ""}
    told = subprocess.run([binary("atlas"), "log", *words], cwd=job.folder, env=env, check=True, stderr=subprocess.PIPE)
    assert repr(written(job)) == repr(expected), "NaN is itself, 1 is not 1.0"
    assert bool(told.stderr) == bool(done.stderr)


def test_outside_of_a_job_there_is_nowhere_to_log_to(job: Job) -> None:
    done = job.run("-m", "foundations", "log", "tag", "x", ATLAS_SPOOL="", ATLAS_ATTEMPT="")
    assert done.returncode == 126
    assert "ATLAS_SPOOL is not set" in done.stderr
    assert not job.home.exists()


def test_everything_else_is_the_programs(job: Job) -> None:
    program = job.root / "bin" / "atlas"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"; exit 7\n')
    program.chmod(0o755)
    done = job.run("-m", "foundations", "submit", "scheduler", ".", "main.py", PATH="%s:/bin" % program.parent)
    assert (done.returncode, done.stdout) == (7, "submit scheduler . main.py\n")


def test_without_the_program_it_says_how_to_get_it(job: Job) -> None:
    done = job.run("-m", "foundations", "jobs", PATH="/nowhere")
    assert done.returncode == 126
    assert "make build" in done.stderr


def test_a_module_of_the_job_that_imports_it_is_a_script(job: Job) -> None:
    os.mkdir(job.folder / "pkg")
    (job.folder / "pkg" / "__init__.py").write_text("import foundations\n")
    (job.folder / "pkg" / "train.py").write_text("import foundations; foundations.log_metric('m', 1)\n")
    done = job.run("-m", "pkg.train")
    assert done.returncode == 0, done.stderr
    assert len(job.events("facts")) == 1
    assert len(job.events("metric")) == 1
