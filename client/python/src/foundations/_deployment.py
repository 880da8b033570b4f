"""A job that was submitted: how it is, how it ended, what it wrote."""

from __future__ import annotations

import codecs
import math
import sys
import time
from typing import Any, Iterator
from urllib.parse import quote

from foundations import _http, _log, _say, _told
from foundations._errors import Refused, Unreachable
from foundations._told import plain

_AT_ONCE = 60
"""Seconds that one question waits for the end of a job; the master answers at once when it comes."""


_NONE: Any = object()
"""Nothing was given; `None` may be."""


class Deployment:
    """A job. Every method asks the master; one that waits does so until the master answers that it is time.

    Raises Refused (`code` is `no_job`) when the job was deleted, Unreachable when the master is away for long.
    """

    def __init__(self, job_id: str, config: str | None = None) -> None:
        """Any job of the cluster, by its id or a unique beginning of it of 4 or more digits."""
        self._master = _http.connect(config)
        self._id = str(self._master.ask("GET", "/jobs/" + quote(job_id, safe=""))["id"])

    @classmethod
    def on(cls, master: _http.Master, job_id: str) -> Deployment:
        """A job that this process has just submitted."""
        self = cls.__new__(cls)
        self._master, self._id = master, job_id
        return self

    def __repr__(self) -> str:
        return "<Deployment %s>" % self._id

    @property
    def job_id(self) -> str:
        """Its id."""
        return self._id

    def job_name(self) -> str:
        """Its id, by the method's name of 2020."""
        return self._id

    def get_job_status(self) -> str:
        """`queued`, `running`, `completed` or `failed`."""
        return str(self._ask()["status"])

    def is_job_complete(self) -> bool:
        """Whether it has ended, however it did."""
        return self._ask()["ended_ms"] is not None

    def wait_for_deployment_to_complete(
        self, timeout: float | None = None, *, wait_seconds: float | None = None, log_output: bool = True
    ) -> None:
        """Returns when the job has ended and all that is kept of it is kept; it does not raise when the job failed.

        Raises TimeoutError after `timeout` seconds. `wait_seconds`, the pause between two looks in 2020, means nothing any more:
        the master says when it is over. `log_output=False`: without a word on stderr.
        """
        del wait_seconds
        if log_output:
            _say.notice("waiting for job `%s` to finish" % self._id)
        self._wait(timeout)
        if log_output:
            _say.notice("job `%s` %s" % (self._id, self._ask()["status"]))

    def get_job_logs(self) -> str:
        """What the last attempt wrote so far; empty where none has begun."""
        return _log.whole(self._master, self._id).decode("utf-8", "replace")

    def stream_job_logs(self) -> Iterator[str]:
        """The lines of the log, without their ends, as they come, until the job has ended."""
        begun: list[str] = []
        for piece in self._pieces():
            first, *lines = piece.split("\n")
            begun.append(first)
            for line in lines:
                yield "".join(begun)
                begun = [line]
        if any(begun):
            yield "".join(begun)

    def get_job_details(self) -> dict[str, Any]:
        """All that is known of the job, once it has ended: the keys of 2020 (`project_name`, `job_id`, `user`, `status`,
        `start_time`, `completed_time`, `creation_time`, `tags`, `parameters`, and `metrics` with the last value of each), and
        those of `GET /jobs/JOB` in docs/openapi.json.
        """
        job, run = self._wait(None), self._run()
        return _told.details(job, {**job["tags"], **run["tags"]}, run["params"], run["metrics"])

    def get_param(self, param_name: str, *, default: Any = _NONE, wait_seconds: float | None = None) -> Any:
        """The value of a parameter that the job logged, once it has ended. Raises KeyError where there is none and no `default`.

        `wait_seconds` means nothing any more, as in `wait_for_deployment_to_complete`.
        """
        del wait_seconds
        job, params = self._wait(None), self._run()["params"]
        if param_name in params:
            return plain(params[param_name])
        return _missing("Parameter", param_name, job, default)

    def get_metric(self, metric_name: str, *, default: Any = _NONE, wait_seconds: float | None = None) -> Any:
        """The last value of a metric, that of the highest step, once the job has ended, well or not. Raises KeyError where
        there is none and no `default`; `wait_seconds` as in `get_param`.
        """
        del wait_seconds
        job, metrics = self._wait(None), self._run()["metrics"]
        if metric_name in metrics:
            return plain(metrics[metric_name]["last"])
        return _missing("Metric", metric_name, job, default)

    def get_metric_history(self, metric_name: str, *, default: Any = _NONE) -> Any:
        """The points of a metric so far, also while the job runs: a list of (step, value), in the order of steps. Raises
        KeyError where there is none and no `default`.
        """
        job, metrics = self._ask(), self._run()["metrics"]
        if metric_name not in metrics:
            return _missing("Metric", metric_name, job, default)
        series = self._master.ask("GET", "/jobs/%s/series" % self._id, key=metric_name, points=0)
        return list(zip(series["steps"], map(plain, series["values"])))

    def stop(self) -> None:
        """Ends the job: at once if it waits, else after its grace. Raises Refused (`already_ended`) when it has ended."""
        patience, was_asked = _http.Patience(_http.BRIEF), False
        while True:
            try:
                self._master.ask_once("POST", "/jobs/%s/stop" % self._id)
                return
            except Unreachable as error:
                patience.wait(error)
                was_asked = True
            except Refused as refused:
                if was_asked and refused.code == "already_ended":
                    return  # of the question whose answer was lost
                raise

    def _run(self) -> _http.Json:
        return self._master.ask("GET", "/jobs/%s/run" % self._id)

    def _pieces(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for piece in _log.follow(self._master, self._id):
            yield decoder.decode(piece)
        yield decoder.decode(b"", True)

    def _ask(self) -> _http.Json:
        return self._master.ask("GET", "/jobs/" + self._id)

    def _wait(self, timeout: float | None) -> _http.Json:
        """The job, when it is done."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        patience = _http.Patience(_http.LONG)
        while True:
            left = max(0, end - time.monotonic())
            seconds = math.ceil(min(_AT_ONCE, left))
            try:
                job = self._master.ask_once(
                    "GET", "/jobs/" + self._id, within=seconds + 30.0, wait="done", timeout_s=seconds
                )
            except Unreachable as error:
                patience.wait(error)
                continue
            patience.recovered()
            if job["phase"] == "done":
                return job
            if time.monotonic() >= end:
                what = "job %s is still %s after %s s; it goes on"
                raise TimeoutError(what % (self._id, job["phase"], timeout))


def print_logs(deployment: Deployment) -> None:
    """Writes a job's log to stdout until the job has ended, and says on stderr how it did."""
    _say.notice("Job queued. Ctrl-C to stop streaming - job will not be interrupted or cancelled.")
    is_running = False
    for piece in deployment._pieces():
        if not is_running:
            _say.notice("Job running, streaming logs.")
            is_running = True
        sys.stdout.write(piece)
        sys.stdout.flush()
    job = deployment.get_job_details()
    if job["status"] == "completed":
        _say.notice("Job '%s' has completed." % deployment.job_id)
    else:
        _say.warn("Job '%s' has failed: %s %s" % (deployment.job_id, job["cause"], job["detail"]))


def _missing(what: str, name: str, job: _http.Json, default: Any) -> Any:
    if default is not _NONE:
        return default
    status = job["status"] + (" (%s)" % job["cause"] if job["cause"] else "")
    raise KeyError("%s '%s' does not exist: job %s is %s" % (what, name, job["id"], status))
