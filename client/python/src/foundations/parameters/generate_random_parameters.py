"""Random parameters within ranges, for a random search."""

from __future__ import annotations

import random

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


def generate_random_parameters(parameter_space: Mapping[str, Any]) -> dict[str, Any]:
    """One value for each name of `parameter_space`.

    `{"min": a, "max": b}` gives a float between them; with `"count_min"` and `"count_max"` (or `"min_count"` and
    `"max_count"`) besides a list of so many. Anything else is taken over as it is. Uses `random`, so that `random.seed`
    makes it repeatable. Raises TypeError where `parameter_space` is no dict, and ValueError for a range that is none.
    """
    if not isinstance(parameter_space, dict):
        raise TypeError("parameter_space should be a dict, and is a %s" % type(parameter_space))
    return {name: _value(name, space) for name, space in parameter_space.items()}


def _value(name: str, space: Any) -> Any:
    if not isinstance(space, dict) or not {"min", "max"} <= set(space):
        return space
    low, high = space["min"], space["max"]
    fewest, most = _count(name, space, "min"), _count(name, space, "max")
    if fewest is None and most is None:
        return random.uniform(low, high)
    if fewest is None or most is None or not 0 <= fewest <= most:
        raise ValueError("%s: give count_min and count_max, the first no larger than the second" % name)
    return [random.uniform(low, high) for _ in range(random.randint(fewest, most))]


def _count(name: str, space: dict[str, Any], end: str) -> Any:
    found = [space[key] for key in ("count_" + end, end + "_count") if key in space]
    if len(found) > 1:
        raise ValueError("%s: count_%s and %s_count mean the same; give one of them" % (name, end, end))
    return found[0] if found else None


# `foundations.parameters.generate_random_parameters` is this function, and was this module in 2020: both spellings work.
setattr(generate_random_parameters, "generate_random_parameters", generate_random_parameters)
