"""What is beyond a limit ends no training. It is said once for each key, and counted on the run."""

from __future__ import annotations

import atexit
import os

from foundations import _json, _limits, _run, _say, _spool

_MOST = 50
"""Of so many keys is said what was refused; of further ones only how often."""


class _Count:
    __slots__ = ("since", "told", "why")

    def __init__(self, why: str) -> None:
        self.why = why
        self.told = 0
        self.since = 0


_counts: dict[str, _Count] = {}


def refuse(key: str, why: str, what: str, count: int = 1) -> None:
    """Counts for `key`. `why` is what the run shows; `what` tells the script's user what was left out."""
    known = _counts.get(key)
    if known is None and len(_counts) >= _MOST:
        key = ""
        known = _counts.get(key)
    if known is None:
        known = _counts[key] = _Count(why)
        _say.warn("%s: %s. It is said once and counted on the run" % (what, why))
    known.since += count
    # At each doubling: a line for each could be more than what was refused.
    if known.since >= known.told:
        _tell(key, known)


def is_key(kind: str, key: str) -> bool:
    """Whether a run can have such a key; where not, it was refused."""
    why = _wrong(key)
    if why is not None:
        refuse(key, why, "the %s `%s` was left out" % (kind, short(key)))
    return why is None


def short(key: str) -> str:
    """Enough of a key to know it by, on one line."""
    shown = key if key.isprintable() else repr(key)[1:-1]
    return shown if len(shown) <= 60 else shown[:60] + " ..."


def _wrong(key: str) -> str | None:
    if not key:
        return "a key is empty"
    if len(key) * 4 > _limits.KEY and len(key.encode("utf-8", "replace")) > _limits.KEY:
        return "a key has more than %d bytes" % _limits.KEY
    if not key.isprintable() and any(it < " " or "\x7f" <= it < "\xa0" for it in key):
        return "a key has control characters"
    return None


def _tell(key: str, count: _Count) -> None:
    told, count.told, count.since = count.since, count.told + count.since, 0
    spool = _run.spool()
    if spool is not None and told:
        words = (_json.text(short(key)), _json.text(count.why), told, _spool.now())
        spool.write('{"e":"dropped","key":%s,"why":%s,"count":%d,"at":%d}\n' % words)


def _tell_rest() -> None:
    for key, count in _counts.items():
        _tell(key, count)


def _forget() -> None:
    _tell_rest()
    _counts.clear()


def _is_somebody_elses() -> None:
    for count in _counts.values():
        count.since = 0


atexit.register(_tell_rest)
_run.of_one_run(_forget)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_is_somebody_elses)
