"""What the keywords of `submit` say about a job, as the master is told. Numbers and names are the master's to check: the command
line gets the same errors.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence, Union

from foundations import _json, _values
from foundations._errors import AtlasError

if TYPE_CHECKING:
    import datetime

Words = Union[str, "os.PathLike[str]", Sequence[Union[str, "os.PathLike[str]", int, float]]]
"""A text, which is split as a shell does, or a list of words."""
Pairs = Union[Mapping[str, Any], Sequence[str]]
"""A dict; or a list of `K` and `K=V`."""
Number = Union[int, float, str]
TimeLimit = Union[int, float, str, "datetime.timedelta"]
"""A number of seconds, or a length of time."""


def command(given: Words | None, keyword: str = "command") -> list[str]:
    """The words of a command."""
    if given is None:
        return []
    if isinstance(given, str):
        try:
            return shlex.split(given)
        except ValueError as error:
            raise ValueError("%s %s: %s" % (keyword, _values.short(given), str(error).lower())) from None
    if hasattr(given, "__fspath__"):
        return [os.fspath(given)]
    if not isinstance(given, (list, tuple)):
        raise _wrong(keyword, given, "text or a list of words")
    return [_word(it, keyword) for it in given]


def entrypoint(given: Words | None, keyword: str = "entrypoint") -> str | None:
    """Text that the master splits as a shell does."""
    if given is None or isinstance(given, str):
        return given
    return " ".join(map(shlex.quote, command(given, keyword)))


def text(given: object, keyword: str) -> str | None:
    """A text, or nothing."""
    if given is not None and not isinstance(given, str):
        raise _wrong(keyword, given, "text")
    return given


def quantity(given: Number | None, keyword: str) -> Number | None:
    """A number, or a text that is one, as it was given."""
    value = _values.plain_scalar(given)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float, str))):
        raise _wrong(keyword, given, "a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("%s is %r, which is no quantity" % (keyword, value))
    number: Number | None = value
    return number


def time_limit(given: TimeLimit | None, keyword: str) -> str:
    """A text such as `1h30m`, or of a number of seconds or a timedelta that number. Which of them are good the master says."""
    seconds = getattr(given, "total_seconds", None)
    value = seconds() if callable(seconds) else _values.plain_scalar(given)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _wrong(keyword, given, "a number of seconds, a timedelta or text such as '1h30m'")
    return str(value)


def truth(given: bool, keyword: str) -> bool:
    """True or False."""
    if not isinstance(given, bool):
        raise _wrong(keyword, given, "True or False")
    return given


def params(given: Any, keyword: str = "params") -> dict[str, Any] | None:
    """A dict, an argparse.Namespace or a dataclass as JSON can say it."""
    if given is None:
        return None
    fields = _values.mapping(given)
    if fields is None:
        raise _wrong(keyword, given, "a dict, a Namespace or a dataclass")
    found = {}
    for key, value in fields.items():
        name = _values.text_of(key)
        try:
            found[name] = _values.param(name, value)
            json.dumps(found[name], allow_nan=False)
        except (_json.TooLarge, ValueError) as error:
            raise ValueError("the parameter `%s` cannot be sent as JSON: %s" % (name, error)) from None
    return found


def env(given: Pairs | None, keyword: str = "env") -> dict[str, str]:
    """Variables by name. One without a value (`None`, or a name in a list) takes the one that is here."""
    found = {}
    for name, value in _pairs(given, keyword):
        found[name] = of_here(name, keyword) if value is None else _word(value, "%s[%r]" % (keyword, name))
    return found


def secrets(given: Mapping[str, str | None] | Sequence[str] | None) -> dict[str, str]:
    """Values by name. Names in a list take the values that are here; no value stands in a script that says them so."""
    if given is None or isinstance(given, Mapping):
        found = env(given, "secrets")
    else:
        if isinstance(given, str) or not isinstance(given, (list, tuple, set, frozenset)):
            raise _wrong("secrets", given, "a list of names, or a dict", is_secret=True)
        found = {name: of_here(name, "secrets") for name in given}
    return found


def of_here(name: object, keyword: str) -> str:
    """The value of a variable of this process."""
    value = os.environ.get(name) if isinstance(name, str) and name else None
    if value is None:
        # What stands where a name belongs may be a secret: it is not shown unless it looks like a name.
        shown = name if isinstance(name, str) and re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) else "(not shown)"
        raise ValueError(
            "%s: %s: there is no such variable here; set it, or give a dict with its value" % (keyword, shown)
        )
    return value


def of_config(names: Sequence[str], config: str) -> dict[str, str]:
    """Secrets that job.config.yaml names, as the master read it. Nothing leaves this machine that the file does not name."""
    named = re.split("[^A-Za-z0-9_]+", config)
    for name in names:
        if name not in named:
            raise AtlasError("the master asks for %s, which job.config.yaml does not name" % name)
    return {name: of_here(name, "worker.secrets in job.config.yaml") for name in names}


def tags(given: Pairs | None, keyword: str = "tags") -> dict[str, str]:
    """Tags by name; one without a value has an empty one."""
    return {
        name: "" if value is None else _word(value, "%s[%r]" % (keyword, name))
        for name, value in _pairs(given, keyword)
    }


def volumes(given: Mapping[str, Any] | Sequence[str] | None, keyword: str = "volumes") -> list[str]:
    """`HOST:PATH[:ro]`. A dict says `{host: path}` or, as job.config.yaml does, `{host: {"bind": path, "mode": "ro"}}`."""
    if given is None:
        return []
    if not isinstance(given, Mapping):
        if isinstance(given, str) or not isinstance(given, (list, tuple)):
            raise _wrong(keyword, given, "a list of HOST:PATH[:ro], or a dict")
        return [_word(it, keyword) for it in given]
    found = []
    for host, at in given.items():
        place = "%s[%r]" % (keyword, host)
        bind, mode = at, None
        if isinstance(at, Mapping):
            if not set(at) <= {"bind", "mode"} or "bind" not in at:
                raise ValueError('%s: write {"bind": PATH, "mode": "rw" or "ro"}' % place)
            bind, mode = at["bind"], at.get("mode")
        if mode not in (None, "rw", "ro"):
            raise ValueError("%s: the mode %s is neither rw nor ro" % (place, _values.short(mode)))
        words = [_word(host, keyword), _word(bind, place)]
        found.append(":".join([*words, "ro"] if mode == "ro" else words))
    return found


def _pairs(given: Pairs | None, keyword: str) -> list[tuple[str, Any]]:
    if given is None:
        return []
    if isinstance(given, Mapping):
        pairs: list[tuple[str, Any]] = list(given.items())
    elif isinstance(given, str) or not isinstance(given, (list, tuple, set, frozenset)):
        raise _wrong(keyword, given, "a dict, or a list of K and K=V")
    else:
        pairs = []
        for it in given:
            name, separator, value = _word(it, keyword).partition("=")
            pairs.append((name, value if separator else None))
    for name, _ in pairs:
        if not isinstance(name, str) or not name:
            raise _wrong(keyword, name, "names of text")
    return pairs


def _word(given: object, keyword: str) -> str:
    value = _values.plain_scalar(given)
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    word = _values.text_like(value)
    if word is None:
        raise _wrong(keyword, given, "text")
    return word


def _wrong(keyword: str, given: object, wanted: str, is_secret: bool = False) -> TypeError:
    shown = "" if is_secret or keyword.startswith("secrets") else " %s" % _values.short(given)
    return TypeError("%s%s with type %s: it has to be %s" % (keyword, shown, type(given), wanted))


OF_A_JOB: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "command": ("command", command),
    "params": ("params", params),
    "project_name": ("project", text),
    "num_gpus": ("num_gpus", quantity),
    "ram": ("ram_gb", quantity),
    "cpus": ("cpus", quantity),
    "shm": ("shm_gb", quantity),
    "time_limit": ("time_limit", time_limit),
    "entrypoint": ("entrypoint", entrypoint),
    "image": ("image", text),
    "env": ("env", env),
    "volumes": ("volumes", volumes),
    "name": ("name", text),
    "tags": ("tags", tags),
    "note": ("note", text),
    "wait_for_capacity": ("wait_for_capacity", truth),
    "fresh_requirements": ("fresh_requirements", truth),
}
"""The keywords that each job has for itself: what the master calls them, and how they are read."""


def overrides(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """What some of the keywords say."""
    found = {}
    for keyword, value in keywords.items():
        name, read = OF_A_JOB[keyword]
        said = read(value, keyword) if value is not None else None
        if said is not None:
            found[name] = said
    return found
