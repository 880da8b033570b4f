"""Runs outside of the cluster: `python main.py` on one's own machine. What they log lies in a folder of their own."""

from __future__ import annotations

import atexit
import os
import sys
import time

from foundations import _capture, _ending, _helper, _json, _process, _rank, _run, _say, _spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDER = "ATLAS_RUN_DIR"
"""The variable by which children join the run of their parent."""

_begun: str | None = None
"""The folder of the run that this process began."""
_given_up = False
_WAIT = 0.5
"""Seconds from its beginning that a script which ends sooner waits for what there is to say about its master."""


def start() -> None:
    """Begins a run, where importing the module did not: in notebooks, interpreters and tests. Elsewhere it changes nothing."""
    _run.spool()


def end() -> None:
    """Ends the run that this process began, as completed; what is logged afterwards is a new one. In a job it changes nothing."""
    global _begun
    if _begun is None:
        return
    _begun = None
    _run.forget()
    _capture.end()
    _ending.tell_now(0)
    for name in (FOLDER, "ATLAS_SPOOL", "ATLAS_JOB_ID", "FOUNDATIONS_JOB_ID"):
        os.environ.pop(name, None)


def join() -> None:
    """Makes this process part of the run that its parent began: what it prints is part of the log."""
    folder = os.environ.get(FOLDER)
    if folder:
        _keep_output(folder)


def begin() -> str | None:
    """Begins a run and returns the path of its spool. `None` = there is nowhere to keep it, which was said."""
    global _begun, _given_up
    if _given_up:
        return None
    if os.name == "nt":
        _given_up = True
        _say.warn("this run is not tracked: that needs Linux or macOS; jobs that are submitted are tracked")
        return None
    try:
        run = _id()
        folder = os.path.join(home(), run)
        is_ours = _make(folder)
        _keep_output(folder)
        if is_ours:
            _describe(run, folder)
            _start_helper(folder)
            _begun = folder
            atexit.register(_say_for_helper, folder, time.monotonic() + _WAIT)
    except OSError as error:
        _given_up = True
        _say.warn("this run is not tracked: %s" % error)
        return None
    os.environ[FOLDER] = folder
    os.environ["ATLAS_JOB_ID"] = os.environ["FOUNDATIONS_JOB_ID"] = os.path.basename(folder)
    os.environ["ATLAS_SPOOL"] = os.path.join(folder, "spool", "events")
    return os.environ["ATLAS_SPOOL"]


def is_script() -> bool:
    """Whether this process runs a script from its beginning to its end, so that importing the module begins a run."""
    if "pytest" in sys.modules or "ipykernel" in sys.modules or "IPython" in sys.modules or hasattr(sys, "ps1"):
        return False
    first = sys.argv[0] if getattr(sys, "argv", None) else ""
    return first not in ("", "-c")


def home() -> str:
    """The folder of all runs of this user on this machine."""
    base = os.environ.get("ATLAS_HOME") or os.path.join(os.path.expanduser("~"), ".atlas")
    return os.path.join(base, "runs")


def _make(folder: str) -> bool:
    """False = another rank of the same launch was the first."""
    os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
    try:
        os.mkdir(folder, 0o700)
        is_ours = True
    except FileExistsError:
        is_ours = False
    os.makedirs(os.path.join(folder, "spool"), exist_ok=True)
    return is_ours


def _describe(run: str, folder: str) -> None:
    directory = os.getcwd()
    project = (
        os.environ.get("FOUNDATIONS_PROJECT_NAME") or os.environ.get("PROJECT_NAME") or os.path.basename(directory)
    )
    facts: dict[str, Any] = {
        "id": run,
        "project": project or "default",
        "user": os.environ.get("FOUNDATIONS_USER") or _user(),
        "directory": directory,
        "command": list(sys.argv),
        "config": os.environ.get("ATLAS_CONFIG"),
        "process": os.getpid(),
        "birth": _process.birth_of(os.getpid()),
        "at": _spool.now(),
    }
    text = _json.encode(facts).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    with open(os.path.join(folder, "run.json"), "w", encoding="utf-8") as file:
        file.write(text)


def _id() -> str:
    """A random UUID. The ranks of one launch on one machine have the same, for they have the same parent."""
    if _rank.is_launched():
        import hashlib

        parent = os.getppid()
        restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "")
        words = (os.uname().nodename, parent, _process.birth_of(parent), restart)
        it = bytearray(hashlib.sha256(repr(words).encode()).digest()[:16])
    else:
        it = bytearray(os.urandom(16))
    it[6], it[8] = it[6] & 0x0F | 0x40, it[8] & 0x3F | 0x80  # version 4
    text = it.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _user() -> str:
    for name in ("LOGNAME", "USER", "USERNAME"):
        if os.environ.get(name):
            return os.environ[name]
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return str(os.getuid())


def _say_for_helper(folder: str, until: float) -> None:
    """What the process that brings the run to the master has to say: it has no stderr of its own, which would keep pipes open."""
    path = os.path.join(folder, _helper.NOTICE)
    while not os.path.exists(path) and time.monotonic() < until:
        time.sleep(0.01)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return
    if text:
        _say.warn(text)


def _keep_output(folder: str) -> None:
    if os.environ.get("ATLAS_CAPTURE") != "0":
        _capture.begin(os.path.join(folder, "log"))


def _start_helper(folder: str) -> None:
    """By a shell, which ends at once: a script that waits for all of its children must not wait for this one."""
    theirs, ours = os.pipe()
    # Asked for here: a script that ends at once is gone before its helper could.
    us = _process.descriptor_of(os.getpid())
    lent = (theirs, us) if us >= 0 else (theirs,)
    try:
        for it in lent:
            os.set_inheritable(it, True)
        birth = _process.birth_of(os.getpid())
        words = [
            sys.executable,
            "-I",
            "-S",
            str(_helper.__file__),
            folder,
            str(os.getpid()),
            birth,
            str(theirs),
            str(us),
        ]
        script = '"$@" </dev/null >/dev/null 2>&1 &'
        child = os.posix_spawn("/bin/sh", ["sh", "-c", script, "sh", *words], _environment(), setpgroup=0)
        os.waitpid(child, 0)
        os.set_inheritable(theirs, False)
    except OSError:
        os.close(ours)
        os.close(theirs)
        raise
    finally:
        if us >= 0:
            os.close(us)
    _ending.tell(ours, theirs, os.path.join(folder, "error.json"))


def _environment() -> dict[str, str]:
    """Without what changes how a Python starts; the run is the user's whom the script names."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env["LOGNAME"] = os.environ.get("FOUNDATIONS_USER") or _user()
    return env
