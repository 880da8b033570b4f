"""Scripts that run outside of the cluster: `python main.py` on one's own machine."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Job, eventually

from foundations import _process

HEARD = """
import os, time
import foundations
while not os.path.exists(os.environ["ATLAS_RUN_DIR"] + "/notice"):
    time.sleep(0.01)
print("trained")
"""
"""A script that goes on until it is known whether there is a master."""


HELD = (
    "import os, signal, sys\n"
    "if len(sys.argv) > 1:\n"
    "    sys.modules['ctypes'] = None\n"
    "    vars(os).pop('pidfd_open', None)\n"
    "import foundations\n"
    "lock = os.environ['ATLAS_RUN_DIR'] + '/lock'\n"
    "while not os.path.exists(lock): pass\n"
    "name = ':%d' % os.stat(lock).st_ino\n"
    "while not any(it.split()[5].endswith(name) for it in open('/proc/locks')): pass\n"
    "[helper] = [it.split()[4] for it in open('/proc/locks') if it.split()[5].endswith(name)]\n"
)
"""A script that knows who its helper is; with a word it has nothing that stands for it after its death."""
GONE = "os.kill(int(helper), signal.SIGKILL)\nwhile os.path.exists('/proc/%s/fd/0' % helper): pass\n"


class Outside(Job):
    """A folder on somebody's own machine."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.variables = {"ATLAS_HOME": str(self.home)}
        self.goes_to("http://127.0.0.1:1")

    def goes_to(self, url: str) -> None:
        """Where its master is; nobody answers on port 1."""
        folder = self.home / "config" / "submission"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scheduler.config.yaml").write_text("scheduler_url: %s\n" % url)

    def runs(self) -> list[Path]:
        folder = self.home / "runs"
        found = [it.parent for it in folder.glob("*/run.json")]
        return sorted(found, key=lambda it: (it / "run.json").stat().st_mtime_ns)

    def the_run(self) -> Path:
        (run,) = self.runs()
        self.spool = run / "spool" / "events"
        return run

    def end(self) -> dict[str, Any]:
        return self.end_of(self.the_run())

    def end_of(self, run: Path) -> dict[str, Any]:
        path = run / "end.json"
        eventually("the helper writes how it ended", lambda: path.exists() or None)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def log(self) -> str:
        return (self.the_run() / "log").read_text()


@pytest.fixture
def outside(job: Job, tmp_path: Path) -> Outside:
    (tmp_path / "outside").mkdir()
    return Outside(tmp_path / "outside")


def test_an_import_makes_a_run(outside: Outside) -> None:
    done = outside.script(HEARD, "--lr", "1", USER="ada", LOGNAME="ada")
    assert done.stdout == "trained\n"
    assert len(done.stderr.splitlines()) == 1
    assert "no Atlas master answers at http://127.0.0.1:1" in done.stderr
    assert "atlas sync" in done.stderr
    run = outside.the_run()
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", run.name)
    facts = json.loads((run / "run.json").read_text())
    assert facts["id"] == run.name
    assert (facts["project"], facts["user"], facts["directory"]) == ("job", "ada", str(outside.folder))
    assert facts["command"] == ["main.py", "--lr", "1"]
    end = outside.end()
    assert (end["code"], end["log_bytes"]) == (0, (run / "log").stat().st_size)
    assert outside.log().startswith("trained\n")
    assert end["spool_bytes"] == outside.spool.stat().st_size
    assert len(outside.events("facts")) == 1
    assert os.listdir(outside.folder) == ["main.py"], "nothing is written into the user's folder"


