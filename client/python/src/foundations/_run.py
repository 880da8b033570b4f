"""The run that this process is part of."""

from __future__ import annotations

import os

from foundations import _say
from foundations._spool import Spool

_spool: Spool | None = None


def spool() -> Spool | None:
    """Where its events go. `None` = it is not tracked, which was said once unless it was asked for."""
    global _spool
    if _spool is None:
        path = os.environ.get("ATLAS_SPOOL")
        if path and is_wanted():
            _spool = Spool(path)
        elif is_wanted():
            text = "this script does not run as a job of Atlas: what it logs is not tracked"
            _say.warn_once("not tracked", text)
    return _spool


def is_wanted() -> bool:
    """False = whoever started this asked for no tracking: ATLAS_TRACKING=0, or FOUNDATIONS_COMMAND_LINE=True as in 2020."""
    off = os.environ.get("ATLAS_TRACKING") == "0"
    return not off and os.environ.get("FOUNDATIONS_COMMAND_LINE", "").lower() not in ("true", "1")


def is_job() -> bool:
    """True = the scheduler started it, and holds what was said at its submission."""
    return bool(os.environ.get("ATLAS_SPOOL") and os.environ.get("ATLAS_ATTEMPT"))
