"""`foundations sync`: what could not be sent when it happened."""

from __future__ import annotations

import json
import os
import sys

from foundations import _helper, _outside, _process
from foundations._errors import AtlasError
from foundations._shipper import SENT, Shipper


def sync() -> int:
    """Brings the runs of this machine that ended without their master to it. Returns the command's exit code."""
    code = 0
    for folder in _unsent():
        name = os.path.basename(folder)
        if not _helper.lock(folder):
            if os.path.exists(os.path.join(folder, "end.json")):
                sys.stderr.write("foundations: %s: another process sends it already\n" % name)
            continue  # it goes on
        try:
            if not os.path.exists(os.path.join(folder, "end.json")):
                if _goes_on(folder):
                    continue
                _helper.write_end(folder, {}, at=_last_seen(folder))
            Shipper(folder).advance()
        except (AtlasError, OSError) as error:
            sys.stderr.write("foundations: %s: %s\n" % (name, error))
            code = 126
        except (ValueError, KeyError) as error:
            sys.stderr.write("foundations: %s: its files are not as they were written: %r\n" % (name, error))
            code = 126
        else:
            sys.stdout.write(name + "\n")
    return code


def _goes_on(folder: str) -> bool:
    """Its helper is gone, and its script is not."""
    with open(os.path.join(folder, "run.json"), encoding="utf-8") as file:
        run = json.load(file)
    birth = run.get("birth", _process.UNKNOWN)  # of an SDK that did not say it
    return bool(birth != _process.UNKNOWN and _process.birth_of(run["process"]) == birth)


def _unsent() -> list[str]:
    """The oldest first."""
    home = _outside.home()
    try:
        found = [os.path.join(home, it) for it in os.listdir(home)]
    except FileNotFoundError:
        return []
    found = [it for it in found if os.path.exists(os.path.join(it, "run.json"))]
    found = [it for it in found if not os.path.exists(os.path.join(it, SENT))]
    return sorted(found, key=lambda it: os.stat(os.path.join(it, "run.json")).st_mtime)


def _last_seen(folder: str) -> int:
    """The machine died with its script: when something of it was written last, in milliseconds."""
    files = [os.path.join(folder, it) for it in ("run.json", "log", "spool/events")]
    return int(1000 * max(os.stat(it).st_mtime for it in files if os.path.exists(it)))
