"""What can be asked about a job that was submitted, in a real cluster."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any

import pytest
from cluster import Between, Cluster, Parts
from conftest import Job, eventually

LINES = """
import sys
for number in range(3000):
    print("line", number, "é" * 20)
sys.stdout.write("the end has no end")
"""
WAITS = """
import os, sys, time
print("begun", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
print("told to end")
"""


def write(job: Job, text: str) -> None:
    (job.folder / "main.py").write_text(text)


def test_a_job_that_completes_tells_so(submitting: Any, job: Job) -> None:
    write(job, "print('done')")
    before = datetime.now(timezone.utc)
    deployment = submitting.submit(command="main.py", tags={"a": "b"}, project_name="details")
    assert deployment.wait_for_deployment_to_complete() is None
    assert (deployment.get_job_status(), deployment.is_job_complete()) == ("completed", True)
    assert deployment.job_name() == deployment.job_id
    assert deployment.get_job_logs().endswith("done\n")
    details = deployment.get_job_details()
    assert (details["project_name"], details["job_id"], details["status"]) == (
        "details",
        deployment.job_id,
        "completed",
    )
    assert list(details["tags"]) == ["a"]
    assert before.timestamp() - 1 < details["creation_time"] < details["completed_time"].timestamp()
    assert before < details["start_time"] < details["completed_time"] < datetime.now(timezone.utc)
    with pytest.raises(submitting.Refused, match="cannot be stopped") as refused:
        deployment.stop()
    assert refused.value.code == "already_ended"


def test_a_job_that_fails_is_failed_and_complete(submitting: Any, job: Job) -> None:
    write(job, "import sys\nsys.exit(3)")
    deployment = submitting.submit(command="main.py")
    deployment.wait_for_deployment_to_complete(wait_seconds=5, log_output=False)
    assert (deployment.get_job_status(), deployment.is_job_complete()) == ("failed", True)
    assert deployment.get_job_details()["cause"] == "exit-code 3"


def test_a_job_that_runs_can_be_waited_for_and_stopped(submitting: Any, job: Job) -> None:
    write(job, WAITS)
    deployment = submitting.submit(command=["main.py", job.root / "never"])
    eventually("it runs", lambda: deployment.get_job_logs().endswith("begun\n") or None)
    assert (deployment.get_job_status(), deployment.is_job_complete()) == ("running", False)
    with pytest.raises(TimeoutError, match=r"job .* is still running after 0\.2 s; it goes on"):
        deployment.wait_for_deployment_to_complete(0.2)
    deployment.stop()
    deployment.wait_for_deployment_to_complete()
    assert (deployment.get_job_status(), deployment.get_job_details()["cause"][:10]) == ("failed", "stopped-by")


def test_a_queued_job_says_so_and_has_no_log(submitting: Any, job: Job) -> None:
    write(job, WAITS)
    running = [submitting.submit(command=["main.py", job.root / "never"]) for _ in range(2)]
    queued = submitting.submit(command=["main.py", job.root / "never"])
    assert (queued.get_job_status(), queued.is_job_complete(), queued.get_job_logs()) == ("queued", False, "")
    queued.stop()
    assert list(queued.stream_job_logs()) == []
    assert queued.get_job_details()["start_time"] is None
    for it in running:
        it.stop()
        it.wait_for_deployment_to_complete()


def test_a_deleted_job_raises_wherever_it_is_asked_for(cluster: Cluster, submitting: Any, job: Job) -> None:
    write(job, "")
    deployment = submitting.submit(command="main.py")
    deployment.wait_for_deployment_to_complete()
    cluster.delete(deployment.job_id)
    asks: list[Any] = [
        deployment.get_job_status, deployment.is_job_complete, deployment.wait_for_deployment_to_complete,
        deployment.get_job_logs, deployment.get_job_details, deployment.stop, lambda: list(deployment.stream_job_logs()),
        lambda: submitting.Deployment(deployment.job_id),
    ]  # fmt: skip
    for ask in asks:
        with pytest.raises(submitting.Refused, match=deployment.job_id) as refused:
            ask()
        assert refused.value.code == "no_job"


def test_any_job_is_found_by_the_beginning_of_its_id(submitting: Any, job: Job) -> None:
    write(job, "")
    deployment = submitting.submit(command="main.py")
    assert submitting.Deployment(deployment.job_id[:13], config="scheduler").job_id == deployment.job_id
    for wrong in ("zzzz/../x", "12"):
        with pytest.raises(submitting.Refused):
            submitting.Deployment(wrong)


def test_lines_come_while_the_job_runs_and_end_with_it(submitting: Any, job: Job) -> None:
    write(job, WAITS)
    deployment = submitting.submit(command=["main.py", job.root / "end"])
    lines = deployment.stream_job_logs()
    while next(lines) != "begun":
        pass
    (job.root / "end").write_text("")
    assert list(lines) == ["told to end"]


def test_a_log_over_a_wire_that_breaks_has_every_byte_once(
    cluster: Cluster, submitting: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foundations import _http

    monkeypatch.setattr(_http, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(_http, "_LONGEST_PAUSE", 0.002)
    write(job, LINES)
    cuts = [None, *[0, 3, 300, None, 20_000, 4_000] * 12]
    between = Between(cluster.url, cuts)
    expected = ["line %d %s" % (it, "é" * 20) for it in range(3000)]
    deployment = submitting.submit(command="main.py")
    monkeypatch.setenv("ATLAS_URL", between.url)
    followed = submitting.Deployment(deployment.job_id, config=None)
    lines = list(followed.stream_job_logs())
    assert lines[-3001:] == [*expected, "the end has no end"]
    assert between.connections > 10
    assert followed.get_job_logs().splitlines() == lines  # from the archive, over the same wire
    between.end()


def test_a_master_that_is_killed_is_waited_for(submitting: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(job.root)
    try:
        parts.start_master()
        parts.start_node()
        monkeypatch.setenv("ATLAS_URL", parts.url)
        write(job, WAITS)
        deployment = submitting.submit(command=["main.py", job.root / "end"])
        lines = deployment.stream_job_logs()
        while next(lines) != "begun":
            pass
        parts.kill_master()
        later: list[Any] = []
        asking = threading.Thread(target=lambda: later.append(submitting.submit(command=["main.py", job.root / "end"])))
        asking.start()
        (job.root / "end").write_text("")
        parts.start_master()
        assert list(lines) == ["told to end"]
        asking.join()
        for it in (deployment, *later):
            it.wait_for_deployment_to_complete()
            assert it.get_job_status() == "completed"
    finally:
        parts.end()


def test_several_threads_follow_one_job(submitting: Any, job: Job) -> None:
    write(job, LINES)
    deployment = submitting.submit(command="main.py")
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(list(deployment.stream_job_logs()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found[0]) > 3000
    assert found[0] == found[1] == found[2]


def test_streaming_writes_the_log_to_stdout_and_tells_the_end(
    submitting: Any, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    write(job, "import sys\nprint('epoch 1 é')\nsys.exit(4)")
    deployment = submitting.submit(command="main.py", stream_job_logs=True)
    assert deployment.is_job_complete()
    said = capsys.readouterr()
    assert said.out == deployment.get_job_logs()
    assert said.out.endswith("epoch 1 é\n")
    assert "Job submitted with ID '%s' in project 'job'." % deployment.job_id in said.err
    assert "Job '%s' has failed: exit-code 4" % deployment.job_id in said.err


def test_a_job_submits_jobs_with_the_rights_of_its_submitter(cluster: Cluster, submitting: Any, job: Job) -> None:
    write(
        job,
        "import foundations, os, sys\n"
        "if sys.argv[1:]:\n"
        "    print('trial', sys.argv[1])\n"
        "else:\n"
        "    trials = foundations.submit_many([{'command': ['main.py', it]} for it in range(2)], project_name='inner')\n"
        "    for it in trials:\n"
        "        it.wait_for_deployment_to_complete(60)\n"
        "        print(it.get_job_logs().splitlines()[-1], it.get_job_status(), it.job_id)\n",
    )
    search = submitting.submit(command="main.py", project_name="search")
    search.wait_for_deployment_to_complete(120)
    first, second = (it for it in search.get_job_logs().splitlines() if it.startswith("trial"))
    assert [it.rpartition(" ")[0] for it in (first, second)] == ["trial 0 completed", "trial 1 completed"]
    inner = cluster.get("/jobs/" + first.split()[-1])
    assert (inner["project"], inner["user"]) == ("inner", cluster.get("/jobs/" + search.job_id)["user"])


TELLS = """
import foundations, sys
foundations.load_parameters()
foundations.set_tag("told", "yes")
for step, loss in enumerate([3, 1.5, 2]):
    foundations.log_metric("loss", loss)
foundations.log_metrics({"nan": float("nan"), "text": "fine", "big": 10 ** 40}, step=7)
foundations.log_param("list", [1, float("inf")])
print("begun", flush=True)
"""


def test_what_the_job_logged_is_told_once_it_has_ended(submitting: Any, job: Job) -> None:
    write(job, TELLS)
    deployment = submitting.submit(command="main.py", params={"lr": 0.1, "net": {"sizes": [64]}}, tags={"a": "b"})
    assert deployment.get_metric("loss", wait_seconds=5) == 2
    assert [deployment.get_param(it) for it in ("lr", "net_sizes_0", "list")] == [0.1, 64, [1, float("inf")]]
    assert deployment.get_metric_history("loss") == [(0, 3), (1, 1.5), (2, 2)]
    assert deployment.get_metric_history("big") == [(7, 10**40)]
    details = deployment.get_job_details()
    assert str(details["metrics"].pop("nan")) == "nan"
    assert details["metrics"] == {"loss": 2, "text": "fine", "big": 10**40}
    assert details["parameters"] == {"lr": 0.1, "net_sizes_0": 64, "list": [1, float("inf")]}
    assert details["tags"] == {"a": "b", "told": "yes"}
    for ask, what in ((deployment.get_metric, "Metric"), (deployment.get_param, "Parameter")):
        assert ask("acc", default=None) is None
        with pytest.raises(KeyError, match="%s 'acc' does not exist: job %s is completed" % (what, deployment.job_id)):
            ask("acc")


def test_a_job_that_failed_tells_what_it_logged_before(submitting: Any, job: Job) -> None:
    write(job, TELLS + "sys.exit(3)")
    deployment = submitting.submit(command="main.py")
    assert deployment.get_metric("loss") == 2
    with pytest.raises(KeyError, match=r"is failed \(exit-code 3\)"):
        deployment.get_metric("acc")


def test_points_are_there_while_the_job_runs(submitting: Any, job: Job) -> None:
    write(job, TELLS + WAITS)
    deployment = submitting.submit(command=["main.py", job.root / "end"])
    assert deployment.get_metric_history("none yet", default=[]) == []
    eventually("points arrive", lambda: len(deployment.get_metric_history("loss", default=[])) == 3 or None)
    assert deployment.get_job_status() == "running"
    (job.root / "end").write_text("")
    assert deployment.get_metric("loss") == 2
