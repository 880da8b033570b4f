"""What a job writes, as it comes. A stream that breaks goes on at the byte where it was."""

from __future__ import annotations

import http.client
import socket
import time
from typing import Any, Iterator

from foundations._errors import Refused, Unreachable
from foundations._http import BRIEF, LONG, Master, Patience

_PIECE = 64 << 10
_SILENCE = 60.0
"""Seconds without a byte, after which the question is asked anew: the connection may be dead."""
_PAUSE = 0.2
"""Seconds between two questions where an answer ended at once."""


def whole(master: Master, job: str) -> bytes:
    """What the last attempt wrote so far; nothing where none has begun."""
    reader = _Reader(master, job, Patience(BRIEF))
    reader.attempt = reader.look()[0]
    return b"".join(reader.read(False)) if reader.attempt else b""


def follow(master: Master, job: str) -> Iterator[bytes]:
    """Waits for the job to begin, and ends with it. Of a job that is tried again meanwhile: one attempt after the other."""
    reader = _Reader(master, job, Patience(LONG))
    is_last_look = False
    while True:
        last, has_ended = reader.look()
        if last > reader.attempt:
            reader.attempt, reader.offset = reader.attempt + 1 if reader.attempt else last, 0
        elif is_last_look or (has_ended and not last):
            return
        # Once more behind the end: whatever cut the stream, all of the log was read then.
        is_last_look = has_ended and last == reader.attempt
        before = time.monotonic()
        if reader.attempt:
            yield from reader.read(True)
        else:
            reader.wait_for_the_first_attempt()
        if time.monotonic() - before < _PAUSE and not is_last_look:
            time.sleep(_PAUSE)


class _Reader:
    """Where in a job's log somebody is who reads it."""

    def __init__(self, master: Master, job: str, patience: Patience) -> None:
        self.attempt = 0
        self.offset = 0
        self._master = master
        self._job = job
        self._patience = patience

    def look(self) -> tuple[int, bool]:
        """The last attempt, from 1 on, and whether the job has ended with it."""
        found = self._master.ask("GET", "/jobs/" + self._job, patience=self._patience)
        return int(found["attempt"]), found["ended_ms"] is not None

    def read(self, follow: bool) -> Iterator[bytes]:
        """From the offset to the end of the attempt, or, without `follow`, to what there is of it."""
        while True:
            try:
                for piece in self._stream(follow, self.attempt):
                    self.offset += len(piece)
                    yield piece
                return
            except socket.timeout:
                pass  # Nothing was written for a while, or the connection is dead: a new one goes on.
            except (OSError, http.client.HTTPException) as error:
                self._patience.wait(self._master.unreachable(error))
            except Unreachable as error:
                self._patience.wait(error)
            except Refused as error:
                if error.code == "no_log_yet" and not follow:
                    return
                raise

    def wait_for_the_first_attempt(self) -> None:
        """Returns when there is something to read, or nothing will come, or after a while."""
        try:
            next(self._stream(True, None), None)
        except socket.timeout:
            pass
        except (OSError, http.client.HTTPException) as error:
            self._patience.wait(self._master.unreachable(error))
        except Unreachable as error:
            self._patience.wait(error)

    def _stream(self, follow: bool, attempt: int | None) -> Iterator[bytes]:
        query: dict[str, Any] = {
            "attempt": attempt,
            "follow": "true" if follow else None,
            "offset": self.offset or None,
        }
        path = "/jobs/%s/log" % self._job
        with self._master.open("GET", path, within=_SILENCE, **query) as response:
            length, came = response.getheader("content-length"), 0
            while True:
                piece = response.read1(_PIECE)
                if not piece:
                    break
                self._patience.recovered()
                came += len(piece)
                yield piece
            if length is not None and came < int(length):
                raise http.client.IncompleteRead(b"")
