"""What the process is: without it nobody could run the same again. Told once per attempt, by whoever comes first."""

from __future__ import annotations

import os
import sys

from foundations import _json, _limits, _run, _spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MARK = "facts-told"
_ENDINGS = (".dist-info", ".egg-info")


def tell() -> None:
    """Writes them, unless a process of this attempt did."""
    spool = _run.spool()
    if spool is None:
        return
    try:
        mark = os.path.join(os.path.dirname(spool.path), _MARK)
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError:
        return  # Another process told them, or the first event will say that nothing can be written.
    spool.write('{"e":"facts","value":%s,"at":%d}\n' % (_bounded(_collect()), _spool.now()))


def _collect() -> dict[str, Any]:
    found = {
        "python": "%d.%d.%d" % sys.version_info[:3],
        "implementation": sys.implementation.name,
        "executable": sys.executable or "",
        "platform": sys.platform,
        "argv": list(getattr(sys, "orig_argv", sys.argv)),
        "packages": installed(sys.path),
    }
    # A job's node says what it was given; there the driver would show what is others'.
    machine = {} if _run.is_job() else _machine("/proc/driver/nvidia")
    if machine:
        found["machine"] = machine
    return found


def _machine(driver: str) -> dict[str, Any]:
    """GPUs and their driver, as Linux tells them; asking the driver's own program takes a second."""
    words = _text(driver + "/version").partition("\n")[0].split()
    version = next((it for it in words if "." in it and it.replace(".", "").isdigit()), "")
    try:
        folders = sorted(os.listdir(driver + "/gpus"))
    except OSError:
        folders = []
    names = {"GPU UUID": "id", "Model": "model"}
    gpus = []
    for folder in folders:
        text = _text("%s/gpus/%s/information" % (driver, folder))
        gpu = {}
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name in names and value.strip():
                gpu[names[name]] = value.strip()
        gpus.append(gpu)
    return {"gpus": gpus, "driver": version} if version else {}


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""


def installed(folders: list[str]) -> dict[str, str]:
    """Packages and their versions, by the names of the folders in which they describe themselves.

    importlib.metadata says the same after opening a file of each package: a tenth of a second where there are hundreds.
    """
    found: dict[str, str] = {}
    for folder in folders:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            stem, ending = os.path.splitext(name)
            package, dash, version = stem.partition("-")
            if ending in _ENDINGS and dash:
                # Of two the one that is imported: it comes first in the path.
                found.setdefault(package.replace("_", "-").lower(), version.partition("-")[0])
    return dict(sorted(found.items()))


def _bounded(facts: dict[str, Any]) -> str:
    """As JSON that fits into a line."""
    for name in ("", "packages", "argv"):
        if name:
            facts[name] = "left out: too long"
        text = _json.encode(facts)
        if len(text.encode("utf-8", "replace")) <= _limits.FACTS:
            break
    return text
