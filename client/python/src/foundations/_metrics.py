"""Metrics: values that a run takes on again and again."""

from __future__ import annotations

import operator

from foundations import _json, _limits, _rank, _refused, _run, _spool, _values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, SupportsIndex

_LAST_STEP = 2**63 - 1


class _Series:
    """What this process logged of one key."""

    __slots__ = ("head", "points")

    def __init__(self, key: str) -> None:
        self.head = '{"e":"metric","key":%s,"value":' % _json.text(key)
        self.points = 0


_series: dict[str, _Series] = {}
_run.of_one_run(_series.clear)


def log_metric(key: str, value: Any, step: SupportsIndex | None = None) -> None:
    """Adds a point to the metric `key`; of a list one for each element, in its order.

    `value` is a bool, a number or a text, Python's own or a scalar of numpy, torch or jax. Of a text the first 1,000 bytes
    are kept. `step` is an int from 0 on, in any order, and of a list that of its first element; without it a point's step is
    how many points of the metric (and rank) there were before it.

    Raises TypeError, and ValueError for a step that is negative or beyond 64 bits. Returns when the point is safe from the
    death of this process. What is beyond a limit is left out, said on stderr and counted on the run.
    """
    lines = _lines(key, value, None if step is None else _checked(key, step))
    spool = _run.spool()
    if spool is not None and lines:
        spool.write("".join(lines))


def log_metrics(metrics: Mapping[str, Any], step: SupportsIndex | None = None) -> None:
    """Adds a point to each metric of a dict; when one of them is no metric, to none. As `log_metric` otherwise."""
    named = _values.mapping(metrics)
    if named is None:
        raise TypeError("Invalid metrics %s with type %s: give a dict" % (_values.short(metrics), type(metrics)))
    first = None if step is None else _checked(", ".join(map(str, named)), step)
    lines = [line for key, value in named.items() for line in _lines(key, value, first)]
    spool = _run.spool()
    if spool is not None and lines:
        spool.write("".join(lines))


def _lines(key: str, value: Any, first: int | None) -> list[str]:
    """The points of what a script handed over for one key."""
    if not isinstance(key, str):
        text = "Invalid metric name `%s` with type %s. A name should be of type string"
        raise TypeError(text % (_values.short(key), type(key)))
    key = str.__str__(key)  # of an enum that is text the text
    items = value if isinstance(value, list) else [value]
    values = [_value(key, it, value) for it in items]
    series = _series.get(key) or _new(key)
    if series is None:
        return []
    if series.points + len(values) > _limits.POINTS:
        room = max(0, _limits.POINTS - series.points)
        _refused.refuse(key, "the metric has too many points", "points of `%s` were left out" % key, len(values) - room)
        del values[room:]
    series.points += len(values)
    head, tail = series.head, _rank.field() + ',"at":%d}\n' % _spool.now()
    if first is None:
        return [head + it + tail for it in values if it]
    return ['%s%s,"step":%d%s' % (head, it, first + place, tail) for place, it in enumerate(values) if it]


def _value(key: str, value: Any, handed: Any) -> str:
    """As JSON; empty = it is beyond a limit."""
    value = _values.plain_scalar(value)
    if isinstance(value, str) and len(value) * 4 > _limits.METRIC_TEXT:
        value = _cut(key, value)
    try:
        return _values.scalar(key, value, handed)
    except _json.TooLarge as error:
        _refused.refuse(key, str(error), "a point of `%s` was left out" % key)
        return ""


def _cut(key: str, text: str) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= _limits.METRIC_TEXT:
        return text
    _refused.refuse(key, "a text was cut", "a text of `%s` was cut to %d bytes" % (key, _limits.METRIC_TEXT))
    return data[: _limits.METRIC_TEXT].decode("utf-8", "ignore")


def _new(key: str) -> _Series | None:
    if not _refused.is_key("metric", key):
        return None
    if len(_series) >= _limits.METRICS:
        _refused.refuse(key, "the run has too many metrics", "the metric `%s` was left out" % key)
        return None
    _series[key] = series = _Series(key)
    return series


def _checked(key: str, step: SupportsIndex) -> int:
    try:
        number = operator.index(step)
    except TypeError:
        text = 'Invalid step of key="%s": %s with type %s. A step should be an int'
        raise TypeError(text % (key, _values.short(step), type(step))) from None
    if 0 <= number <= _LAST_STEP:
        return number
    raise ValueError('Invalid step of key="%s": %d is negative or beyond 64 bits' % (key, number))
