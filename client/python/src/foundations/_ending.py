"""How the process ends, told at the last moment to somebody who outlives it.

A script can end in ways that no Python code sees: `raise SystemExit(3)` calls no hook. The C library knows the exit status: the
handlers of on_exit(3) get it, and fputc(3) is one that writes it, as one byte, into the pipe to the helper. A pipe that closes
without it means that the process was killed. Where the C library has no on_exit (macOS, musl), what `sys.exit` was told counts.
"""

from __future__ import annotations

import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, NoReturn

_HIGH = 200
"""Programs that close descriptors and open others take the lowest numbers: none of theirs gets this one's."""
_MOST = 16 * 1024
"""Bytes of a traceback."""

_error_path = ""
_code = 0


class _Place:
    """A descriptor that keeps its number as long as the process lives."""

    def __init__(self) -> None:
        self.fd = -1

    def take(self, fd: int) -> None:
        """Takes over what `fd` is."""
        if self.fd < 0:
            import fcntl

            self.fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
        else:
            os.dup2(fd, self.fd, inheritable=False)
        os.close(fd)


_pipe = _Place()
"""Where the end is told; the C library knows the number. After a fork, and after the end of a run, it leads nowhere."""
_other_end = _Place()
"""Held so that telling somebody who is gone is no error, and no signal that ends the script."""


def tell(pipe: int, other_end: int, error_path: str) -> None:
    """From now on the end of this process is told to `pipe`. This takes over both; an exception is written to `error_path`."""
    global _error_path
    is_first = _pipe.fd < 0
    _pipe.take(pipe)
    _other_end.take(other_end)
    _error_path = error_path
    if is_first:
        _watch()


def tell_now(code: int) -> None:
    """The run is over, though the process goes on."""
    os.write(_pipe.fd, bytes([code]))
    _let_go()


def _let_go() -> None:
    """What this process tells from now on goes nowhere: it is a fork, or the run is over."""
    global _error_path
    _error_path = ""
    _pipe.take(os.open(os.devnull, os.O_WRONLY))


def _watch() -> None:
    os.register_at_fork(after_in_child=_let_go)
    before = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        _note(kind, error, trace)
        before(kind, error, trace)

    leave = sys.exit

    def exit_(status: Any = None) -> NoReturn:
        global _code
        _code = status & 0xFF if isinstance(status, int) else 0 if status is None else 1
        leave(status)

    leave_at_once = os._exit

    def exit_at_once(status: int) -> NoReturn:
        os.write(_pipe.fd, bytes([status & 0xFF]))
        leave_at_once(status)

    sys.excepthook, sys.exit, os._exit = excepthook, exit_, exit_at_once
    atexit.register(_leave)


def _leave() -> None:
    """Python is about to end; only here, so that importing the module does not take as long as importing ctypes does."""
    if not _ask_c_library():
        os.write(_pipe.fd, bytes([_code]))


def _ask_c_library() -> bool:
    try:
        import ctypes

        c = ctypes.CDLL(None)
        on_exit, fdopen, fputc = c.on_exit, c.fdopen, c.fputc
    except (ImportError, OSError, AttributeError):
        return False
    fdopen.argtypes, fdopen.restype = [ctypes.c_int, ctypes.c_char_p], ctypes.c_void_p
    on_exit.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    stream = fdopen(_pipe.fd, b"w")
    return stream is not None and on_exit(ctypes.cast(fputc, ctypes.c_void_p), stream) == 0


def _note(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Keeps why the script ended. It must not add an error to that one."""
    global _code
    _code = 1
    if not _error_path:
        return
    try:
        import json
        import traceback

        said = "".join(traceback.format_exception(kind, error, trace))
        what = {"type": kind.__name__, "message": str(error)[:_MOST], "traceback": said[-_MOST:]}
        with open(_error_path, "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(what, file)
    except Exception:
        return
