"""The process that outlives a script outside of a job: it keeps how the script ended and brings the run to the master.

Run by path, as `python -I -S _helper.py …`. Arguments: the run's folder, the script's process id, its moment of birth, and the
descriptor of the pipe that it holds open.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading

    from foundations._shipper import Shipper

_LOOK_MS = 1000
"""A process that was forked off behind Python's back may hold the pipe: the script itself is looked for, too."""
_AGAIN = 1.0
"""Seconds between two looks at what is new."""
_LONGEST_PAUSE = 30.0
"""Seconds between two attempts to reach a master that is away."""
_PATIENCE = 20.0
"""Seconds that are tried after the end of the script."""
_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL for a run that is to stop."""
LOCK = "lock"
"""The file that is locked by who brings a run to the master."""
NOTICE = "notice"
"""The file with what the script is to say for us."""


class Script:
    """The process that is watched."""

    def __init__(self, folder: str, process: int, birth: str) -> None:
        self.folder = folder
        self.process = process
        self.birth = birth
        self.is_stopped = False
        """It was told to stop, by us."""

    def is_there(self) -> bool:
        """Whether it has not ended."""
        return birth_of(self.process) == self.birth

    def tell(self, number: int) -> None:
        """Sends it a signal."""
        if self.is_there():
            self.is_stopped = True
            os.kill(self.process, number)


def main() -> None:
    """Waits for the end of the script and writes it down, while what is new goes to the master."""
    import signal
    import threading

    script, pipe = Script(sys.argv[1], int(sys.argv[2]), sys.argv[3]), int(sys.argv[4])
    if os.getsid(0) != os.getpid():
        os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # of the terminal: meant for the script
    os.nice(5)
    lock(script.folder)
    over = threading.Event()
    carrier = threading.Thread(target=carry, args=(script, over), name="carrier")
    carrier.start()
    told = _wait(pipe, script)
    write_end(script.folder, told, is_stopped=script.is_stopped)
    over.set()
    carrier.join()


def carry(script: Script, over: threading.Event) -> None:
    """Brings the run to the master until all of it is there, or it makes no sense to go on; `foundations sync` can later."""
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    os.environ["FOUNDATIONS_COMMAND_LINE"] = "True"  # we are no run
    from foundations._errors import AtlasError, Unreachable
    from foundations._shipper import Shipper

    shipper, pause, until = Shipper(script.folder), _AGAIN, None
    while True:
        was_over = over.is_set()
        try:
            if shipper.advance():
                return
            _note(script.folder, shipper.notice)
            pause = _AGAIN
            _stop_if_asked(shipper, script, over)
        except Unreachable as error:
            _note(script.folder, "%s. This run is kept in %s; `atlas sync` sends it" % (error, script.folder))
            shipper.keep()
            until = until or time.monotonic() + _PATIENCE if was_over else None
            if until is not None and time.monotonic() > until:
                return
            pause = min(2 * pause, _LONGEST_PAUSE)
        except (AtlasError, OSError) as error:
            _note(script.folder, "this run is not tracked: %s" % error)
            return
        if was_over:
            time.sleep(min(pause, _AGAIN))
        else:
            over.wait(pause)


def _stop_if_asked(shipper: Shipper, script: Script, over: threading.Event) -> None:
    import signal

    if shipper.is_to_stop and not script.is_stopped:
        script.tell(signal.SIGTERM)
        if not over.wait(_GRACE):
            script.tell(signal.SIGKILL)


def _note(folder: str, text: str) -> None:
    """For the script to say, which has a stderr; the first one counts, and an empty one means that all is well."""
    path = os.path.join(folder, NOTICE)
    if not os.path.exists(path):
        with open(path + ".part", "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        os.rename(path + ".part", path)


def lock(folder: str) -> bool:
    """Takes a run for this process as long as it lives. False = another process has it."""
    import fcntl

    fd = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return False
    return True


def _wait(pipe: int, script: Script) -> bytes:
    """What the script said in the end, once it is gone."""
    import select

    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    told = b""
    while True:
        if not poll.poll(_LOOK_MS):
            if not script.is_there():
                return told
            continue
        said = os.read(pipe, 64)
        told += said
        if not said and told:
            return told
        if not said:
            # Killed, or another program took the script's place: as long as the process is there it has not ended.
            poll.unregister(pipe)


def birth_of(process: int) -> str:
    """When a process began, in the kernel's words; empty = there is none. Numbers of processes are used again."""
    try:
        with open("/proc/%d/stat" % process, encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        if os.path.exists("/proc/self/stat"):
            return ""
        return "unknown" if _answers(process) else ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def _answers(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write_end(folder: str, told: bytes, is_stopped: bool = False, at: int | None = None) -> None:
    """Keeps how a run ended, as the cluster takes it: a code, or a signal. By what a process was killed nobody says: most often
    by the kernel.
    """
    import json

    end: dict[str, object] = {"at": at or time.time_ns() // 1_000_000, "stopped": is_stopped}
    error = _read(os.path.join(folder, "error.json"))
    if told:
        end["code"] = told[-1]
    else:
        end["signal"] = 2 if error.get("type") == "KeyboardInterrupt" else 15 if is_stopped else 9
    if error:
        end["error"] = error
    for name, path in (("log_bytes", "log"), ("spool_bytes", "spool/events")):
        try:
            end[name] = os.stat(os.path.join(folder, path)).st_size
        except OSError:
            end[name] = 0
    part = os.path.join(folder, "end.part")
    with open(part, "w", encoding="utf-8") as file:
        json.dump(end, file)
    os.rename(part, os.path.join(folder, "end.json"))


def _read(path: str) -> dict[str, object]:
    import json

    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


if __name__ == "__main__":
    main()
