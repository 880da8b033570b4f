"""Keeps what a script prints, without coming between it and its terminal.

The streams stay the objects that they are, with their descriptors: isatty, input, pdb, progress bars and loggers that hold
one of them already see no difference. Only what leaves Python for a descriptor is written to the log as well.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_fd = -1


def begin(path: str) -> None:
    """From now on the log is at `path`; children that join the run add to the same one."""
    global _fd
    is_first = _fd < 0
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    if is_first:
        _fd = log
        for stream in (sys.stdout, sys.stderr):
            _tap(stream)
    else:
        os.dup2(log, _fd, inheritable=False)
        os.close(log)


def end() -> None:
    """From now on nothing is kept. The descriptor stays taken: the streams go on writing to it."""
    if _fd >= 0:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "flush"):
                stream.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _fd, inheritable=False)
        os.close(nowhere)


def _tap(stream: Any) -> None:
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        return  # of a notebook or a test runner, which keep the output themselves
    write = buffer.write

    def write_and_keep(data: Any) -> Any:
        written = write(data)
        try:
            os.write(_fd, data)
        except OSError:
            pass  # the disk is full: what the script prints is still seen
        return written

    try:
        buffer.write = write_and_keep
    except AttributeError:
        pass  # a stream of somebody else's making
