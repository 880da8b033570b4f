"""What libraries tell, logged by one rank. Of what they tell no run keeps all: the rest is left out, and ends no training."""

from __future__ import annotations

import sys
from typing import Any, Mapping

import foundations
from foundations import _json, _limits, _rank, _say, _values


def is_first() -> bool:
    """Whether this is the process that speaks for all of one launch."""
    torch = sys.modules.get("torch.distributed")
    if torch is not None and torch.is_available() and torch.is_initialized():
        return bool(torch.get_rank() == 0)
    return _rank.field() == ""


def metrics(found: Mapping[str, Any], step: Any = None) -> None:
    """Logs those that are numbers."""
    for key, value in found.items():
        number = _values.plain_scalar(value)
        if isinstance(number, (bool, int, float)):
            _log(foundations.log_metric, key, number, step)


def params(found: Mapping[str, Any]) -> None:
    """Logs what a parameter can be, flattened; of all else what it is called."""
    plain = {key: _plain(key, value) for key, value in found.items()}
    _log(foundations.log_params, plain)


def _plain(key: str, value: Any, depth: int = _limits.DEPTH) -> Any:
    try:
        return _values.param(key, value)
    except (TypeError, _json.TooLarge):
        pass
    fields = _values.mapping(value) if depth > 0 else None
    if fields is not None:
        return {it: _plain(key, below, depth - 1) for it, below in fields.items()}
    if isinstance(value, (list, tuple)) and depth > 0:
        return [_plain(key, it, depth - 1) for it in value]
    return getattr(value, "__name__", None) or type(value).__name__


def _log(log: Any, *arguments: Any) -> None:
    try:
        log(*arguments)
    except (TypeError, ValueError) as error:
        _say.warn_once(str(error)[:100], "left out: %s" % error)
