"""Values as they stand in a line of the spool: JSON, with a mark on numbers that JSON cannot carry.

Own code because importing `json` takes a fifth of the time that importing all of this package may take.
"""

from __future__ import annotations

from math import isfinite

from foundations import _limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Plain = Union[None, bool, int, float, str, "list[Plain]", "dict[str, Plain]"]
    """What Python's own JSON can say."""

_ESCAPES = {code: "\\u%04x" % code for code in range(32)}
_ESCAPES.update({ord('"'): '\\"', ord("\\"): "\\\\", 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"})
_LARGEST, _SMALLEST = 2**63 - 1, -(2**63)


class TooLarge(Exception):
    """A value beyond a limit; the text says which."""


def text(value: str) -> str:
    """As a JSON string."""
    return '"' + value.translate(_ESCAPES) + '"'


def number(value: int | float) -> str:
    """As a JSON number; what none can be keeps its mark, so that it survives as it is."""
    if isinstance(value, float):
        if isfinite(value):
            return float.__repr__(value)
        return '{"$float":"%s"}' % ("nan" if value != value else "inf" if value > 0 else "-inf")
    if _SMALLEST <= value <= _LARGEST:
        return int.__repr__(value)
    # Each digit carries more than three bits.
    digits = _limits.DIGITS + 1 if value.bit_length() > 4 * _limits.DIGITS else len(int.__repr__(abs(value)))
    if digits > _limits.DIGITS:
        raise TooLarge("an integer has more than %d digits" % _limits.DIGITS)
    return '{"$int":"%s"}' % int.__repr__(value)


def encode(value: Plain, depth: int = _limits.DEPTH) -> str:
    """Any plain value in the shortest form."""
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true" if value else "false"
    if isinstance(value, (int, float)):
        return number(value)
    if depth == 0:
        raise TooLarge("lists and maps lie more than %d deep in one another" % _limits.DEPTH)
    if isinstance(value, list):
        return "[" + ",".join([encode(it, depth - 1) for it in value]) + "]"
    pairs = [text(key) + ":" + encode(it, depth - 1) for key, it in value.items()]
    return "{" + ",".join(pairs) + "}"
