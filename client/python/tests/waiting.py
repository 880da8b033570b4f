"""Waiting for what takes a moment."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

T = TypeVar("T")


def eventually(what: str, look: Callable[[], T | None]) -> T:
    """What `look` finds as soon as it finds something. The only place of these tests that waits."""
    until = time.monotonic() + 30
    while True:
        found = look()
        if found is not None:
            return found
        assert time.monotonic() < until, "not within 30 s: %s" % what
        time.sleep(0.01)