@pytest.mark.parametrize("names", [{"FOUNDATIONS_PROJECT_NAME": "a", "PROJECT_NAME": "b"}, {"PROJECT_NAME": "a"}])
def test_the_project_is_what_the_environment_says(outside: Outside, names: dict[str, str]) -> None:
    outside.script("import foundations\nfoundations.set_project_name('c')\n", **names)
    assert json.loads((outside.the_run() / "run.json").read_text())["project"] == "a"
    assert outside.events() == [{"e": "project", "value": "c"}]


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("sys.exit(3)", 3),
        ("raise SystemExit(4)", 4),
        ("sys.exit()", 0),
        ("sys.exit('no data')", 1),
        ("sys.exit(259)", 3),
        ("1 / 0", 1),
        ("exec('1 +')", 1),
        ("exit(5)", 5),
        ("from sys import exit as leave; leave(6)", 6),
        ("os._exit(7)", 7),
        ("if os.fork() == 0: sys.exit(9)\nos.wait()", 0),
        ("if os.fork() == 0: os._exit(9)\nos.wait()", 0),
    ],
)
def test_the_end_is_the_truth(outside: Outside, ending: str, code: int) -> None:
    (outside.folder / "main.py").write_text("import os, sys\nimport foundations\n" + ending)
    done = outside.run("main.py")
    assert done.returncode == code
    assert outside.end()["code"] == code


def test_a_script_outlives_its_helper(outside: Outside) -> None:
    text = (
        "import signal\n"
        "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n" + HELD + GONE + "foundations.log_metric('m', 1)\n"
        "raise SystemExit(3)\n"
    )
    (outside.folder / "main.py").write_text(text)
    assert outside.run("main.py").returncode == 3


