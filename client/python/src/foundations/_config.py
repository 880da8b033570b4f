"""Where the master is: `<name>.config.yaml` in a folder for submission configurations, as in 2020.

Of such a file only `scheduler_url` counts, on a line of its own that is not indented: that needs no reader of YAML.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from foundations import _nearest, _say
from foundations._errors import AtlasError

DEFAULT = "scheduler"
"""The configuration that exists without a file."""
_DEFAULT_URL = "http://127.0.0.1:5558"
_SUFFIX = ".config.yaml"
_LONGEST = 1 << 20
"""What is longer is the wrong file."""
_MOVED = "names port 5000, where the scheduler of 2020 listened; 5558 is meant and used."


class Config(NamedTuple):
    """Where one master is."""

    host: str
    port: int
    token: str | None = None
    """What a job shows to its master."""

    def __repr__(self) -> str:
        return "Config(%r)" % self.url  # without the token

    @property
    def url(self) -> str:
        """As messages name it."""
        return "http://%s:%d" % ("[%s]" % self.host if ":" in self.host else self.host, self.port)


def find(name: str | None = None) -> Config:
    """The configuration called `name`; without a name that of ATLAS_CONFIG, else the master of ATLAS_URL (a job finds it),
    else the only one, else `scheduler`. Raises AtlasError where there is none of that name, or its file says nothing useful.
    """
    known = _known()
    name = name or os.environ.get("ATLAS_CONFIG") or None
    if name is None and os.environ.get("ATLAS_URL"):
        return _of_environment()
    if name is None:
        name = next(iter(known)) if len(known) == 1 else DEFAULT
    if name in known:
        return _of_file(known[name])
    if name == DEFAULT:
        return _of_environment()
    listed = sorted({*known, DEFAULT})
    meant = _nearest.meant(name, listed)
    known_are = "%s Known are" % meant if meant else "; known are"
    what = "there is no configuration named '%s'%s %s (see `atlas info --env`)"
    raise AtlasError(what % (name, known_are, ", ".join(listed)))


def _known() -> dict[str, str]:
    """The files by name; of two with the same name the one in the earlier folder counts."""
    known: dict[str, str] = {}
    for folder in (".", _home("ATLAS_HOME", "~/.atlas"), _home("FOUNDATIONS_HOME", "~/.foundations")):
        submission = os.path.join(folder, "config", "submission")
        try:
            files = sorted(os.listdir(submission))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise AtlasError("could not read %s: %s" % (submission, error.strerror)) from error
        for file in files:
            name = file[: -len(_SUFFIX)]
            if file.endswith(_SUFFIX) and name:
                known.setdefault(name, os.path.join(submission, file))
    return known


def _home(variable: str, default: str) -> str:
    return os.environ.get(variable) or os.path.expanduser(default)


def _of_environment() -> Config:
    """The master that needs no file: that of ATLAS_URL, else the one of this machine."""
    url, token = os.environ.get("ATLAS_URL"), os.environ.get("ATLAS_TOKEN") or None
    if not url:
        return _address(_DEFAULT_URL, "the default")
    if token is not None and not re.fullmatch("[!-~]+", token):
        what = "the environment variable ATLAS_TOKEN holds characters that no token has; it is not shown here"
        raise AtlasError(what)
    return _address(url, "the environment variable ATLAS_URL")._replace(token=token)


def _of_file(path: str) -> Config:
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(_LONGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise AtlasError("could not read %s: %s" % (path, error)) from error
    if len(text) > _LONGEST:
        raise AtlasError("could not read %s: it is larger than 1 MiB" % path)
    urls = [it for it in map(_value, text.splitlines()) if it is not None]
    if len(urls) > 1:
        raise AtlasError("%s: it names scheduler_url twice" % path)
    if not urls or not urls[0]:
        what = "%s: it lacks scheduler_url, the address of the master, such as http://host:5558"
        raise AtlasError(what % path)
    if not os.path.isabs(path):
        _say.warn_once(path, "The configuration '%s' comes from %s." % (os.path.basename(path)[: -len(_SUFFIX)], path))
    return _address(urls[0], "%s: scheduler_url" % path)


def _value(line: str) -> str | None:
    """What a line says about scheduler_url; `None` = nothing."""
    found = re.match(r"""(["']?)scheduler_url\1\s*:(?:\s+(.*))?$""", line)
    if found is None:
        return None
    value = (found.group(2) or "").strip()
    quoted = re.match(r"""(["'])(.*?)\1\s*(?:#.*)?$""", value)
    return quoted.group(2) if quoted else re.split(r"(?:^|\s)#", value)[0].strip()


def _address(url: str, said_by: str) -> Config:
    def wrong(why: str) -> AtlasError:
        return AtlasError("%s %r %s; it looks like http://host:5558" % (said_by, url, why))

    scheme, separator, host = url.strip().rstrip("/").partition("://")
    if not separator:
        raise wrong("has no scheme")
    if scheme == "https":
        raise wrong("asks for TLS, which this version does not speak")
    if scheme != "http":
        raise wrong("is no http address")
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::([0-9]{1,5}))?", host)
    port = int(found.group(2) or 5558) if found else 0
    if found is None or not 0 < port < 65536:
        raise wrong("is more or less than a host and a port")
    if port == 5000:
        _say.warn_once(url, "%s %s" % (said_by, _MOVED))
        port = 5558
    return Config(found.group(1).strip("[]"), port)
