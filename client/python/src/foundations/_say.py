"""Messages for people. They go to stderr, so that a script's stdout stays its own."""

from __future__ import annotations

import sys

_said: set[str] = set()


def notice(text: str) -> None:
    """Says what somebody may want to know."""
    _line("INFO", text)


def warn(text: str) -> None:
    """Says what somebody should know."""
    _line("WARNING", text)


def warn_once(about: str, text: str) -> None:
    """Warns, but not again about the same thing in this process."""
    if about not in _said:
        _said.add(about)
        warn(text)


def _line(level: str, text: str) -> None:
    try:
        sys.stderr.write("Foundations %s: %s\n" % (level, text))
    except (AttributeError, OSError, ValueError):
        pass  # There is no stderr, or it is closed: nobody is there to read it.
