"""Folders that jobs share, and what TensorBoard shows of them, with a real cluster."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from cluster import Between, Cluster
from conftest import Job, eventually
from test_outside import Outside
from test_outside_sent import done

SUBMITTED = """
import os, foundations
folder = foundations.create_syncable_directory("data", "mine")
open("mine/a", "w").write("A" * 100000)
os.mkdir("mine/d")
open("mine/d/b", "w").write("B")
folder.upload()
os.remove("mine/a")
open("mine/c", "w").write("C")
folder.upload()
logs = foundations.set_tensorboard_logdir("logs/")
os.makedirs("logs/train")
open("logs/train/events.out.tfevents.1", "w").write("one")
"""


def files_of(cluster: Cluster, job: str, below: str) -> list[str]:
    found = cluster.get("/jobs/%s/files" % job)["files"]
    return [it["path"] for it in found if it["kind"] == "file" and it["path"].startswith(below)]


def text_of(cluster: Cluster, job: str, below: str, to: Path) -> dict[str, str]:
    """What is kept of a job there, as the archive has it."""
    cluster.atlas("get", "job", "scheduler", job, cwd=to)
    top = to / job / below
    return {str(it.relative_to(top)): it.read_text() for it in top.rglob("*") if it.is_file()}


def test_a_job_uploads_and_another_one_reads(cluster: Cluster, submitting: Any, job: Job) -> None:
    (job.folder / "main.py").write_text(SUBMITTED)
    first = submitting.submit(command="main.py", project_name="syncable")
    first.wait_for_deployment_to_complete(timeout=300)
    assert first.get_job_status() == "completed", first.get_job_logs()
    assert "Foundations" not in first.get_job_logs(), "nothing is said where all is well"
    note = "synced/data/.atlas-synced.json"
    assert files_of(cluster, first.job_id, "synced") == [note, "synced/data/c", "synced/data/d/b"]
    assert files_of(cluster, first.job_id, "tensorboard") == ["tensorboard/train/events.out.tfevents.1"]
    told = cluster.get("/jobs/%s/run" % first.job_id)
    assert [(it["key"], it["files"], it["bytes"]) for it in told["synced"]] == [("data", 2, 2)]
    assert told["tags"] == {"tf": "tf"}
    shown = cluster.atlas("show", first.job_id, cwd=job.root)
    assert "data (synced/data, 2 files, 2 B)" in " ".join(shown.split())
    (job.folder / "main.py").write_text(
        "import foundations\n"
        "d = foundations.artifacts.create_syncable_directory('data', source_job_id=%r)\n"
        "print(open(str(d) + '/c').read(), open(str(d) + '/d/b').read())\n"
        "open(str(d) + '/e', 'w').write('E')\n"
        "d.upload()\n" % first.job_id
    )
    second = submitting.submit(command="main.py", project_name="syncable")
    second.wait_for_deployment_to_complete(timeout=300)
    assert second.get_job_logs().endswith("\nC B\n")
    assert files_of(cluster, second.job_id, "synced/data/")[1:] == ["synced/data/%s" % it for it in ("c", "d/b", "e")]


@pytest.fixture
def outside(job: Job, cluster: Cluster, tmp_path: Path) -> Outside:
    (tmp_path / "outside").mkdir()
    it = Outside(tmp_path / "outside")
    it.goes_to(cluster.url)
    return it


@pytest.fixture
def run(outside: Outside, cluster: Cluster, fresh: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module in a run outside of a job that this process begins and ends, which its master knows."""
    monkeypatch.setenv("ATLAS_HOME", str(outside.home))
    monkeypatch.chdir(outside.folder)
    sdk = fresh()
    sdk.start()
    yield sdk
    sdk.end()


def test_only_what_is_new_travels_and_what_went_away_goes_away(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foundations import _content

    sent: list[int] = []
    put = _content.put

    def counted(*of: Any, **query: Any) -> None:
        sent.append(of[3].bytes)
        put(*of, **query)

    monkeypatch.setattr(_content, "put", counted)
    mine = run.create_syncable_directory("data", tmp_path / "mine")
    (tmp_path / "mine" / "large").write_bytes(b"l" * 9_000_000)
    (tmp_path / "mine" / "small").write_text("1")
    mine.upload()
    assert sorted(sent) == [1, 9_000_000]
    (tmp_path / "mine" / "large").rename(tmp_path / "mine" / "moved")
    (tmp_path / "mine" / "small").write_text("22")
    mine.upload()
    assert sorted(sent) == [1, 2, 9_000_000], "a name is no content"
    theirs = run.create_syncable_directory("data", tmp_path / "theirs")
    assert sorted(os.listdir(str(theirs))) == ["moved", "small"]
    (tmp_path / "theirs" / "own").write_text("o")
    (tmp_path / "mine" / "small").unlink()
    mine.upload()
    theirs.download()
    assert sorted(os.listdir(str(theirs))) == ["moved", "own"]
    digest = hashlib.sha256((tmp_path / "theirs" / "moved").read_bytes()).hexdigest()
    assert digest == hashlib.sha256(b"l" * 9_000_000).hexdigest()
    mine.download()
    assert os.listdir(str(mine)) == ["moved"]


def test_who_reads_meanwhile_has_one_version_or_the_other(run: Any, tmp_path: Path) -> None:
    """Two upload at once, each folder of its own: what is read is never a mixture of them."""
    own = [run.create_syncable_directory("both", tmp_path / name) for name in "ab"]
    for name in "ab":
        for number in range(5):
            (tmp_path / name / str(number)).write_text(name)
    own[0].upload()
    problems: list[BaseException] = []

    def upload(folder: Any) -> None:
        try:
            for _ in range(5):
                folder.upload()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=upload, args=(it,)) for it in own]
    for it in threads:
        it.start()
    reader = run.create_syncable_directory("both", tmp_path / "reader")
    while any(it.is_alive() for it in threads):
        reader.download()
        assert len({it.read_text() for it in (tmp_path / "reader").iterdir()}) == 1
    for it in threads:
        it.join()
    assert problems == []


