"""Parameters: values that a run was started with."""

from __future__ import annotations

import os

from foundations import _json, _limits, _refused, _run, _say, _spool, _values
from foundations._flatten import flatten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "foundations_job_parameters.json"


class _Logged:
    """What this process logged."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets all of it."""
        self.values: dict[str, tuple[int, int]] = {}
        """Hash and bytes of each value."""
        self.bytes = 0


_logged = _Logged()
_run.of_one_run(_logged.clear)


def log_param(key: str, value: Any) -> None:
    """Sets the parameter `key`; the same key again overwrites, with a notice when the value is another.

    `value` is None, a bool, a number, a text, a path, an enum, or a list or dict of these, which stays as it is. Raises
    TypeError for any other. What is beyond a limit is left out, said on stderr and counted on the run.
    """
    _write([_line(_values.text_of(key), value)])


def log_params(parameters: Any) -> None:
    """Sets each parameter of a dict, a Namespace or a dataclass, flattened as by `flatten_parameter_dictionary`.

    Raises TypeError and ValueError as that does; then nothing was logged.
    """
    flat, collisions = flatten(parameters)
    if collisions:
        raise ValueError("two parameters are called `%s` when they are flattened: rename one of them" % collisions[0])
    _write([_line(key, value) for key, value in flat.items()])


def load_parameters(log_parameters: bool = True) -> dict[str, Any]:
    """The parameters that the job was submitted with, nested as they were; {} where there are none.

    They are read from foundations_job_parameters.json in the current directory, and logged unless `log_parameters` is False.
    Raises ValueError when the file does not hold a JSON object.
    """
    found = _read()
    if log_parameters and found:
        flat, collisions = flatten(found)
        for name in collisions:
            _say.warn(
                "two parameters of %s are called `%s` when they are flattened: the later one is logged" % (FILE, name)
            )
        _write([_line(key, value) for key, value in flat.items()])
    return found


def _read() -> dict[str, Any]:
    import json

    try:
        with open(FILE, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return {}
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise ValueError("%s is not JSON: %s" % (os.path.abspath(FILE), error)) from error
    if not isinstance(found, dict):
        raise ValueError("%s holds no JSON object" % os.path.abspath(FILE))
    return found


def _line(key: str, value: Any) -> tuple[str, str] | None:
    """A key and its value as JSON; `None` = beyond a limit."""
    try:
        text = _json.encode(_values.param(key, value))
    except _json.TooLarge as error:
        _refused.refuse(key, str(error), "the parameter `%s` was left out" % _refused.short(key))
        return None
    return (key, text)


def _write(params: list[tuple[str, str] | None]) -> None:
    spool, at = _run.spool(), _spool.now()
    lines = []
    for param in params:
        if param is not None and _has_room(*param):
            key, value = param
            lines.append('{"e":"param","key":%s,"value":%s,"at":%d}\n' % (_json.text(key), value, at))
    if spool is not None and lines:
        spool.write("".join(lines))


def _has_room(key: str, value: str) -> bool:
    if not _refused.is_key("parameter", key):
        return False
    size, new = len(value.encode("utf-8", "replace")), hash(value)
    known = key in _logged.values
    before, had = _logged.values.get(key, (new, 0))
    if size > _limits.PARAM:
        why = "a parameter's value is too long"
    elif not known and len(_logged.values) >= _limits.PARAMS:
        why = "the run has too many parameters"
    elif _logged.bytes - had + size > _limits.PARAMS_BYTES:
        why = "the parameters' values are too long in all"
    else:
        if before != new:
            _say.notice("Parameter `%s` updated to %s" % (key, value if len(value) <= 60 else value[:60] + " ..."))
        _logged.values[key] = (new, size)
        _logged.bytes += size - had
        return True
    _refused.refuse(key, why, "the parameter `%s` was left out" % _refused.short(key))
    return False
