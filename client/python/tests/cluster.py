"""A real cluster of one machine, and who submits to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterable
from urllib.parse import urlsplit

import pytest
from waiting import eventually

Json = Dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]


def binary(name: str) -> str:
    """A program of this repository, as it was built."""
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    if not (folder / name).exists():
        pytest.fail("%s is not there: scripts/build.sh builds it" % (folder / name))
    return str(folder / name)


class Cluster:
    """`atlas up` with folders and ports of its own; jobs are plain processes, and run this Python."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.data = root / "data"
        self.home.mkdir()
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("ATLAS_", "FOUNDATIONS_"))}
        path = "%s%s%s" % (os.path.dirname(sys.executable), os.pathsep, os.environ["PATH"])
        self._log = (root / "up.log").open("wb")
        words = ["up", "--http", "0", "--grpc", "0", "--node", "0", "--executor", "process", "--workers", "2"]
        self.process = subprocess.Popen(
            [binary("atlas"), *words, "--stop-jobs", "--data", str(self.data)],
            env={**inherited, "PATH": path, "ATLAS_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.url = ""

    def is_up(self) -> bool:
        assert self.process.poll() is None, (self.data.parent / "up.log").read_text()
        try:
            self.url = json.loads((self.data / "endpoints.json").read_text())["grpc"]
        except FileNotFoundError:
            return False
        folder = self.home / "config" / "submission"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scheduler.config.yaml").write_text("scheduler_url: %s\n" % self.url)
        return True

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)
        self._log.close()

    def get(self, path: str) -> Json:
        """An answer of the REST API, asked for by other means than the SDK's."""
        found: Json = json.loads(self._ask("GET", path))
        return found

    def changes(self, job: str) -> bytes | None:
        """What was not committed of a job's folder, as it was kept."""
        git = self.get("/jobs/" + job)["git"]
        return self._ask("GET", "/jobs/%s/files/git.diff" % job) if git and git.get("diff") else None

    def delete(self, job: str) -> None:
        self._ask("DELETE", "/jobs/" + job)

    def _ask(self, method: str, path: str) -> bytes:
        connection = http.client.HTTPConnection(str(urlsplit(self.url).netloc), timeout=60)
        connection.request(method, "/api/v1" + path, headers={"x-atlas-user": "test"})
        response = connection.getresponse()
        found = response.read()
        assert response.status == 200, found
        connection.close()
        return found

    def atlas(self, *words: str, cwd: Path) -> str:
        """What the command line prints."""
        env = {**os.environ, "ATLAS_HOME": str(self.home)}
        done = subprocess.run([binary("atlas"), *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


class Parts:
    """A master and a node, each its own process, so that one of them can be killed and come back where it was."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = ("127.0.0.1:0", "127.0.0.1:0")
        for name in ("master", "node", "shared"):
            (root / name).mkdir()

    def start_master(self) -> None:
        endpoints = self._root / "master" / "endpoints.json"
        endpoints.unlink(missing_ok=True)
        words = ["--http", self._ports[0], "--grpc", self._ports[1], "--data", "master", "--shared", "shared"]
        self._start("atlas-master", *words)
        found = json.loads(
            eventually("the master serves", lambda: endpoints.read_text() if endpoints.exists() else None)
        )
        self._ports = (str(urlsplit(found["http"]).netloc), str(urlsplit(found["grpc"]).netloc))
        self.url = str(found["grpc"])

    def start_node(self) -> None:
        words = [
            "--master",
            self.url,
            "--name",
            "node-a",
            "--listen",
            "127.0.0.1:0",
            "--executor",
            "process",
            "--data",
            str(self._root / "node"),
        ]
        user = "%d:%d" % (os.getuid(), os.getgid())
        self._start("atlas-node", *words, "--job-user", user, "--shared", "shared", "--token-file", "master/join-token")

    def kill_master(self) -> None:
        self._end("atlas-master", signal.SIGKILL)

    def end(self) -> None:
        for name in list(self._processes):
            self._end(name, signal.SIGTERM)

    def _start(self, name: str, *words: str) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("ATLAS_", "FOUNDATIONS_"))}
        env = {**inherited, "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]}
        with (self._root / (name + ".log")).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [binary(name), *words], cwd=self._root, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _end(self, name: str, number: int) -> None:
        process = self._processes.pop(name)
        process.send_signal(number)
        process.wait(60)


class Between:
    """A wire to a master that breaks: each connection is cut when as many bytes came back as `cuts` says next; 0 = at once."""

    def __init__(self, url: str, cuts: Iterable[int | None]) -> None:
        self._to = str(urlsplit(url).hostname), int(urlsplit(url).port or 0)
        self._cuts = iter(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self._listener.getsockname()[1]
        self.connections = 0
        self._start(self._accept)

    def end(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            cut = next(self._cuts, None)
            if cut == 0:
                near.close()
                continue
            far = socket.create_connection(self._to)
            self._start(self._carry, near, far, None)
            self._start(self._carry, far, near, cut)

    @staticmethod
    def _carry(source: socket.socket, to: socket.socket, left: int | None) -> None:
        try:
            while left is None or left > 0:
                data = source.recv(65536 if left is None else min(left, 65536))
                if not data:
                    break
                to.sendall(data)
                left = None if left is None else left - len(data)
        except OSError:
            pass
        for it in (source, to):
            try:
                it.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @staticmethod
    def _start(target: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()
