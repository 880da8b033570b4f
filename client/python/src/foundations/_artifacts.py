"""Artifacts: files that a run leaves to be looked at. They are copied at the call, so that what follows cannot change them."""

from __future__ import annotations

import os
import shutil
import stat

from foundations import _json, _limits, _refused, _run, _say, _spool, _values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    AnyPath = Union[str, "os.PathLike[str]"]

_saved: list[str] = []
"""The key of each that this process saved."""
_run.of_one_run(_saved.clear)

_ODD = dict.fromkeys([*range(32), *range(127, 160), ord("\\")], "_")


def save_artifact(path: AnyPath | None = None, key: str | None = None, *, filepath: AnyPath | None = None) -> None:
    """Keeps a copy of a file or folder with the run, as it is now. `filepath` is what `path` was called in 2020.

    `key` is what it is found by, its own name where none is given. The same key again is a new version. Links are followed.
    Returns when the copy is whole. Raises FileNotFoundError, TypeError, and OSError when it cannot be read or copied.
    """
    source = os.fspath(_one_of(path, filepath))
    whole = os.path.abspath(source)
    mode = os.stat(whole).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError("%s is neither a file nor a folder" % source)
    name = _tidy(os.path.basename(whole))
    if key is None:
        key = name
    elif not isinstance(key, str):
        raise TypeError("Invalid artifact key %s with type %s. A key should be text" % (_values.short(key), type(key)))
    spool = _run.spool()
    if spool is None or not _has_room(key):
        return
    below = os.urandom(8).hex()
    holder = os.path.join(spool.files, below)
    os.makedirs(holder)
    try:
        size = _copy(whole, os.path.join(holder, name), (os.path.realpath(holder),))
    except BaseException:
        shutil.rmtree(holder, ignore_errors=True)
        raise
    if key in _saved:
        _say.notice("Artifact `%s` has a new version" % key)
    _saved.append(key)
    where, folder = _json.text(below + "/" + name), "true" if stat.S_ISDIR(mode) else "false"
    line = '{"e":"artifact","key":%s,"path":%s,"bytes":%d,"folder":%s,"at":%d}\n'
    spool.write(line % (_json.text(key), where, size, folder, _spool.now()))


def _one_of(path: AnyPath | None, filepath: AnyPath | None) -> AnyPath:
    if path is not None and filepath is not None:
        raise TypeError("save_artifact was given both `path` and `filepath`")
    given = path if path is not None else filepath
    if given is None:
        raise TypeError("save_artifact needs the path of a file or folder")
    return given


def _has_room(key: str) -> bool:
    if not _refused.is_key("artifact", key):
        return False
    if len(_saved) < _limits.ARTIFACTS:
        return True
    _refused.refuse(key, "the run has too many artifacts", "the artifact `%s` was left out" % key)
    return False


def _tidy(name: str) -> str:
    """A name that is text, on one line, and the same on every system."""
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace").translate(_ODD)
    return name or "artifact"


def _copy(source: str, to: str, above: tuple[str, ...]) -> int:
    """Copies a file, or a folder with all that it leads to, and returns its bytes. `above` are the folders it is already in."""
    mode = os.stat(source).st_mode
    if stat.S_ISREG(mode):
        shutil.copyfile(source, to)
        return os.stat(to).st_size
    real = os.path.realpath(source)
    if not stat.S_ISDIR(mode) or real in above:
        _say.warn("%s was left out of the artifact: it is %s" % (source, _what(mode)))
        return 0
    os.mkdir(to)
    size = 0
    for name in sorted(os.listdir(source)):
        inner = os.path.join(source, name)
        if os.path.lexists(inner) and not os.path.exists(inner):
            _say.warn("%s was left out of the artifact: it is a link to nothing" % inner)
            continue
        size += _copy(inner, os.path.join(to, name), (*above, real))
    return size


def _what(mode: int) -> str:
    return "a folder that it lies in" if stat.S_ISDIR(mode) else "no file"
