"""The process that outlives a script outside of a job: it keeps how the script ended and brings the run to the master.

Run by path, as `python -I -S _helper.py …`. Arguments: the run's folder, the script's process id, its moment of birth, and the
descriptors of the pipe that it holds open and of the script itself.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading

    from foundations._process import Process
    from foundations._shipper import Shipper

_LOOK_MS = 1000
"""A process that was forked off behind Python's back may hold the pipe: the script itself is looked for, too, where the kernel
does not wake us when it ends.
"""
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

    def __init__(self, folder: str, process: Process) -> None:
        self.folder = folder
        self.process = process
        self.is_stopped = False
        """It was told to stop, by us."""

    def tell(self, number: int) -> None:
        """Sends it a signal."""
        if self.process.is_there():
            self.is_stopped = True
            os.kill(self.process.number, number)


def main() -> None:
    """Waits for the end of the script and writes it down, while what is new goes to the master."""
    import signal
    import threading

    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    os.environ["FOUNDATIONS_COMMAND_LINE"] = "True"  # we are no run
    from foundations._process import Process

    folder, process, birth, pipe, descriptor = sys.argv[1:]
    script = Script(folder, Process(int(process), birth, int(descriptor)))
    if os.getsid(0) != os.getpid():
        os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # of the terminal: meant for the script
    os.nice(5)
    lock(script.folder)
    over = threading.Event()
    carrier = threading.Thread(target=carry, args=(script, over), name="carrier")
    carrier.start()
    ending = _wait(int(pipe), script.process)
    write_end(script.folder, ending, is_stopped=script.is_stopped)
    over.set()
    carrier.join()


def carry(script: Script, over: threading.Event) -> None:
    """Brings the run to the master until all of it is there, or it makes no sense to go on; `foundations sync` can later."""
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


def _wait(pipe: int, process: Process) -> dict[str, int]:
    """How the script ended, once it is gone or has said it."""
    import select

    os.set_blocking(pipe, False)
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if process.descriptor >= 0:
        poll.register(process.descriptor, select.POLLIN)
    is_open = True
    told = b""
    while True:
        poll.poll(_LOOK_MS)
        is_there = process.is_there()  # before its last word is read: of one that is gone nothing comes afterwards
        said = _said(pipe) if is_open else None
        told += said or b""
        if said == b"" and not told:
            # Killed, or another program took the script's place: as long as the process is there it has not ended.
            poll.unregister(pipe)
            is_open = False
        if told and (said == b"" or not is_there):
            return {"code": told[-1]}
        if not is_there:
            status = process.status()
            return {} if status is None else meaning(status)


def _said(pipe: int) -> bytes | None:
    """What is there to be read; `None` = nothing yet, and empty = nothing any more."""
    try:
        return os.read(pipe, 64)
    except BlockingIOError:
        return None


def meaning(status: int) -> dict[str, int]:
    """Of what wait(2) tells: a code, or a signal, whether or not it left a core dump."""
    signal = status & 0x7F
    return {"signal": signal} if signal else {"code": status >> 8 & 0xFF}


def write_end(folder: str, ending: dict[str, int], is_stopped: bool = False, at: int | None = None) -> None:
    """Keeps how a run ended, as the cluster takes it: a code, or a signal, or neither where nobody knows."""
    import json

    end: dict[str, object] = {"at": at or time.time_ns() // 1_000_000, "stopped": is_stopped, **ending}
    error = _read(os.path.join(folder, "error.json"))
    if error.get("type") == "KeyboardInterrupt" and not ending:
        end["signal"] = 2  # Python ends itself by it then
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
