"""Jobs that a script submits to a real cluster."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pickle
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from conftest import Job

ECHO = "import json, os, sys\nprint(json.dumps({'argv': sys.argv[1:], 'a': os.environ.get('A'), 'key': os.environ.get('KEY')}))\n"


@pytest.fixture(autouse=True)
def _main(job: Job) -> None:
    (job.folder / "main.py").write_text(ECHO)


def said(deployment: Any) -> Any:
    """What the job printed as JSON."""
    deployment.wait_for_deployment_to_complete(60, log_output=False)
    return json.loads(deployment.get_job_logs().splitlines()[-1])


def test_every_keyword_reaches_the_job(cluster: Cluster, submitting: Any, tmp_path: Path) -> None:
    deployment = submitting.submit(
        scheduler_config="scheduler",
        command="main.py --name 'two words' \"$HOME\"",
        params={"lr": 0.1, "net": {"sizes": (1, 2)}, "path": Path("x"), "big": 8888888888888888888888888},
        project_name="keywords",
        num_gpus=0,
        ram=1.5,
        cpus=1,
        shm="0.5",
        time_limit="1h30m",
        env={"A": "1", "B": 2},
        volumes={str(tmp_path): {"bind": str(tmp_path), "mode": "ro"}},
        name="first",
        tags={"sweep": 3, "best": None},
        note="a note",
        wait_for_capacity=True,
        fresh_requirements=True,
    )
    assert said(deployment) == {"argv": ["--name", "two words", "$HOME"], "a": "1", "key": None}
    job = cluster.get("/jobs/" + deployment.job_id)
    keys = ("project", "num_gpus", "memory_bytes", "cpus", "shm_bytes", "time_limit_ms", "name", "note")
    assert {key: job[key] for key in keys} == {
        "project": "keywords", "num_gpus": 0, "memory_bytes": 1_500_000_000, "cpus": 1.0, "shm_bytes": 500_000_000,
        "time_limit_ms": 5_400_000, "name": "first", "note": "a note",
    }  # fmt: skip
    assert job["tags"] == {"sweep": "3", "best": ""}
    assert job["env"] == {"A": "1", "B": "2"}
    assert job["volumes"] == [{"host": str(tmp_path), "bind": str(tmp_path), "read_only": True}]
    assert job["params"] == {"lr": 0.1, "net": {"sizes": [1, 2]}, "path": "x", "big": 8888888888888888888888888}


def test_a_time_limit_is_seconds_a_timedelta_or_text(cluster: Cluster, submitting: Any) -> None:
    jobs = [{"time_limit": it} for it in (90, 1.5, datetime.timedelta(hours=2), "2d")]
    trials = submitting.submit_many(jobs, command="main.py")
    assert [cluster.get("/jobs/" + it.job_id)["time_limit_ms"] for it in trials] == [
        90_000,
        1500,
        7_200_000,
        172_800_000,
    ]
    for wrong in (0, -1, float("nan"), float("inf"), 10**30, "soon", "", datetime.timedelta(days=-1)):
        with pytest.raises(
            submitting.Refused, match=r"Invalid time limit\. .* such as 90s, 30m, 1h30m or 2d"
        ) as refused:
            submitting.submit(command="main.py", time_limit=wrong)
        assert refused.value.field == "time_limit"
    for odd in (True, [1], object()):
        with pytest.raises(TypeError, match=r"time_limit .*: it has to be a number of seconds"):
            submitting.submit(command="main.py", time_limit=odd)


def test_the_end_of_a_job_that_ran_into_its_time_limit(submitting: Any, job: Job) -> None:
    (job.folder / "main.py").write_text("import time\ntime.sleep(600)\n")
    deployment = submitting.submit(command="main.py", time_limit=0.5)
    deployment.wait_for_deployment_to_complete(60, log_output=False)
    assert (deployment.get_job_status(), deployment.get_job_details()["cause"]) == ("failed", "timeout")
    assert "time limit of 500ms" in deployment.get_job_logs()


def test_the_folder_is_not_written_to_and_names_the_project(cluster: Cluster, submitting: Any, job: Job) -> None:
    (job.folder / "foundations_job_parameters.json").write_text('{"mine": 1}')
    before = {it: (it.stat().st_mtime_ns, it.read_bytes()) for it in job.folder.iterdir()}
    deployment = submitting.submit(command=["main.py"], params={"lr": 1})
    assert {it: (it.stat().st_mtime_ns, it.read_bytes()) for it in job.folder.iterdir()} == before
    assert cluster.get("/jobs/" + deployment.job_id)["project"] == job.folder.name


def test_either_name_of_the_folder_works_and_the_working_directory_stays(submitting: Any, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "there.py").write_text("print('{}')")
    here = os.getcwd()
    for keywords in ({"job_directory": tmp_path / "other"}, {"job_dir": str(tmp_path / "other")}):
        assert said(submitting.submit(command=["there.py"], **keywords)) == {}
    assert os.getcwd() == here
    with pytest.raises(TypeError, match="job_directory and job_dir mean the same: give one of them"):
        submitting.submit(job_directory=".", job_dir="..", command="main.py")


def test_job_config_yaml_counts_where_no_keyword_says_otherwise(cluster: Cluster, submitting: Any, job: Job) -> None:
    (job.folder / "job.config.yaml").write_text("project_name: of-the-file\nram: 2\nparams:\n  lr: 1\n")
    found = cluster.get("/jobs/" + submitting.submit(command="main.py", ram=1).job_id)
    assert (found["project"], found["memory_bytes"], found["params"]) == ("of-the-file", 1_000_000_000, {"lr": 1})
    (job.folder / "job.config.yaml").write_text("project_nam: x\n")
    with pytest.raises(submitting.Refused, match="did you mean") as refused:
        submitting.submit(command="main.py")
    assert refused.value.code == "invalid"
    assert refused.value.field.startswith("job.config.yaml:1")


def test_resources_that_were_set_hold_for_later_jobs(cluster: Cluster, submitting: Any) -> None:
    submitting.set_job_resources(num_gpus=0, ram=3)
    assert cluster.get("/jobs/" + submitting.submit(command="main.py").job_id)["memory_bytes"] == 3_000_000_000
    assert cluster.get("/jobs/" + submitting.submit(command="main.py", ram=1).job_id)["memory_bytes"] == 1_000_000_000
    submitting.set_job_resources()
    assert cluster.get("/jobs/" + submitting.submit(command="main.py").job_id)["memory_bytes"] == 0
    for wrong in ({"num_gpus": -1}, {"num_gpus": 1.5}, {"ram": 0}):
        with pytest.raises(ValueError, match="a job needs"):
            submitting.set_job_resources(**wrong)


def test_secrets_reach_the_job_and_nothing_else(
    cluster: Cluster, submitting: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "hunter2")
    for secrets in ({"KEY": "hunter2"}, ["KEY"], {"KEY": None}):
        assert said(submitting.submit(command="main.py", secrets=secrets))["key"] == "hunter2"
    (job.folder / "job.config.yaml").write_text("worker:\n  secrets: [KEY]\n")
    deployment = submitting.submit(command="main.py")
    assert said(deployment)["key"] == "hunter2"
    assert "hunter2" not in json.dumps(cluster.get("/jobs/" + deployment.job_id))
    monkeypatch.delenv("KEY")
    with pytest.raises(ValueError, match=r"worker\.secrets in job\.config\.yaml: KEY: there is no such variable here"):
        submitting.submit(command="main.py")
    with pytest.raises(ValueError, match="secrets and env name the same") as error:
        submitting.submit(command="main.py", secrets={"A": "hunter2"}, env={"A": "1"})
    assert "hunter2" not in str(error.value)


def test_what_no_node_can_run_is_refused_before_anything_travels(submitting: Any, job: Job) -> None:
    (job.folder / "unique.bin").write_bytes(os.urandom(1000))
    with pytest.raises(submitting.Refused) as refused:
        submitting.submit(command="main.py", num_gpus=3)
    assert (refused.value.code, refused.value.status) == ("fits_no_node", 422)
    with pytest.raises(submitting.Refused, match="Invalid RAM quantity") as refused:
        submitting.submit(command="main.py", ram="many")
    assert refused.value.field == "ram_gb"


def test_an_unknown_keyword_names_the_nearest(submitting: Any) -> None:
    with pytest.raises(
        TypeError, match=r"submit\(\) got an unexpected keyword argument 'num_gpu', did you mean num_gpus\?"
    ):
        submitting.submit(command="main.py", num_gpu=1)
    with pytest.raises(TypeError, match=r"'parms', did you mean params\?"):
        submitting.submit_many([{"parms": {}}], command="main.py")
    with pytest.raises(TypeError, match=r"'job_directry', did you mean job_directory\?"):
        submitting.submit_many([{}], job_directry=".")


def test_an_unknown_configuration_is_an_exception(submitting: Any) -> None:
    with pytest.raises(
        submitting.AtlasError, match=r"there is no configuration named 'schedulr', did you mean scheduler\?"
    ):
        submitting.submit(scheduler_config="schedulr", command="main.py")


WRONG: list[Any] = [
    ({"command": 3}, TypeError, "command 3 with type <class 'int'>: it has to be text or a list of words"),
    ({"command": ["main.py", True]}, TypeError, "command True"),
    ({"command": "main.py 'x"}, ValueError, "no closing quotation"),
    ({"params": [1]}, TypeError, "params"),
    ({"params": {"x": object()}}, TypeError, 'key="x"'),
    ({"params": {"x": float("nan")}}, ValueError, "the parameter `x` cannot be sent as JSON"),
    ({"ram": True}, TypeError, "ram True"),
    ({"ram": float("inf")}, ValueError, "ram is inf"),
    ({"env": "A=1"}, TypeError, "env 'A=1'"),
    ({"env": {"A": True}}, TypeError, r"env\['A'\] True"),
    ({"env": ["NOT_SET_HERE"]}, ValueError, "env: NOT_SET_HERE: there is no such variable here"),
    ({"env": {1: "x"}}, TypeError, "names of text"),
    ({"secrets": "hunter2"}, TypeError, "secrets with type"),
    ({"secrets": {"A": 1.5 + 2j}}, TypeError, "secrets"),
    ({"secrets": ["A=hunter2"]}, ValueError, "not shown"),
    ({"volumes": {"/a": {"bnd": "/b"}}}, ValueError, "bind"),
    ({"volumes": {"/a": {"bind": "/b", "mode": "x"}}}, ValueError, "neither rw nor ro"),
    ({"volumes": "/a:/b"}, TypeError, "volumes"),
    ({"name": 3}, TypeError, "name 3"),
    ({"wait_for_capacity": "yes"}, TypeError, "wait_for_capacity"),
    ({"scheduler_config": 3}, TypeError, "scheduler_config"),
]


@pytest.mark.parametrize(("keywords", "kind", "why"), WRONG)
def test_what_is_wrong_with_an_argument_is_said_before_a_master_is_asked(
    fresh: Any, job: Job, keywords: Any, kind: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATLAS_HOME", str(job.root))
    with pytest.raises(kind, match=why) as error:
        fresh().submit(**{"command": "main.py", **keywords})
    assert "hunter2" not in str(error.value)


def test_words_and_pairs_are_read_in_every_form(fresh: Any) -> None:
    fresh()
    from foundations import _asked

    assert _asked.command(["main.py", 1, 0.5, Path("a")]) == ["main.py", "1", "0.5", "a"]
    assert _asked.command(Path("a b.py")) == ["a b.py"]
    assert _asked.entrypoint(["python", "a b"]) == "python 'a b'"
    assert _asked.tags(["a", "b=1=2", "c="]) == {"a": "", "b": "1=2", "c": ""}
    assert _asked.env(["A=b", "E="]) == {"A": "b", "E": ""}
    assert _asked.volumes({"/a": "/b", "/c": {"bind": "/d"}}) == ["/a:/b", "/c:/d"]
    assert _asked.volumes(["/a:/b:ro"]) == ["/a:/b:ro"]
    assert _asked.params(argparse.Namespace(lr=1)) == {"lr": 1}


def test_the_repository_is_told_as_git_tells_it(cluster: Cluster, submitting: Any, job: Job) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"]
        done = subprocess.run(
            ["git", "-C", str(job.folder), *identity, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def told() -> Any:
        return cluster.get("/jobs/" + submitting.submit(command="main.py").job_id)["git"]

    assert told() is None
    git("init")
    assert told() is None
    git("add", ".")
    git("commit", "-m", "first")
    assert told() == {"commit": git("rev-parse", "HEAD"), "branch": "main", "dirty": False}
    (job.folder / "new").write_text("")
    git("checkout", "--detach")
    changed = told()
    assert changed.pop("diff")["files"] == 1
    assert changed == {"commit": git("rev-parse", "HEAD"), "branch": "", "dirty": True}


def test_threads_submit_at_once(submitting: Any) -> None:
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda it=it: found.append((it, submitting.submit(command=["main.py", str(it)]))))
        for it in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({it.job_id for _, it in found}) == 6
    for number, deployment in found:
        assert said(deployment)["argv"] == [str(number)]


def test_many_jobs_share_a_folder_and_wait_in_order(cluster: Cluster, submitting: Any, job: Job) -> None:
    (job.folder / "main.py").write_text("import json\nprint(open('foundations_job_parameters.json').read())\n")
    jobs = [{"params": {"i": it}, "name": "job-%d" % it} for it in range(12)]
    found = submitting.submit_many(jobs, command="main.py", project_name="many")
    assert [said(it)["i"] for it in found] == list(range(12))
    times = [cluster.get("/jobs/" + it.job_id) for it in found]
    assert [it["name"] for it in times] == ["job-%d" % it for it in range(12)]
    started = [it["started_ms"] for it in times]
    assert all(later >= earlier for earlier, later in zip(started, started[2:])), "two run at once"
    assert len({it["bundle"] for it in times}) == 1
    assert submitting.submit_many([], command="main.py") == []


def test_of_many_jobs_the_refused_ones_are_named_and_the_others_run(submitting: Any) -> None:
    jobs = [{"ram": 1}, {"ram": "many"}, {"num_gpus": 7}, {}]
    with pytest.raises(
        submitting.SomeRefused, match=r"2 of 4 jobs were refused; the first of them is jobs\[1\]"
    ) as error:
        submitting.submit_many(jobs, command="main.py")
    first, second, third, last = error.value.deployments
    assert (second, third) == (None, None)
    assert {place: it.code for place, it in error.value.problems.items()} == {1: "invalid", 2: "fits_no_node"}
    assert said(first) == said(last)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_more_jobs_than_fit_into_a_request_are_several_requests(
    submitting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foundations import _submission

    monkeypatch.setattr(_submission, "_AT_ONCE", 3)
    monkeypatch.setattr(_submission, "_BYTES_AT_ONCE", 400)
    found = submitting.submit_many([{"params": {"i": it, "text": "x" * 50 * it}} for it in range(8)], command="main.py")
    assert len({it.job_id for it in found}) == 8
