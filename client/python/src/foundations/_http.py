"""Requests to one master. Each is a connection of its own, so that threads share nothing, and asks no proxy."""

from __future__ import annotations

import getpass
import http.client
import json
import os
import time
from typing import Any, Dict
from urllib.parse import urlencode

from foundations import _config, _say
from foundations._errors import AtlasError, Refused, Unreachable
from foundations._version import __version__

Json = Dict[str, Any]

_CONNECT = 5.0
_DEADLINE = 30.0
"""Seconds that no answer takes longer, unless the request says so."""
BRIEF, LONG = 30.0, 15 * 60.0
"""Seconds that a master may be away: for who asks once, and for who follows a job or sends a bundle."""
_PASSING = (502, 503, 504)
"""The same request may have another answer in a moment."""
_LARGEST, _PIECE = 256 << 20, 64 << 10
"""Bytes of an answer, and of a part of it; what is longer comes from no master."""


class Master:
    """A master of our version. A cheap handle, for any thread."""

    def __init__(self, config: _config.Config) -> None:
        self._config = config
        self._headers = {"x-atlas-user": _login_name(), "accept": "application/json", "connection": "close"}
        # No page in a browser can send such a header, so the master does not ask by which name it was reached.
        self._headers["sec-atlas-client"] = "python"
        if config.token is not None:
            self._headers["authorization"] = "Bearer " + config.token

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._config.url

    def ask(
        self,
        method: str,
        path: str,
        body: Json | bytes | None = None,
        within: float = _DEADLINE,
        patience: Patience | None = None,
        **query: object,
    ) -> Json:
        """An answer, also if the master is away for a moment: for requests that may come twice."""
        patience = patience or Patience(BRIEF)
        while True:
            try:
                found = self.ask_once(method, path, body, within, **query)
            except Unreachable as error:
                patience.wait(error)
            else:
                patience.recovered()
                return found

    def ask_once(
        self, method: str, path: str, body: Json | bytes | None = None, within: float = _DEADLINE, **query: object
    ) -> Json:
        """An answer within so many seconds. Raises Unreachable where the same may have another answer later, else Refused."""
        with self.open(method, path, body, within, **query) as response:
            try:
                text = _body(response)
            except (OSError, http.client.HTTPException) as error:
                raise self.unreachable(error, within) from error
        found = _parsed(text)
        if found is None:
            raise self._stranger("its answer is no JSON object")
        return found

    def open(
        self, method: str, path: str, body: Json | bytes | None = None, within: float = _DEADLINE, **query: object
    ) -> http.client.HTTPResponse:
        """An answer that has begun and is no refusal; `within` bounds each wait for more of it."""
        headers = dict(self._headers)
        if body is not None:
            headers["content-type"] = "application/" + ("octet-stream" if isinstance(body, bytes) else "json")
        if isinstance(body, dict):
            body = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        asked = urlencode({key: value for key, value in query.items() if value is not None})
        target = "/api/v1%s%s" % (path, "?" + asked if asked else "")
        connection = http.client.HTTPConnection(self._config.host, self._config.port, timeout=_CONNECT)
        try:
            connection.connect()
            connection.sock.settimeout(within)
            connection.request(method, target, body, headers)
            response = connection.getresponse()  # it keeps the socket, and closes it
            # Cut within its head, which http.client takes for the end of it: who answers us closes, and says so.
            if (not response.chunked and response.length is None) or not response.will_close:
                raise http.client.IncompleteRead(b"")
            if response.status < 300:
                return response
            with response:
                raise self._refusal(response.status, _body(response))
        except (OSError, http.client.HTTPException) as error:
            raise self.unreachable(error, within) from error
        finally:
            connection.close()

    def unreachable(self, error: Exception, within: float = _DEADLINE) -> Unreachable:
        """What it means that a connection failed."""
        if isinstance(error, TimeoutError) or type(error).__name__ == "timeout":  # another class before 3.10
            return Unreachable("the master at %s did not answer within %d s" % (self._config.url, within))
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Unreachable(
            "no Atlas master answers at %s (%s): start one on this machine with `atlas up`, or name another with config=... "
            "(`atlas info --env` lists them)" % (self._config.url, why)
        )

    def _refusal(self, status: int, body: bytes) -> AtlasError:
        said = _parsed(body) or {}
        if status in _PASSING:
            # The node of a job, which says this while the master is away, knows no codes.
            why = said.get("detail") or "status %d" % status
            return Unreachable("the master at %s could not do it: %s" % (self._config.url, why))
        return refused(said, status) or self._stranger("it answers with status %d and no reason" % status)

    def _stranger(self, why: str) -> AtlasError:
        return AtlasError("what answers at %s is no Atlas master: %s" % (self._config.url, why))


def refused(said: Json, status: int) -> Refused | None:
    """The exception for a problem, which stands alone or in the answer to a batch; `None` = it is none."""
    code, detail, field = said.get("code"), said.get("detail"), said.get("field")
    if not isinstance(code, str) or not isinstance(detail, str):
        return None
    secrets = tuple(str(it) for it in said.get("secrets") or ())
    return Refused(detail, code, status, field if isinstance(field, str) else None, secrets)


class Patience:
    """A master that is away for a moment: restarts are everyday, and no job minds them."""

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._pause = _FIRST_PAUSE
        self._since: float | None = None

    def wait(self, error: Unreachable) -> None:
        """Returns when it is time to try again; raises the error when it has not passed for too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            _say.warn("The master does not answer; trying again. Jobs go on meanwhile.")
        if now - self._since > self._bound:
            raise error
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def recovered(self) -> None:
        """There was an answer."""
        if self._since is not None:
            self._since, self._pause = None, _FIRST_PAUSE
            _say.notice("The master answers again.")


_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0

_understood: set[_config.Config] = set()
"""Masters that said that they are of our version: asked once, and from then on waited for when they are away."""


def connect(name: str | None) -> Master:
    """The master of the configuration of that name. Raises Unreachable where nobody answers."""
    config = _config.find(name)
    master = Master(config)
    if config not in _understood:
        theirs = master.ask_once("GET", "/version").get("version")
        if _significant(str(theirs)) != _significant(__version__):
            what = "the master at %s is of version %s, which does not understand this `foundations` (%s): install the same one"
            raise AtlasError(what % (config.url, theirs, __version__))
        _understood.add(config)
    return master


def _significant(version: str) -> str:
    """Versions understand each other within a major one, before 1.0 within a minor one."""
    parts = version.split(".")
    return ".".join(parts[: 2 if parts[0] == "0" else 1])


def _body(response: http.client.HTTPResponse) -> bytes:
    """All of it, or nothing where it is too long. Piece by piece: before 3.10 `read` sets aside as much as it may return."""
    pieces: list[bytes] = []
    size = 0
    while size <= _LARGEST:
        piece = response.read(_PIECE)
        if not piece:
            if size < int(response.getheader("content-length") or 0):
                raise http.client.IncompleteRead(b"")
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
    return b""


def _parsed(text: bytes) -> Json | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _login_name() -> str:
    """Printable ASCII; a uid without a name is `uid-1000`."""
    name = os.environ.get("LOGNAME") or os.environ.get("USER")
    if not name:
        try:
            name = getpass.getuser()
        except (KeyError, ImportError, OSError):
            name = "uid-%d" % os.getuid()
    return "".join(it if "!" <= it <= "~" else "_" for it in name[:64])
