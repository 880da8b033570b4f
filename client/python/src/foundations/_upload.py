"""A bundle on its way to the master: in pieces, and again from where it was when the connection broke."""

from __future__ import annotations

import os
import uuid
from typing import IO, TYPE_CHECKING

from foundations._errors import Refused, Unreachable
from foundations._http import LONG, Master, Patience

if TYPE_CHECKING:
    from foundations._bundle import Bundle

_PIECE = 8 << 20
_PIECE_WITHIN = 120.0
_FINISH_WITHIN = 3600.0
"""Seconds: the master reads all of it."""


def upload(master: Master, file: IO[bytes], bundle: Bundle) -> None:
    """Sends a packed bundle unless the master knows it by then."""
    path = "/bundles/%s/uploads/%s" % (bundle.id, uuid.uuid4())
    size = file.seek(0, os.SEEK_END)
    patience = Patience(LONG)
    furthest = -1
    while True:
        try:
            begun = master.ask_once("POST", path, bytes=size)
            if begun.get("known") is True:
                return
            offset = int(begun["offset"])
            # As long as some of it arrives each time, it goes on.
            if offset > furthest:
                furthest = offset
                patience.recovered()
            while offset < size:
                file.seek(offset)
                piece = master.ask_once("PATCH", path, file.read(_PIECE), _PIECE_WITHIN, offset=offset)
                offset = int(piece["offset"])
            master.ask_once("POST", path + "/finish", within=_FINISH_WITHIN)
            return
        except Unreachable as error:
            patience.wait(error)
        except Refused as refused:
            # What was sent over a connection that broke may still have been on its way.
            if refused.code != "wrong_offset":
                raise
            patience.wait(Unreachable(str(refused)))
