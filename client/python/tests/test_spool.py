"""The file itself, when the system does what it seldom does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import Job


def test_a_line_that_was_torn_is_said_again(job: Job, sdk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    most = [150]

    def short(fd: int, data: bytes) -> int:
        return real(fd, data[: most.pop()] if most else data)

    sdk.log_metric("a", 0)
    monkeypatch.setattr(os, "write", short)
    sdk.log_metric("a", [1, 2, 3, 4])
    lines = job.spool.read_text().splitlines()
    torn = [it for it in lines if not it.endswith("}")]
    assert len(torn) == 1
    job.spool.write_text("".join(it + "\n" for it in lines if it not in torn))
    assert [it["value"] for it in job.events("metric")] == [0, 1, 2, 3, 4]


def test_a_write_that_ends_between_two_lines_tears_none(job: Job, sdk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    most = [1]

    def first_line(fd: int, data: bytes) -> int:
        return real(fd, data[: data.index(b"\n") + 1] if most and most.pop() else data)

    monkeypatch.setattr(os, "write", first_line)
    sdk.log_metric("a", [1, 2, 3])
    assert [it["value"] for it in job.events("metric")] == [1, 2, 3]


def test_a_full_disk_ends_no_training(
    job: Job, fresh: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATLAS_SPOOL", "/dev/full")
    sdk = fresh()
    sdk.log_metric("a", 1)
    sdk.log_metric("a", 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "could not write to /dev/full" in line
    assert "lost" in line


def test_a_spool_that_cannot_be_opened_ends_no_training(job: Job) -> None:
    done = job.script(
        "import foundations\nfoundations.log_metric('a', 1)\nprint('trained')", ATLAS_SPOOL="/nowhere/spool/events"
    )
    assert done.stdout == "trained\n"
    assert done.stderr.count("Foundations WARNING") == 1


def test_a_program_that_closes_every_file_goes_on_logging(job: Job, sdk: Any) -> None:
    sdk.log_metric("a", 1)
    open_files = {it: Path("/proc/self/fd", it).resolve() for it in os.listdir("/proc/self/fd")}
    (fd,) = [int(it) for it, path in open_files.items() if path == job.spool.resolve()]
    os.close(fd)
    sdk.log_metric("a", 2)
    os.close(fd)
    other = os.open("theirs", os.O_RDWR | os.O_CREAT)
    assert other == fd, "the number is another file's by now"
    sdk.log_metric("a", 3)
    os.close(other)
    assert Path("theirs").read_bytes() == b""
    assert [it["value"] for it in job.events()] == [1, 2, 3]
