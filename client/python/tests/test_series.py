"""The points of a job that has ended, as others read them."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from conftest import Job, eventually

MAIN = """
import foundations

for step in range(3000):
    foundations.log_metric("loss", step / 11, step=step)
foundations.log_metric("seen", 7)
foundations.log_metric("seen", 2**53 + 1)
foundations.log_metric("seen", 10**30)
foundations.log_metric("edge", float("nan"))
foundations.log_metric("edge", float("inf"))
foundations.log_metric("edge", True)
foundations.log_metric("edge", "diverged é")
"""

SEEN = ["7", "9007199254740993", "1" + "0" * 30]


def table_of(cluster: Cluster, job: str) -> Path:
    """The file that the series became."""
    files = cluster.get("/jobs/%s/files?path=series" % job)["files"]
    found = [it["path"] for it in files if it["path"].endswith(".parquet")]
    folder = cluster.data / "shared" / "jobs" / job[:2] / job
    return folder / str(found[0])


@pytest.fixture
def table(cluster: Cluster, job: Job, submitting: Any) -> Path:
    (job.folder / "main.py").write_text(MAIN, "utf-8")
    deployment = submitting.submit(command=["main.py"])
    deployment.wait_for_deployment_to_complete()
    name = deployment.job_name()

    def look() -> Any:
        names = [it["path"] for it in cluster.get("/jobs/%s/files" % name)["files"] if it["path"].startswith("series/")]
        return [it.rpartition(".")[2] for it in names] == ["parquet"] or None

    eventually("the series is one table", look)
    series = cluster.get("/jobs/%s/series?key=loss&points=0" % name)
    assert series["values"] == [step / 11 for step in range(3000)]
    return table_of(cluster, name)


def test_pandas_polars_and_duckdb_read_what_was_logged(table: Path) -> None:
    import duckdb
    import pandas
    import polars

    before = datetime(2020, 1, 1, tzinfo=timezone.utc)
    frame = pandas.read_parquet(table)
    assert list(frame.columns) == ["key", "rank", "attempt", "step", "time", "value", "text", "kind"]
    assert len(frame) == 3007
    loss = frame[frame.key == "loss"]
    assert list(loss.step) == list(range(3000))
    assert list(loss.value) == [step / 11 for step in range(3000)]
    assert (loss.time > before).all()
    assert set(frame["rank"]) == {0}
    assert set(frame.attempt) == {1}
    seen = frame[frame.key == "seen"]
    assert list(seen.value) == [7.0, float(2**53), 1e30]
    assert [text or str(int(value)) for text, value in zip(seen.text, seen.value)] == SEEN
    assert list(frame.key) == sorted(frame.key)

    lazy = polars.scan_parquet(table)
    edge = lazy.filter(polars.col("key") == "edge").sort("step").collect()
    assert edge["kind"].to_list() == ["float", "float", "bool", "text"]
    assert edge["text"].to_list() == [None, None, None, "diverged é"]
    nan, infinity, true, text = edge["value"].to_list()
    assert math.isnan(nan)
    assert (infinity, true, text) == (math.inf, 1.0, None)
    assert lazy.filter(polars.col("time") > before).select(polars.len()).collect().item() == 3007
    assert lazy.filter(polars.col("key") == "loss").select("value").collect()["value"].to_list() == list(loss.value)

    rows = duckdb.execute(
        "select key, count(*), min(value), max(step) from read_parquet(?) where key <> 'edge' group by key order by key",
        [str(table)],
    ).fetchall()
    assert rows == [("loss", 3000, 0.0, 2999), ("seen", 3, 7.0, 2)]
    found = duckdb.execute("select text, time > '2020-01-01' from read_parquet(?) where kind = 'text'", [str(table)])
    assert found.fetchall() == [("diverged é", True)]
