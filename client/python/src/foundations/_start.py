"""What importing the package does to the process: a job tells its facts, a script elsewhere becomes a run."""

from __future__ import annotations

import os
import sys

from foundations import _run


def start() -> None:
    """Called once, by the import."""
    if not _run.is_wanted() or _is_command():
        return
    if _run.is_job():
        from foundations import _facts

        _facts.tell()
        return
    from foundations import _outside

    _outside.join()
    if _outside.is_script():
        _run.spool()


def _is_command() -> bool:
    """True = this is `foundations …` or `python -m foundations …`, which is no script of the job."""
    first = sys.argv[0] if getattr(sys, "argv", None) else ""
    if os.path.basename(first).partition(".")[0] in ("foundations", "foundations-script"):
        return True
    if first != "-m":
        return False
    # `python -m` is looking for the module: either this one, or one that imports this one.
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != __name__ and name != __package__ and not name.startswith("importlib"):
            return bool(name == "runpy")
        frame = frame.f_back  # type: ignore[assignment]
    return False
