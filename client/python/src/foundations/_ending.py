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

_fd = -1
"""The pipe, or nowhere; the same number as long as the process lives, for the C library knows it."""
_error_path = ""
_code = 0


def tell(pipe: int, error_path: str) -> None:
    """From now on the end of this process is told to `pipe`, which this takes over; an exception is written to `error_path`."""
    global _error_path
    is_first = _fd < 0
    _point_to(pipe)
    _error_path = error_path
    if is_first:
        _watch()


def tell_now(code: int) -> None:
    """The run is over, though the process goes on."""
    os.write(_fd, bytes([code]))
    _let_go()


def _point_to(pipe: int) -> None:
    global _fd
    if _fd < 0:
        import fcntl

        _fd = fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    else:
        os.dup2(pipe, _fd, inheritable=False)
    os.close(pipe)


def _let_go() -> None:
    """What this process tells from now on goes nowhere: it is a fork, or the run is over."""
    global _error_path
    if _fd >= 0:
        _error_path = ""
        _point_to(os.open(os.devnull, os.O_WRONLY))


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

    sys.excepthook, sys.exit = excepthook, exit_
    atexit.register(_leave)


def _leave() -> None:
    """Python is about to end; only here, so that importing the module does not take as long as importing ctypes does."""
    if not _ask_c_library():
        os.write(_fd, bytes([_code]))


def _ask_c_library() -> bool:
    try:
        import ctypes

        c = ctypes.CDLL(None)
        on_exit, fdopen, fputc = c.on_exit, c.fdopen, c.fputc
    except (ImportError, OSError, AttributeError):
        return False
    fdopen.argtypes, fdopen.restype = [ctypes.c_int, ctypes.c_char_p], ctypes.c_void_p
    on_exit.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    stream = fdopen(_fd, b"w")
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
