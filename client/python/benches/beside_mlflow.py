"""Atlas beside MLflow on its SQLite store, each as its manual says: `log_metric`, a batch, and finding runs among many.

Usage: ATLAS_URL=URL python beside_mlflow.py PROJECT, with a Python that has mlflow, and a project whose runs have the parameters
p0 to p19 and the metrics m0 to m19. MLflow gets as many runs, written straight into its tables: its own calls would take an hour.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

_KEYS = 20
_PAGE = 100
_ROUNDS, _ROUNDS_OF_MLFLOW = 100, 5


def measure(name: str, calls: int, call: Callable[[int], object]) -> None:
    """Prints the median and the 99th percentile of so many calls."""
    times = []
    for number in range(calls):
        began = time.perf_counter_ns()
        call(number)
        times.append(time.perf_counter_ns() - began)
    times.sort()
    median, p99 = times[calls // 2] / 1e6, times[min(calls - 1, calls * 99 // 100)] / 1e6
    print("%-58s median %9.3f ms   p99 %9.3f ms" % (name, median, p99))


def logging(folder: str, mlflow: Any) -> None:
    """A metric at a time, and a thousand."""
    import foundations

    thousand = {"metric %d" % it: it * 0.1 for it in range(1000)}
    os.environ["ATLAS_SPOOL"] = os.path.join(folder, "events")
    measure("Atlas: log_metric", 50_000, lambda it: foundations.log_metric("loss", it * 0.5, step=it))
    measure("Atlas: log_metrics of 1,000", 200, lambda it: foundations.log_metrics(thousand, step=it))

    from mlflow.entities import Metric

    with mlflow.start_run() as run:
        client, run_id = mlflow.MlflowClient(), run.info.run_id
        measure("MLflow: log_metric", 200, lambda it: mlflow.log_metric("loss", it * 0.5, step=it))

        def batch(step: int) -> None:
            client.log_batch(run_id, [Metric(key, value, 1_790_000_000_000, step) for key, value in thousand.items()])

        measure("MLflow: log_batch of 1,000", 10, batch)


def finding(project: str, database: str, mlflow: Any) -> None:
    """Pages of a hundred, sorted by a metric, and filtered besides."""
    import foundations

    asked: Any = {"limit": _PAGE, "sort": "-metrics.m0"}
    runs = len(foundations.get_runs(project=project))
    which = "params.p1=adam and metrics.m1<0.5"
    measure("Atlas: %d runs by a metric" % runs, _ROUNDS, lambda _: foundations.get_runs(project, **asked))
    measure("Atlas: and filtered", _ROUNDS, lambda _: foundations.get_runs(project, filter=which, **asked))

    experiment = mlflow.create_experiment("many")
    fill(database, experiment, runs)
    client = mlflow.MlflowClient()

    def search(which: str = "") -> None:
        found = client.search_runs([experiment], which, max_results=_PAGE, order_by=["metrics.m0 DESC"])
        assert len(found) == min(_PAGE, runs)

    for how in ("as it is", "after ANALYZE"):
        measure("MLflow, %s: %d runs by a metric" % (how, runs), _ROUNDS_OF_MLFLOW, lambda _: search())
        filtered = "MLflow, %s: and filtered" % how
        measure(filtered, _ROUNDS_OF_MLFLOW, lambda _: search("params.p1 = 'adam' and metrics.m1 < 0.5"))
        with sqlite3.connect(database) as connection:
            connection.execute("ANALYZE")
        connection.close()


def fill(database: str, experiment: str, runs: int) -> None:
    """Runs as MLflow itself writes them, their values spread."""
    ids = ["%032x" % it for it in range(runs)]
    with sqlite3.connect(database) as connection:
        known = {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
        for at, run in enumerate(ids):
            row = {
                "run_uuid": run,
                "name": "run %d" % at,
                "source_type": "LOCAL",
                "source_name": "",
                "entry_point_name": "",
                "source_version": "",
                "user_id": "bench",
                "status": "FINISHED",
                "start_time": 1_790_000_000_000 + at,
                "end_time": 1_790_000_001_000 + at,
                "lifecycle_stage": "active",
                "artifact_uri": "artifacts",
                "experiment_id": int(experiment),
            }
            kept = {key: value for key, value in row.items() if key in known}
            insert(connection, "runs", kept)
        for key in range(_KEYS):
            params = [("p%d" % key, "adam" if key == 1 else "0.5", run) for run in ids]
            connection.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", params)
            last = [("m%d" % key, at * 37 % 1000 / 2500, 1_790_000_000_000, 2, run) for at, run in enumerate(ids)]
            connection.executemany(
                "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, 0, ?)",
                last,
            )
            connection.executemany(
                "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, 0, ?)", last
            )
    connection.close()


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    """One row."""
    names, places = ", ".join(row), ", ".join("?" * len(row))
    connection.execute("INSERT INTO %s (%s) VALUES (%s)" % (table, names, places), list(row.values()))


def main() -> None:
    """Measures in a folder that is removed afterwards."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow

    print("MLflow %s, SQLite %s" % (mlflow.__version__, sqlite3.sqlite_version))
    with tempfile.TemporaryDirectory() as folder:
        database = os.path.join(folder, "mlflow.db")
        mlflow.set_tracking_uri("sqlite:///" + database)
        artifacts = Path(folder, "artifacts").as_uri()
        mlflow.set_experiment(experiment_id=mlflow.create_experiment("one", artifact_location=artifacts))
        logging(folder, mlflow)
        finding(sys.argv[1], database, mlflow)


if __name__ == "__main__":
    main()