def test_what_goes_on_without_its_helper_is_not_said_to_have_ended(outside: Outside) -> None:
    text = HELD + GONE + "print('alone', flush=True)\nsys.stdin.read()\n"
    (outside.folder / "main.py").write_text(text)
    words = [sys.executable, "main.py"]
    env = {**os.environ, **outside.variables}
    with subprocess.Popen(words, cwd=outside.folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == b"alone\n"
        run = outside.the_run()
        done = outside.run("-m", "foundations", "sync")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert not (run / "end.json").exists()
    assert "no Atlas master answers" in outside.run("-m", "foundations", "sync").stderr
    assert how(outside.end()) == {}


def test_an_exception_is_kept_with_its_traceback(outside: Outside) -> None:
    (outside.folder / "main.py").write_text("import foundations\nraise ValueError('no \\udcff data')\n")
    done = outside.run("main.py")
    error = outside.end()["error"]
    assert error["type"] == "ValueError"
    assert "data" in error["message"]
    assert 'File "' in error["traceback"]
    assert "Traceback (most recent call last)" in done.stderr
    assert "Traceback (most recent call last)" in outside.log()


def test_a_hook_of_the_script_is_called_as_before(outside: Outside) -> None:
    text = "import sys\nsys.excepthook = lambda *it: print('mine')\nimport foundations\n1 / 0\n"
    (outside.folder / "main.py").write_text(text)
    assert outside.run("main.py").stdout == "mine\n"
    assert outside.end()["error"]["type"] == "ZeroDivisionError"


def how(end: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in end.items() if key in ("code", "signal")}


def unasked(outside: Outside, ending: str) -> subprocess.Popen[bytes]:
    """A script that nobody asks how it ended before its helper has written it down."""
    text = "import ctypes, os, resource, signal, threading\nimport foundations\nfoundations.log_metric('loss', 1)\n"
    (outside.folder / "main.py").write_text(text + ending)
    env = {**os.environ, **outside.variables}
    child = subprocess.Popen([sys.executable, "main.py"], cwd=outside.folder, env=env, stderr=subprocess.DEVNULL)
    eventually("it begins", lambda: outside.runs() or None)
    return child


@pytest.mark.parametrize(
    ("ending", "end"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", {"signal": signal.SIGKILL}),
        ("os.kill(os.getpid(), signal.SIGTERM)", {"signal": signal.SIGTERM}),
        ("resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); ctypes.string_at(0)", {"signal": signal.SIGSEGV}),
        ("threading.Thread(target=ctypes.string_at, args=(0,)).start(); signal.pause()", {"signal": signal.SIGSEGV}),
        ("os.abort()", {"signal": signal.SIGABRT}),
        ("ctypes.CDLL(None)._exit(7)", {"code": 7}),
        ("os.execv('/bin/sh', ['sh', '-c', 'exit 5'])", {"code": 5}),
    ],
)
def test_one_that_could_not_say_its_end_has_the_one_that_the_kernel_knows(
    outside: Outside, ending: str, end: dict[str, int]
) -> None:
    child = unasked(outside, ending)
    try:
        assert how(outside.end()) == end
        assert [it["value"] for it in outside.events()] == [1]
    finally:
        child.wait()


def test_only_linux_is_asked_for_a_descriptor_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    descriptor = _process.descriptor_of(os.getpid())
    assert descriptor >= 0
    os.close(descriptor)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _process.descriptor_of(os.getpid()) == -1


@pytest.mark.parametrize("is_old", [False, True])
def test_how_it_ended_is_known_later_where_the_kernel_keeps_it_and_never_guessed(
    outside: Outside, is_old: bool
) -> None:
    text = HELD + "print(helper, flush=True)\nos.kill(int(helper), signal.SIGSTOP)\nos.abort()\n"
    (outside.folder / "main.py").write_text(text)
    done = outside.run("main.py", *["old"][: int(is_old)])
    assert done.returncode == -signal.SIGABRT
    os.kill(int(done.stdout), signal.SIGCONT)
    release = tuple(int(it) for it in os.uname().release.split(".")[:2])
    assert how(outside.end()) == ({"signal": signal.SIGABRT} if release >= (6, 15) and not is_old else {})


def test_what_it_prints_is_kept_and_printed(outside: Outside) -> None:
    text = (
        "import logging, sys\n"
        "logging.basicConfig(stream=sys.stderr, format='%(message)s')\n"
        "import foundations\n"
        "print('text é'); sys.stdout.buffer.write(b'bytes\\n'); sys.stdout.flush()\n"
        "logging.warning('logged'); sys.stdout.writelines(['a\\n', 'b\\n'])\n"
    )
    for words in ([], ["-u"]):
        (outside.folder / "main.py").write_text(text, "utf-8")
        done = outside.run("-X", "utf8", *words, "main.py")
        assert done.stdout == "text é\nbytes\na\nb\n"
        assert done.stderr.startswith("logged\n")
        log = (outside.runs()[-1] / "log").read_text("utf-8")
        assert sorted(log.splitlines())[-5:] == ["a", "b", "bytes", "logged", "text é"]


def test_output_need_not_be_kept(outside: Outside) -> None:
    assert outside.script("import foundations\nprint('x')", ATLAS_CAPTURE="0").stdout == "x\n"
    assert not (outside.the_run() / "log").exists()


def test_a_terminal_stays_one(outside: Outside) -> None:
    text = (
        "import os, sys\n"
        "import foundations\n"
        "print(sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty(), os.get_terminal_size().columns > 0)\n"
        "print('hello ' + input('name? '))\n"
        "breakpoint()\n"
        "print('after')\n"
    )
    (outside.folder / "main.py").write_text(text)
    master, terminal = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "main.py"],
        cwd=outside.folder,
        env={**os.environ, **outside.variables, "TERM": "dumb"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    for wait_for, answer in ((b"name? ", b"ada\n"), (b"(Pdb) ", b"continue\n")):
        while wait_for not in shown:
            shown += os.read(master, 1000)
        os.write(master, answer)
    assert child.wait() == 0
    log = outside.log()
    assert log.startswith("True True True True\n")
    assert "hello ada\n" in log
    assert "\nafter\n" in log
    os.close(master)


def test_children_are_part_of_the_run_and_do_not_end_it(outside: Outside) -> None:
    (outside.folder / "child.py").write_text("import foundations\nfoundations.set_tag('child')\nprint('of child')\n")
    outside.script(
        "import subprocess, sys\n"
        "import foundations\n"
        "subprocess.run([sys.executable, 'child.py'], check=True)\n"
        "foundations.set_tag('parent')\n"
        "sys.exit(0)\n"
    )
    assert outside.end()["code"] == 0
    assert [it["key"] for it in outside.events()] == ["child", "parent"]
    assert outside.log().startswith("of child\n")


def test_the_ranks_of_one_launch_are_one_run(outside: Outside) -> None:
    (outside.folder / "rank.py").write_text("import foundations\nfoundations.log_metric('m', 1)\n")
    outside.script(
        "import os, subprocess, sys\n"
        "env = [{**os.environ, 'RANK': str(it)} for it in range(4)]\n"
        "ranks = [subprocess.Popen([sys.executable, 'rank.py'], env=it) for it in env]\n"
        "sys.exit(sum(it.wait() for it in ranks))\n"
    )
    outside.the_run()
    assert sorted(it.get("rank", 0) for it in outside.events("metric")) == [0, 1, 2, 3]


def test_a_script_that_waits_for_all_its_children_does_not_wait_for_ours(outside: Outside) -> None:
    done = outside.script("import os\nimport foundations\ntry: os.wait()\nexcept ChildProcessError: print('none')\n")
    assert done.stdout == "none\n"


def test_a_module_is_a_run_too(outside: Outside) -> None:
    (outside.folder / "pkg").mkdir()
    (outside.folder / "pkg" / "__init__.py").write_text("")
    (outside.folder / "pkg" / "train.py").write_text("import foundations\n")
    assert outside.run("-m", "pkg.train").returncode == 0
    assert outside.end()["code"] == 0


@pytest.mark.parametrize("variables", [{"ATLAS_TRACKING": "0"}, {"FOUNDATIONS_COMMAND_LINE": "True"}])
def test_it_can_be_switched_off(outside: Outside, variables: dict[str, str]) -> None:
    done = outside.script("import foundations\nfoundations.log_metric('m', 1)\n", **variables)
    assert done.stderr == ""
    assert outside.runs() == []


def test_where_nothing_can_be_kept_the_script_runs_and_is_told_once(outside: Outside) -> None:
    (outside.home / "runs").write_text("a file")
    text = "import foundations\nfoundations.log_metric('m', 1); foundations.set_tag('t')\nprint('trained')\n"
    done = outside.script(text)
    assert done.stdout == "trained\n"
    assert len(done.stderr.splitlines()) == 1
    assert "this run is not tracked" in done.stderr


COMMANDS = """
import foundations
before = len(__import__('os').listdir(HOME)) if __import__('os').path.exists(HOME) else 0
foundations.log_metric('loss', 1)
foundations.log_param('lr', 1)
foundations.end()
foundations.end()
foundations.start()
foundations.log_param('lr', 2)
print('before', before)
"""


def test_where_a_process_is_no_script_a_run_begins_with_the_first_call_and_ends_when_told(outside: Outside) -> None:
    text = COMMANDS.replace("HOME", repr(str(outside.home / "runs")))
    done = outside.run("-c", text)
    assert done.stdout == "before 0\n"
    first, second = outside.runs()
    for run, keys in ((first, [("loss", 1), ("lr", 1)]), (second, [("lr", 2)])):
        outside.spool = run / "spool" / "events"
        assert [(it["key"], it["value"]) for it in outside.events()] == keys
        assert outside.end_of(run)["code"] == 0


def test_in_a_job_start_and_end_change_nothing(job: Job) -> None:
    job.script(
        "import foundations\nfoundations.start(); foundations.set_tag('a')\nfoundations.end()\nfoundations.set_tag('b')"
    )
    assert [it["key"] for it in job.events()] == ["a", "b"]
    assert not job.home.exists()