def test_connections_that_break_cost_no_byte(run: Any, cluster: Cluster, tmp_path: Path) -> None:
    from foundations import _config, _folder, _http
    from foundations._content import Hashes

    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
    run.create_syncable_directory("other").upload()  # the master knows the run
    (tmp_path / "mine" / "large").write_bytes(os.urandom(9_000_000))
    (tmp_path / "mine" / "small").write_text("s")
    wire = Between(cluster.url, itertools.cycle([None, 60, 0, 1_000_000]))
    master = _http.Master(_config._address(wire.url, "the test"))
    job = os.environ["ATLAS_JOB_ID"]
    sent = _folder.upload(master, job, "data", str(tmp_path / "mine"), Hashes())
    came = _folder.download(master, job, "data", str(tmp_path / "theirs"), {}, Hashes())
    wire.end()
    assert sent == came
    assert (tmp_path / "theirs" / "large").read_bytes() == (tmp_path / "mine" / "large").read_bytes()


@pytest.mark.parametrize(("key", "error"), [("a/b", ValueError), ("..", ValueError), ("", ValueError), (7, TypeError)])
def test_a_key_that_names_no_folder_raises(sdk: Any, key: Any, error: type) -> None:
    with pytest.raises(error, match="key"):
        sdk.create_syncable_directory(key)


def test_a_job_that_is_not_there_is_named(run: Any, tmp_path: Path) -> None:
    with pytest.raises(run.AtlasError, match="there is no job"):
        run.create_syncable_directory("data", tmp_path / "x", source_job_id="0000abcd-0000-4000-8000-000000000000")


LEFT = """
import os, foundations
foundations.save_artifact("model.pt")
foundations.save_artifact("folder", key="all")
foundations.set_tensorboard_logdir("logs")
os.makedirs("logs/x", exist_ok=True)
open("logs/x/events.out.tfevents.9", "w").write("tf")
os.makedirs("mine", exist_ok=True)
d = foundations.create_syncable_directory("data", "mine")
open("mine/f", "w").write("F")
d.upload()
"""


@pytest.mark.parametrize("is_late", [False, True])
def test_what_a_run_outside_leaves_is_with_its_files(
    outside: Outside, cluster: Cluster, tmp_path: Path, is_late: bool
) -> None:
    if is_late:
        outside.goes_to("http://127.0.0.1:1")
    (outside.folder / "model.pt").write_bytes(b"m" * 5_000_000)
    (outside.folder / "folder" / "empty").mkdir(parents=True)
    (outside.folder / "folder" / "one").write_text("1")
    outside.script(LEFT)
    it = outside.the_run()
    if is_late:
        assert (it / "synced" / "data" / "f").read_text() == "F"
        outside.end()
        outside.goes_to(cluster.url)
        eventually("its helper lets go of it", lambda: sync(outside, it))
    done(cluster, it)
    told = cluster.get("/jobs/%s/run" % it.name)
    assert [(it["key"], it["files"]) for it in told["synced"]] == [("data", 1)]
    assert told["left_out"]["over_limit"] == 0
    kept = {it["key"]: it["path"] for it in told["artifacts"]}
    cluster.atlas("get", "job", "scheduler", it.name, cwd=tmp_path)
    top = tmp_path / it.name
    assert (top / kept["model.pt"]).stat().st_size == 5_000_000
    assert (top / kept["all"] / "one").read_text() == "1"
    assert (top / kept["all"] / "empty").is_dir()
    assert (top / "tensorboard" / "x" / "events.out.tfevents.9").read_text() == "tf"
    assert (top / "synced" / "data" / "f").read_text() == "F"


def sync(outside: Outside, run: Path) -> Any:
    """Whether it is sent: as long as its helper tries, nobody else does."""
    outside.run("-m", "foundations", "sync")
    return True if not run.exists() else None


def test_what_tensorboard_shows_comes_while_it_is_written(outside: Outside, cluster: Cluster) -> None:
    text = (
        "import os, sys, foundations\n"
        "foundations.set_tensorboard_logdir('logs')\n"
        "os.mkdir('logs')\n"
        "file = open('logs/events.out.tfevents.1', 'w')\n"
        "for line in sys.stdin:\n"
        "    file.write(line)\n"
        "    file.flush()\n"
    )
    (outside.folder / "main.py").write_text(text)
    env = {**os.environ, **outside.variables}
    script = subprocess.Popen(
        [sys.executable, "main.py"], cwd=outside.folder, env=env, stdin=subprocess.PIPE, text=True
    )
    assert script.stdin is not None
    name, sizes = "tensorboard/events.out.tfevents.1", [0]
    run = eventually("it begins", lambda: next(iter(outside.runs()), None))
    for line in ("one\n", "two\n"):
        script.stdin.write(line)
        script.stdin.flush()
        sizes.append(eventually("more of it is there", lambda: larger(cluster, run, name, sizes)))
    assert sizes == [0, 4, 8]
    script.stdin.close()
    assert script.wait(60) == 0
    done(cluster, run)


def larger(cluster: Cluster, run: Path, name: str, than: list[int]) -> Any:
    if not (run / "notice").exists():
        return None
    found = [it["bytes"] for it in cluster.get("/jobs/%s/files" % run.name)["files"] if it["path"] == name]
    return found[0] if found and found[0] > max(than) else None
