"""The run that this process is part of."""

from __future__ import annotations

import os

from foundations._spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_spool: Spool | None = None
_of_one_run: list[Callable[[], None]] = []


def spool() -> Spool | None:
    """Where its events go. `None` = it is not tracked, which was said once unless it was asked for."""
    global _spool
    if _spool is None and is_wanted():
        path = os.environ.get("ATLAS_SPOOL")
        if path:
            _spool = Spool(path)
        else:
            _begin_outside()
    return _spool


def _begin_outside() -> None:
    global _spool
    from foundations import _facts, _outside

    path = _outside.begin()
    if path:
        _spool = Spool(path)
        _facts.tell()


def of_one_run(forget: Callable[[], None]) -> None:
    """Registers what is to be forgotten when a run ends before its process does."""
    _of_one_run.append(forget)


def forget() -> None:
    """The run is over: what is logged next is another one's."""
    global _spool
    for it in _of_one_run:
        it()
    if _spool is not None:
        _spool.close()
    _spool = None


def is_wanted() -> bool:
    """False = whoever started this asked for no tracking: ATLAS_TRACKING=0, or FOUNDATIONS_COMMAND_LINE=True as in 2020."""
    off = os.environ.get("ATLAS_TRACKING") == "0"
    return not off and os.environ.get("FOUNDATIONS_COMMAND_LINE", "").lower() not in ("true", "1")


def is_job() -> bool:
    """True = the scheduler started it, and holds what was said at its submission."""
    return bool(os.environ.get("ATLAS_SPOOL") and os.environ.get("ATLAS_ATTEMPT"))
