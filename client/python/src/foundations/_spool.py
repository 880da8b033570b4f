"""The file that a run's events go to: one line of JSON each. Who reads it, and when, is no concern of the script.

Each call is one write(2) to a file opened O_APPEND: the kernel puts lines of threads, forks, spawned processes and ranks
behind one another without a lock, and what was written is there whatever happens to the process afterwards.
"""

from __future__ import annotations

import errno
import os
import time

from foundations import _say

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)


class Spool:
    """Opened by the first write; a process that is forked off shares the file and opens none of its own."""

    __slots__ = ("_fd", "_identity", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._identity = (0, 0)

    @property
    def files(self) -> str:
        """The folder for copies of artifacts."""
        return os.path.join(os.path.dirname(self.path), "files")

    def write(self, lines: str) -> None:
        """Appends whole lines. A disk that is full must not end a training: that they are lost is said once, on stderr."""
        try:
            data = lines.encode()
        except UnicodeEncodeError:  # halves of characters, from file names that are no text
            data = lines.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()
        try:
            self._append(data)
        except OSError as error:
            text = "could not write to %s (%s): what this script logs meanwhile is lost"
            _say.warn_once("spool", text % (self.path, error))

    def close(self) -> None:
        """Lets go of the file; a later write opens it again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _append(self, data: bytes) -> None:
        written = os.write(self._opened(), data)
        while written < len(data):
            # Somebody else's lines may follow the torn one by now, so that it has to be said again.
            begun = data.rfind(b"\n", 0, written) + 1
            data = b"\n" + data[begun:] if begun < written else data[begun:]
            written = os.write(self._opened(), data)

    def _opened(self) -> int:
        # Programs that become daemons close every descriptor, and the number may be another file's by now.
        if self._fd >= 0:
            try:
                if _identity(self._fd) == self._identity:
                    return self._fd
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise
        self._fd = os.open(self.path, _FLAGS, 0o666)
        self._identity = _identity(self._fd)
        return self._fd


def _identity(fd: int) -> tuple[int, int]:
    stat = os.fstat(fd)
    return stat.st_ino, stat.st_dev


def now() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000
