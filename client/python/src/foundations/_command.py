"""The command `foundations`: `log` and `sync` are done here, so that they work in any image; all else is that of `atlas`."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

_UNREACHED = 126
"""The exit code of `atlas` for what could not be done."""


def main() -> int:
    """Does what the arguments of this process say; its exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["log"]:
        return _log(_parser().parse_args(arguments))
    if arguments == ["sync"]:
        from foundations._sync import sync

        return sync()
    program = _atlas()
    if program is None:
        sys.stderr.write(
            "foundations: the program `atlas`, which does this, is neither beside this Python nor on the PATH.\n"
            "`make wheel` in Atlas' repository builds a package with both; or put target/debug/atlas of `make build` on PATH.\n"
        )
        return _UNREACHED
    if os.name == "nt":
        import subprocess

        return subprocess.call([program, *arguments])
    os.execv(program, ["foundations", *arguments])
    return None


def _atlas() -> str | None:
    """Where a package with the program puts it, then the PATH."""
    import shutil
    import sysconfig

    beside = [
        os.path.dirname(os.path.abspath(sys.argv[0])),
        os.path.dirname(sys.executable),
        sysconfig.get_path("scripts"),
    ]
    return shutil.which("atlas", path=os.pathsep.join(beside)) or shutil.which("atlas")


def _parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="foundations", description="Tells the tracker about the job that this runs in."
    )
    log = parser.add_subparsers(dest="command", required=True).add_parser("log", help="log something of this job")
    kinds = log.add_subparsers(dest="kind", required=True)
    metric = kinds.add_parser("metric", help="add a point to a metric")
    metric.add_argument("key")
    metric.add_argument("value", type=_number, help="a number, else text")
    metric.add_argument("--step", type=int)
    param = kinds.add_parser("param", help="set a parameter")
    param.add_argument("key")
    param.add_argument("value", type=_json, help="JSON, else text")
    tag = kinds.add_parser("tag", help="set a tag")
    tag.add_argument("key")
    tag.add_argument("value", nargs="?", default="")
    artifact = kinds.add_parser("artifact", help="keep a copy of a file or folder")
    artifact.add_argument("path")
    artifact.add_argument("--key", help="what it is found by [default: its name]")
    return parser


def _log(arguments: argparse.Namespace) -> int:
    import foundations

    if not os.environ.get("ATLAS_SPOOL"):
        sys.stderr.write("foundations: this is not run by a job or script of Atlas: ATLAS_SPOOL is not set\n")
        return _UNREACHED
    try:
        if arguments.kind == "metric":
            foundations.log_metric(arguments.key, arguments.value, arguments.step)
        elif arguments.kind == "param":
            foundations.log_param(arguments.key, arguments.value)
        elif arguments.kind == "tag":
            foundations.set_tag(arguments.key, arguments.value)
        else:
            foundations.save_artifact(arguments.path, arguments.key)
    except (OSError, ValueError) as error:
        sys.stderr.write("foundations: %s\n" % error)
        return 1 if isinstance(error, FileNotFoundError) else _UNREACHED
    return 0


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            if "_" not in text:
                return kind(text)
        except ValueError:
            pass
    return text


def _json(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text
