"""What a run is called and known by."""

from __future__ import annotations

import os

from foundations import _json, _limits, _refused, _run, _say, _spool, _values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_set: dict[str, str] = {}
_run.of_one_run(_set.clear)


def set_tag(key: str, value: Any = "") -> None:
    """Marks the run. The same key again overwrites, with a notice. Numbers are kept as text.

    Raises TypeError where `key` is no text, or `value` neither text nor a number.
    """
    if not isinstance(key, str):
        raise TypeError("Invalid tag name %s with type %s. A name should be text" % (_values.short(key), type(key)))
    key = str.__str__(key)
    text = _text('tag with key="%s"' % key, value)
    before = _set.get(key)
    if not _refused.is_key("tag", key) or not _fits(key, text):
        return
    if before is None and len(_set) >= _limits.TAGS:
        _refused.refuse(key, "the run has too many tags", "the tag `%s` was left out" % key)
        return
    if before not in (None, text):
        _say.warn("Tag `%s` updated to `%s`" % (key, text))
    _set[key] = text
    _write('{"e":"tag","key":%s,"value":%s,"at":%d}\n' % (_json.text(key), _json.text(text), _spool.now()))


def set_name(name: str) -> None:
    """Gives the run a name for people; the last one counts. Raises TypeError where it is no text."""
    text = _text("name", name)
    if _fits("name", text):
        _write('{"e":"name","value":%s,"at":%d}\n' % (_json.text(text), _spool.now()))


def set_project_name(project_name: str = "default") -> None:
    """Moves the run into a project. The project of a submitted job is decided at its submission: there this only warns."""
    text = _text("project name", project_name)
    if not _run.is_job():
        if _fits("project", text):
            _write('{"e":"project","value":%s,"at":%d}\n' % (_json.text(text), _spool.now()))
    elif text != os.environ.get("ATLAS_PROJECT"):
        _say.warn("a submitted job stays in its project: submit it with --project-name '%s'" % text)


def _text(what: str, value: Any) -> str:
    value = _values.plain_scalar(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bool, int, float)) and what.startswith("tag"):
        return str(value)
    raise TypeError(
        "Invalid %s of value=%s with type %s. It should be text" % (what, _values.short(value), type(value))
    )


def _fits(key: str, text: str) -> bool:
    if len(text.encode("utf-8", "replace")) <= _limits.TEXT:
        return True
    what = "the value of `%s` was left out" % _refused.short(key)
    _refused.refuse(key, "a text has more than %d bytes" % _limits.TEXT, what)
    return False


def _write(line: str) -> None:
    spool = _run.spool()
    if spool is not None:
        spool.write(line)
