"""Nested parameters as flat ones, so that each can be compared: {"net": {"sizes": [64]}} is net_sizes_0 = 64."""

from __future__ import annotations

from foundations import _values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator


def flatten_parameter_dictionary(param_dictionary: Any) -> dict[str, Any]:
    """Names joined by `_`, elements of lists by their number; an empty dict or list is None.

    Takes a dict, an argparse.Namespace or a dataclass. Raises TypeError for what cannot be a parameter, and ValueError when
    two of them would have one name.
    """
    flat, collisions = flatten(param_dictionary)
    if collisions:
        raise ValueError("two parameters are called `%s` when they are flattened: rename one of them" % collisions[0])
    return flat


def flatten(parameters: Any) -> tuple[dict[str, Any], list[str]]:
    """The flat parameters, of those with one name the last, and the names that several have."""
    fields = _values.mapping(parameters)
    if fields is None:
        text = "Invalid parameters %s with type %s: give a dict, a Namespace or a dataclass"
        raise TypeError(text % (_values.short(parameters), type(parameters)))
    flat: dict[str, Any] = {}
    collisions = []
    for key, value in fields.items():
        for name, leaf in _leaves(_values.text_of(key), value, _DEEPEST):
            if name in flat:
                collisions.append(name)
            flat[name] = leaf
    return flat, collisions


_DEEPEST = 100


def _leaves(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if depth == 0:
        raise ValueError("parameters lie more than %d deep in one another at `%s`" % (_DEEPEST, name[:60]))
    value = _values.plain_scalar(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        yield name, value
        return
    fields = _values.mapping(value)
    if fields is not None:
        inner = [(_values.text_of(key), below) for key, below in fields.items()]
    else:
        items = _values.sequence(value)
        if items is None:
            yield name, value  # a path or an enum; whether it can be a parameter is decided where it is logged
            return
        inner = [(str(place), below) for place, below in enumerate(items)]
    if not inner:
        yield name, None
    for key, below in inner:
        yield from _leaves("%s_%s" % (name, key), below, depth - 1)
