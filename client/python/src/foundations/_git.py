"""Commit, branch and changes of the job directory's repository, as `git` tells them, if it is there and quick."""

from __future__ import annotations

import os
import select
import subprocess
import time
from typing import IO, Sequence

_PATIENCE = 3.0
"""Seconds; a submission does not wait longer for an answer."""
_LONGEST = 64 << 10


class Slow(Exception):
    """Git did not answer in time."""


def describe(folder: bytes) -> dict[str, object] | None:
    """`None` where there is no repository, no commit or no git."""
    status = ("status", "--porcelain=v2", "--branch", "--no-ahead-behind", "--untracked-files=normal", "--", ".")
    try:
        return _parsed(_answer(folder, *status))
    except Slow:
        pass
    # A huge tree: where changes cannot be told, nobody should rely on the commit alone.
    try:
        commit = _answer(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    except Slow:
        return None
    return {"commit": commit, "branch": "", "dirty": True} if commit else None


def _parsed(status: str) -> dict[str, object] | None:
    lines = status.split("\n") if status else []
    told = dict(it[len("# branch.") :].partition(" ")[::2] for it in lines if it.startswith("# branch."))
    commit, branch = told.get("oid", "(initial)"), told.get("head", "")
    if commit == "(initial)":
        return None
    is_dirty = any(not it.startswith("#") for it in lines)
    return {"commit": commit, "branch": "" if branch == "(detached)" else branch, "dirty": is_dirty}


def _answer(folder: bytes, *question: str) -> str:
    # What is longer is a list of changes, of which one was enough.
    answer = ask(folder, question, _LONGEST, time.monotonic() + _PATIENCE)
    return (answer or b"").decode("utf-8", "replace").strip()


def ask(folder: bytes, question: Sequence[str | bytes], most: int, until: float) -> bytes | None:
    """No more than this many bytes of what it says; `None` where it cannot. Raises Slow."""
    # A repository that came from elsewhere must not run programs of its own choosing here.
    command: list[str | bytes] = [
        "git",
        "-C",
        folder,
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/dev/null",
        *question,
    ]
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
    try:
        git = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    with git:
        try:
            assert git.stdout is not None
            said = _read(git.stdout, most, until)
            is_whole = len(said) < most
            return None if is_whole and git.wait(max(0.0, until - time.monotonic())) != 0 else said
        except subprocess.TimeoutExpired:
            raise Slow from None
        finally:
            git.kill()


def _read(pipe: IO[bytes], most: int, until: float) -> bytes:
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    said = bytearray()
    while len(said) < most:
        if not poll.poll(max(0.0, 1000 * (until - time.monotonic()))):
            raise Slow
        piece = os.read(pipe.fileno(), most - len(said))
        if not piece:
            break
        said += piece
    return bytes(said)
