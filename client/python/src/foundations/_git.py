"""Commit, branch and changes of the job directory's repository, as `git` tells them, if it is there and quick."""

from __future__ import annotations

import os
import subprocess

_PATIENCE = 3.0
"""Seconds; a submission does not wait longer for an answer."""


def describe(folder: bytes) -> dict[str, object] | None:
    """`None` where there is no repository, no commit or no git."""
    try:
        status = _ask(
            folder, "status", "--porcelain=v2", "--branch", "--no-ahead-behind", "--untracked-files=normal", "--", "."
        )
        return _parsed(status) if status is not None else None
    except subprocess.TimeoutExpired:
        pass
    # A huge tree: where changes cannot be told, nobody should rely on the commit alone.
    try:
        commit = _ask(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    except subprocess.TimeoutExpired:
        return None
    return {"commit": commit.strip(), "branch": "", "dirty": True} if commit else None


def _parsed(status: str) -> dict[str, object] | None:
    lines = status.splitlines()
    told = dict(it[len("# branch.") :].partition(" ")[::2] for it in lines if it.startswith("# branch."))
    commit, branch = told.get("oid", "(initial)"), told.get("head", "")
    if commit == "(initial)":
        return None
    is_dirty = any(not it.startswith("#") for it in lines)
    return {"commit": commit, "branch": "" if branch == "(detached)" else branch, "dirty": is_dirty}


def _ask(folder: bytes, *question: str) -> str | None:
    # A repository that came from elsewhere must not run programs of its own choosing here.
    command = [
        "git",
        "-C",
        os.fsdecode(folder),
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/dev/null",
        *question,
    ]
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
