"""From what a script hands over to values that the spool can carry. Who hands over something else hears of it at the call."""

from __future__ import annotations

import os
import sys

from foundations import _json, _limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

    from foundations._json import Plain


def plain_scalar(value: Any) -> Any:
    """A scalar of numpy, torch or jax as Python's own, without importing any of them; all else as it is."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    shape, item = getattr(value, "shape", None), getattr(value, "item", None)
    if shape is None or item is None or any(it != 1 for it in shape):
        return value
    own = item()
    if not isinstance(own, float) and getattr(getattr(value, "dtype", None), "kind", "") == "f":
        return float(own)  # numpy.longdouble is its own item
    return own


def scalar(key: str, value: Any, handed: Any) -> str:
    """A metric's value as JSON. `handed` is what the script handed over: the value, or the list that it is of."""
    value = plain_scalar(value)
    if isinstance(value, str):
        return _json.text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _json.number(value)
    shown, kind = short(handed), type(handed)
    raise TypeError(
        'Invalid metric with key="%s" of value=%s with type %s. '
        "Value should be of type string or number, or a list of strings / numbers" % (key, shown, kind)
    )


def param(key: str, value: Any, depth: int = _limits.DEPTH) -> Plain:
    """A parameter's value as JSON can say it: paths and enums as text, tuples and arrays as lists."""
    value = plain_scalar(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if depth < 0:
        raise _json.TooLarge("lists and maps lie more than %d deep in one another" % _limits.DEPTH)
    fields = mapping(value)
    if fields is not None:
        return {text_of(it): param(key, below, depth - 1) for it, below in fields.items()}
    items = sequence(value)
    if items is not None:
        return [param(key, it, depth - 1) for it in items]
    word = text_like(value)
    if word is not None:
        return word
    raise TypeError(
        'Invalid parameter with key="%s" of value=%s with type %s. Value should be text, a number, a bool, None, '
        "a path, an enum, or a list or dict of these" % (key, short(value), type(value))
    )


def mapping(value: Any) -> Mapping[Any, Any] | None:
    """What has named values: a mapping, an argparse.Namespace, a dataclass. `None` = it is none of these."""
    if isinstance(value, dict):
        return value
    if isinstance(value, type):
        return None
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__ if hasattr(value, name)}
    argparse = sys.modules.get("argparse")  # without it there is no Namespace
    if argparse is not None and isinstance(value, argparse.Namespace):
        return dict(vars(value))
    from collections.abc import Mapping as AnyMapping

    return value if isinstance(value, AnyMapping) else None


def sequence(value: Any) -> list[Any] | None:
    """What has values in an order: a list, a tuple, an array. `None` = it is none of these."""
    if isinstance(value, (list, tuple, range)):
        return list(value)
    shape, tolist = getattr(value, "shape", None), getattr(value, "tolist", None)
    if shape is None or tolist is None:
        return None
    elements = 1
    for it in shape:
        elements *= it
    if elements > _limits.PARAM:
        raise _json.TooLarge("an array has %d elements" % elements)
    found = tolist()
    return found if isinstance(found, list) else [found]


def text_like(value: Any) -> str | None:
    """A path as it is written, an enum by its name. `None` = it is neither."""
    enum = sys.modules.get("enum")  # without it there is no Enum
    if enum is not None and isinstance(value, enum.Enum):
        return str(value.name)
    return os.fsdecode(os.fspath(value)) if hasattr(type(value), "__fspath__") else None


def text_of(key: Any) -> str:
    """The name of a value in a dict, as `json.dumps` and the parameters of 2020 took them: numbers count as text."""
    key = plain_scalar(key)
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, (bool, int, float)):
        return str(key)
    word = text_like(key)
    if word is None:
        raise TypeError("Invalid parameter name %s with type %s. A name should be text" % (short(key), type(key)))
    return word


def short(value: Any) -> str:
    """Enough of a value to find it in a script."""
    try:
        shown = repr(value)
    except Exception:  # of a class of the script, which may raise anything
        shown = object.__repr__(value)
    return shown if len(shown) <= 30 else shown[:30] + " ..."
