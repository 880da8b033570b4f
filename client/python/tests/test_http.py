"""Requests over wires that break, to masters that are away, and to what is no master."""

from __future__ import annotations

import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Iterator

import pytest
from cluster import Between, Cluster
from conftest import Job

VERSION = {"version": "0.1.0"}


class Answers:
    """A server that answers what it was given, one after the other, and the last one for ever."""

    def __init__(self) -> None:
        self.left: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {key.lower(): value for key, value in self.headers.items()}
                outer.asked.append((self.command, self.path, headers, body))
                status, said = outer.left.pop(0) if len(outer.left) > 1 else outer.left[0]
                data = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def answers(fresh: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    it = Answers()
    monkeypatch.setenv("ATLAS_URL", it.url)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    fresh()
    _short_pauses(monkeypatch)
    yield it
    it.server.shutdown()
    it.server.server_close()


def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    from foundations import _http

    monkeypatch.setattr(_http, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(_http, "_LONGEST_PAUSE", 0.002)


def problem(status: int, code: str, **more: Any) -> tuple[int, Any]:
    return status, {"status": status, "code": code, "detail": "because", **more}


def test_a_request_says_who_asks_and_a_job_shows_its_token(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    from foundations import _http

    answers.left = [(200, VERSION)]
    monkeypatch.setenv("LOGNAME", "ada lovelace é")
    monkeypatch.setenv("ATLAS_TOKEN", "atlas_job_x")
    _http.connect(None).ask("POST", "/jobs", {"a": 1}, x="1 2", absent=None)
    method, path, headers, body = answers.asked[-1]
    assert (method, path, body) == ("POST", "/api/v1/jobs?x=1+2", b'{"a":1}')
    assert headers["x-atlas-user"] == "ada_lovelace__"
    assert headers["sec-atlas-client"] == "python"
    assert headers["authorization"] == "Bearer atlas_job_x"
    assert headers["content-type"] == "application/json"


def test_a_refusal_has_its_code_and_field(answers: Answers) -> None:
    from foundations import Refused, _http

    answers.left = [(200, VERSION), problem(400, "invalid", field="ram_gb")]
    with pytest.raises(Refused, match="because") as refused:
        _http.connect(None).ask("GET", "/jobs")
    assert (refused.value.code, refused.value.status, refused.value.field) == ("invalid", 400, "ram_gb")


def test_a_master_that_is_away_for_a_moment_is_waited_for_and_that_is_told_once(
    answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    from foundations import _http

    answers.left = [
        (200, VERSION),
        *[problem(503, "unavailable")] * 5,
        (502, b"no master"),
        (503, {"detail": "away"}),
        (200, {"it": "is back"}),
    ]
    assert _http.connect(None).ask("GET", "/jobs") == {"it": "is back"}
    told = capsys.readouterr().err
    assert told.count("The master does not answer; trying again.") == 1
    assert told.count("The master answers again.") == 1


def test_one_that_stays_away_is_an_exception(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    from foundations import Unreachable, _http

    answers.left = [(200, VERSION), problem(503, "unavailable")]
    monkeypatch.setattr(_http, "BRIEF", 0.02)
    with pytest.raises(Unreachable, match=r"the master at http://127\.0\.0\.1:\d+ could not do it: because"):
        _http.connect(None).ask("GET", "/jobs")


def test_where_nobody_answers_it_is_said_at_once(fresh: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = fresh()
    with socket.create_server(("127.0.0.1", 0)) as it:
        port = it.getsockname()[1]
    monkeypatch.setenv("ATLAS_URL", "http://127.0.0.1:%d" % port)
    with pytest.raises(sdk.Unreachable, match=r"Connection refused.*start one on this machine with `atlas up`"):
        sdk.submit(command="main.py", job_directory=job.folder)


def test_one_that_does_not_speak_in_time_is_named(fresh: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = fresh()
    from foundations import _config, _http

    with socket.create_server(("127.0.0.1", 0)) as it:
        master = _http.Master(_config.Config("127.0.0.1", it.getsockname()[1]))
        with pytest.raises(sdk.Unreachable, match="did not answer within 0 s"):
            master.ask_once("GET", "/version", within=0.05)


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, [1]), (404, b"no"), (500, {"detail": 3}), (302, b"")])
def test_what_is_no_master_is_named(answers: Answers, answer: Any) -> None:
    from foundations import AtlasError, _http

    answers.left = [answer]
    with pytest.raises(AtlasError, match=r"what answers at http://127\.0\.0\.1:\d+ is no Atlas master"):
        _http.connect(None)


def test_a_master_of_another_version_is_refused(answers: Answers) -> None:
    from foundations import AtlasError, _http

    for theirs in ("0.2.0", "1.0.0", "", None):
        answers.left = [(200, {"version": theirs})]
        with pytest.raises(AtlasError, match="which does not understand this `foundations`"):
            _http.connect(None)
    answers.left = [(200, {"version": "0.1.77"})]
    _http.connect(None)


def test_exceptions_survive_a_pickle(fresh: Any, job: Job) -> None:
    import pickle

    sdk = fresh()
    again = pickle.loads(pickle.dumps(sdk.Refused("because", "invalid", 400, "ram_gb", ("KEY",))))
    assert (str(again), again.code, again.status, again.field, again.secrets) == (
        "because",
        "invalid",
        400,
        "ram_gb",
        ("KEY",),
    )


def test_an_upload_over_a_wire_that_breaks_goes_on_where_it_was(
    cluster: Cluster, submitting: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    _short_pauses(monkeypatch)
    from foundations import _upload

    monkeypatch.setattr(_upload, "_PIECE", 100_000)
    (job.folder / "main.py").write_text("print('arrived')")
    (job.folder / "noise").write_bytes(os.urandom(1_000_000))
    # Each time the wire breaks in an answer, or before it.
    between = Between(cluster.url, [None, *[None, 0, None, 40, None, 5] * 6])
    monkeypatch.setenv("ATLAS_URL", between.url)
    deployment = submitting.submit(scheduler_config=None, command="main.py")
    between.end()
    assert between.connections > 20
    deployment = submitting.Deployment(deployment.job_id, config="scheduler")
    deployment.wait_for_deployment_to_complete(60)
    assert deployment.get_job_logs().endswith("arrived\n")


def test_a_submission_whose_answer_was_lost_is_one_job(
    cluster: Cluster, submitting: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    _short_pauses(monkeypatch)
    (job.folder / "main.py").write_text("")
    submitting.submit(command="main.py", project_name="lost")  # the bundle is known from now on
    between = Between(cluster.url, [None, 10, 20, None])
    monkeypatch.setenv("ATLAS_URL", between.url)
    deployment = submitting.submit(command="main.py", project_name="lost-answer")
    between.end()
    found = cluster.get("/jobs?project=lost-answer")["jobs"]
    assert [it["id"] for it in found] == [deployment.job_id]
