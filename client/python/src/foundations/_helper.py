"""The process that outlives a script outside of a job and keeps how it ended. Run by path, as `python -I -S _helper.py …`.

Arguments: the run's folder, the script's process id, its moment of birth, and the descriptor of the pipe that it holds open.
"""

from __future__ import annotations

import os
import sys
import time

_LOOK_MS = 1000
"""A process that was forked off behind Python's back may hold the pipe: the script itself is looked for, too."""


def main() -> None:
    """Waits for the end of the script, then writes it down."""
    import signal

    folder, process, birth, pipe = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    if os.getsid(0) != os.getpid():
        os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # of the terminal: meant for the script
    os.chdir("/")
    told = _wait(pipe, process, birth)
    end = _end(folder, told)
    import json

    part = os.path.join(folder, "end.part")
    with open(part, "w", encoding="utf-8") as file:
        json.dump(end, file)
    os.rename(part, os.path.join(folder, "end.json"))


def _wait(pipe: int, process: int, birth: str) -> bytes:
    """What the script said in the end, once it is gone."""
    import select

    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    told = b""
    while True:
        if not poll.poll(_LOOK_MS):
            if birth_of(process) != birth:
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
    except FileNotFoundError:
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


def _end(folder: str, told: bytes) -> dict[str, object]:
    """As the cluster takes it: a code, or a signal. By what a process was killed nobody says: most often by the kernel."""
    end: dict[str, object] = {"at": time.time_ns() // 1_000_000}
    error = _read(os.path.join(folder, "error.json"))
    if told:
        end["code"] = told[-1]
    else:
        end["signal"] = 2 if error.get("type") == "KeyboardInterrupt" else 9
    if error:
        end["error"] = error
    for name, path in (("log_bytes", "log"), ("spool_bytes", "spool/events")):
        try:
            end[name] = os.stat(os.path.join(folder, path)).st_size
        except OSError:
            end[name] = 0
    return end


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
