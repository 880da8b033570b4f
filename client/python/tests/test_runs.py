"""Runs that were, found and compared: with a real cluster, from outside and from inside of a job."""

from __future__ import annotations

import math
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from conftest import Job

MAIN = """
import foundations

params = foundations.load_parameters()
for step, loss in enumerate([0.5, params["lr"], float("nan")]):
    foundations.log_metric("loss", loss, step=step)
foundations.log_metric("user", "metric")
foundations.log_param("status", "param")
if params["lr"] < 0.2:
    foundations.set_tag("best")
    foundations.log_metric("large", 10 ** 30)
foundations.set_name("lr %s" % params["lr"])
"""

INSIDE = """
import foundations

for run in foundations.get_runs(project="%s", filter="metrics.loss.min<0.2"):
    print(run["name"], run["parameters"]["lr"], run["user"] != "")
"""


@pytest.fixture
def project(submitting: Any, job: Job, request: pytest.FixtureRequest) -> str:
    """A project of three runs of its own."""
    name = "runs-" + str(request.node.name)[:40].replace("_", "-")
    (job.folder / "main.py").write_text(MAIN)
    given = [{"params": {"lr": lr, "net": {"sizes": [64]}}} for lr in (0.1, 0.3, 0.2)]
    for it in submitting.submit_many(given, command="main.py", project_name=name, tags={"sweep": "7"}):
        it.wait_for_deployment_to_complete(log_output=False)
        assert it.get_job_status() == "completed", it.get_job_logs()
    return name


def test_runs_are_found_with_all_that_they_told(submitting: Any, project: str) -> None:
    runs = submitting.get_runs(project=project, filter="params.lr<0.25", sort="-params.lr")
    assert [it["name"] for it in runs] == ["lr 0.2", "lr 0.1"]
    best = runs[1]
    assert best["tags"] == {"sweep": "7", "best": ""}
    assert best["parameters"] == {"lr": 0.1, "net_sizes_0": 64, "status": "param"}
    assert (best["metrics"]["large"], best["metrics"]["user"]) == (10**30, "metric")
    assert math.isnan(best["metrics"]["loss"])
    summary = best["summaries"]["loss"]
    assert (summary["min"], summary["max"], summary["count"], summary["last_step"]) == (0.1, 0.5, 3, 2)
    assert (best["status"], best["project_name"]) == ("completed", project)
    assert best["start_time"] <= best["completed_time"] <= datetime.now(timezone.utc)
    details = submitting.Deployment(best["job_id"]).get_job_details()
    assert {key: details[key] for key in ("parameters", "tags", "start_time")} == {
        key: best[key] for key in ("parameters", "tags", "start_time")
    }


def test_runs_come_in_pages_and_no_more_than_asked_for(
    submitting: Any, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import foundations._runs

    monkeypatch.setattr(foundations._runs, "_PAGE", 1)
    lr = [it["parameters"]["lr"] for it in submitting.get_runs(project, sort="params.lr")]
    assert lr == [0.1, 0.2, 0.3]
    assert [it["parameters"]["lr"] for it in submitting.get_runs(project, sort="params.lr", limit=2)] == [0.1, 0.2]
    assert submitting.get_runs(project, limit=0) == []
    assert len(submitting.get_runs(filter="project=" + project)) == 3


def test_what_cannot_be_asked_says_why(submitting: Any, project: str) -> None:
    with pytest.raises(submitting.Refused, match=r"column 1: .* did you mean metrics\.loss\?"):
        submitting.get_runs(project, filter="metric.loss<1")
    with pytest.raises(TypeError, match="limit"):
        submitting.get_runs(project, limit="2")
    with pytest.raises(ValueError, match="Project `nobodys` does not exist!"):
        submitting.get_metrics_for_all_jobs("nobodys")
    with pytest.raises(TypeError, match="project_name"):
        submitting.get_metrics_for_all_jobs(None)


def test_a_job_finds_runs_of_its_cluster(submitting: Any, project: str, tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "main.py").write_text(INSIDE % project)
    deployment = submitting.submit(job_directory=folder, command="main.py", project_name=project + "-search")
    deployment.wait_for_deployment_to_complete(log_output=False)
    assert "lr 0.1 0.1 True\n" in deployment.get_job_logs()


def test_all_runs_of_a_project_are_a_data_frame(submitting: Any, project: str) -> None:
    import pandas

    frame = submitting.get_metrics_for_all_jobs(project)
    assert isinstance(frame, pandas.DataFrame)
    fixed = ["project_name", "job_id", "user", "status", "start_time", "completed_time", "creation_time", "tags"]
    told = ["lr", "net_sizes_0", "param_status", "large", "loss", "metric_user", "tag_best", "tag_sweep"]
    assert list(frame.columns) == fixed + told
    assert list(frame["lr"]) == [0.2, 0.3, 0.1], "the newest first"
    assert list(frame["status"]) == ["completed"] * 3
    assert frame["large"].isna().tolist() == [True, True, False]
    assert frame["tag_sweep"].tolist() == ["7"] * 3
    assert frame["tags"][2] == {"sweep": "7", "best": ""}
    began = datetime.fromisoformat(frame["start_time"][0])
    assert abs(began.timestamp() - frame["creation_time"][0]) < 3600, "it is local time"


def test_without_pandas_the_error_names_what_needs_none(
    sdk: Any, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"foundations\.get_runs\(project="):
        sdk.get_metrics_for_all_jobs("mnist")
