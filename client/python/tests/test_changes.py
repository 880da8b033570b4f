"""What was not committed: the same text from `atlas submit` and from the SDK, for jobs and for runs outside of the cluster."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest
from cluster import Cluster
from conftest import Job
from test_outside_sent import done, near, outside  # noqa: F401

from foundations import _changes, _git, _tree


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def write(folder: Path, name: str | bytes, text: bytes) -> None:
    path = os.path.join(os.fsencode(folder), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(text)


COMMITTED = {
    "main.py": b"one\n",
    "gone.py": b"old\n",
    "moved.py": b"same\n" * 20,
    "model.pt": b"\0a",
    "late.dat": b"x" * 10_000 + b"\0a\n",
    "latin.txt": b"caf\xe9\n",
    "secret.txt": b"before\n",
    ".atlasignore": b"secret.txt\nnew.log\n",
    "many/7": b"7\n",
}


def repository(folder: Path, many: int = 0) -> None:
    for name, text in COMMITTED.items():
        write(folder, name, text)
    for number in range(many):
        write(folder, "many/%d" % number, b"1\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")


def nothing(folder: Path) -> None:
    repository(folder)


def no_repository(folder: Path) -> None:
    write(folder, "main.py", b"")


def no_commit(folder: Path) -> None:
    write(folder, "main.py", b"")
    git(folder, "init", "--quiet")


def everyday(folder: Path) -> None:
    repository(folder)
    for name in ("main.py", "secret.txt", "new.log", "new.py", "staged.py"):
        write(folder, name, b"two\n")
    write(folder, "model.pt", b"\0b")
    write(folder, "latin.txt", b"caf\xe8\xe9\xff\n\xed\xa0\x80")
    write(folder, "late.dat", b"x" * 10_000 + b"\0b\n")
    (folder / "main.py").chmod(0o755)
    (folder / "gone.py").unlink()
    git(folder, "mv", "moved.py", "to.py")
    git(folder, "add", "staged.py")
    git(folder, "rm", "--quiet", "many/7")
    (folder / "link").symlink_to("main.py")
    git(folder, "config", "diff.noprefix", "true")


def odd_names(folder: Path) -> None:
    repository(folder)
    names = [
        b"a b",
        b"new\nline",
        b"t\tab",
        b"back\\slash",
        b"q\"u'ote",
        "ü".encode(),
        b"\xff\xe9",
        b"\x1b[1m\x7f",
        "\x85\u2028\u202e".encode(),
    ]
    for name in names:
        write(folder, b"in/" + name, b"1\n")
        write(folder, b"out/" + name, b"1\n")
    git(folder, "add", "in")
    git(folder, "commit", "--quiet", "-m", "second")
    for name in names:
        write(folder, b"in/" + name, b"2\n")


def huge(folder: Path) -> None:
    repository(folder, 1100)
    write(folder, "a.ipynb", b"\n")
    git(folder, "add", "a.ipynb")
    write(folder, "a.ipynb", (b"x" * 99 + b"\n") * 50_000)
    for number in range(1100):
        write(folder, "many/%d" % number, b"2\n")
    for number in range(500):
        write(folder, "new/%0100d" % number, b"")


def large(folder: Path) -> None:
    repository(folder, 4)
    for number in range(4):
        write(folder, "many/%d" % number, (b"x" * 99 + b"\n") * (900 if number else 9000))
    for number in range(1000):
        write(folder, "new/%0100d" % number, b"")


def submodule(folder: Path) -> None:
    (folder / "sub").mkdir()
    write(folder / "sub", "inner.py", b"1\n")
    git(folder / "sub", "init", "--quiet")
    git(folder / "sub", "add", ".")
    git(folder / "sub", "commit", "--quiet", "-m", "of the submodule")
    repository(folder)
    write(folder / "sub", "inner.py", b"2\n")
    write(folder, "main.py", b"two\n")


CASES: list[tuple[Callable[[Path], None], bytes | None]] = [
    (nothing, None),
    (no_repository, None),
    (no_commit, None),
    (everyday, b"\n+two\n"),
    (odd_names, b"\n# new: out/new\\nline\n"),
    (huge, b"# cut: a.ipynb\n# cut: many/0\n"),
    (large, b"\n# cut: many/0\n# cut: many/3\n# new: new/0000"),
    (submodule, b"+two\n"),
]


@pytest.mark.parametrize(("case", "expected"), CASES)
def test_atlas_and_the_sdk_tell_the_same(
    cluster: Cluster, submitting: Any, job: Job, case: Callable[[Path], None], expected: bytes | None
) -> None:
    case(job.folder)
    one, other = submitted(cluster, submitting, job)
    assert cluster.get("/jobs/" + one)["git"] == cluster.get("/jobs/" + other)["git"]
    text = cluster.changes(one)
    assert text == cluster.changes(other)
    if expected is None:
        assert text is None
    else:
        assert text is not None
        assert expected in text
        assert b"before" not in text, "what stays behind"


def submitted(cluster: Cluster, submitting: Any, job: Job) -> tuple[str, str]:
    words = ("submit", "--quiet", "--detach", "--project-name", "changes", "scheduler", str(job.folder), "true")
    one = cluster.atlas(*words, cwd=job.folder).strip()
    return one, submitting.submit(command="true", project_name="changes").job_id


def test_without_git_nothing_is_told(
    cluster: Cluster, submitting: Any, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everyday(job.folder)
    monkeypatch.setenv("PATH", str(tmp_path))
    for it in submitted(cluster, submitting, job):
        assert cluster.get("/jobs/" + it)["git"] is None


@pytest.mark.parametrize("is_known", [False, True])
def test_a_git_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    status = "*status*) printf '# branch.oid c0ffee\\n1 changed\\n' ;;" if is_known else ""
    write(tmp_path, "git", ('#!/bin/sh\ncase "$*" in %s *) exec sleep 1000 ;; esac\n' % status).encode())
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    monkeypatch.setattr(_git, "_PATIENCE", 5.0 if is_known else 0.1)
    monkeypatch.setattr(_changes, "_PATIENCE", 0.1)
    git = {"commit": "c0ffee", "branch": "", "dirty": True} if is_known else None
    assert _changes.described(_tree.collect(str(tmp_path))) == {"git": git, "git_diff": None}


def test_jobs_that_are_submitted_together_have_it_too(cluster: Cluster, submitting: Any, job: Job) -> None:
    everyday(job.folder)
    jobs = submitting.submit_many([{"command": "true", "params": {"n": it}} for it in range(3)])
    [text] = {cluster.changes(it.job_id) or b"" for it in jobs}
    assert b"# new: new.py\n" in text


def test_a_run_outside_of_the_cluster_has_it_too(near: Any, cluster: Cluster, submitting: Any) -> None:  # noqa: F811
    everyday(near.folder)
    near.script("import foundations\n")
    run = near.the_run()
    assert done(cluster, run)["git"]["dirty"] is True
    text = cluster.changes(run.name) or b""
    assert b"\n+import foundations\n" in text
    assert b"before" not in text
    assert text.endswith(b"# cut: late.dat\n# new: link\n# new: new.py\n"), text
