"""What importing the module does, in a job and elsewhere."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Job


def test_a_job_that_only_imports_tells_what_it_is(job: Job) -> None:
    done = job.script("import foundations", "--lr", "0.1")
    assert (done.stdout, done.stderr) == ("", "")
    (event,) = job.events("facts")
    facts = event["value"]
    assert facts["python"] == platform.python_version()
    assert facts["executable"] == sys.executable
    assert facts["argv"][-3:] == ["main.py", "--lr", "0.1"]
    assert facts["packages"]["pytest"] == pytest.__version__
    assert facts["packages"]["foundations"]


def test_packages_are_those_that_would_be_imported(tmp_path: Any, fresh: Any) -> None:
    fresh()
    from foundations._facts import installed

    names = [
        "Flask_Cors-3.0.8.dist-info",
        "old-1.0-py3.8.egg-info",
        "torch-2.1.0+cu118.dist-info",
        "~rch-1.dist-info.x",
    ]
    for name in [*names, "plain", "no_version.egg-info"]:
        (tmp_path / "first" / name).mkdir(parents=True)
    (tmp_path / "second" / "old-0.9.dist-info").mkdir(parents=True)
    folders = [str(tmp_path / it) for it in ("first", "nowhere", "second")]
    assert installed(folders) == {"flask-cors": "3.0.8", "old": "1.0", "torch": "2.1.0+cu118"}


def test_facts_fit_into_a_line(job: Job) -> None:
    job.script("import foundations", "x" * 100_000)
    (event,) = job.events("facts")
    assert event["value"]["argv"] == "left out: too long"
    assert event["value"]["python"]


@pytest.mark.parametrize("variable", [{"ATLAS_TRACKING": "0"}, {"FOUNDATIONS_COMMAND_LINE": "True"}])
def test_tracking_can_be_switched_off(job: Job, variable: Any) -> None:
    done = job.script("import foundations; foundations.log_metric('m', 1); foundations.set_tag('t')", **variable)
    assert (done.stderr, job.lines()) == ("", [])


def test_importing_it_imports_little(job: Job) -> None:
    (job.folder / "main.py").write_text(
        "import sys; before = set(sys.modules)\n"
        "import foundations; foundations.log_metric('m', 1.5)\n"
        "print(*set(sys.modules) - before)\n"
    )
    folder = str(Path(str(__import__("foundations").__file__)).parent.parent)
    done = job.run("-S", "main.py", PYTHONPATH=folder)
    imported = set(done.stdout.split())
    assert "foundations._metrics" in imported
    slow = {"json", "re", "typing", "pathlib", "argparse", "logging", "subprocess", "inspect", "dataclasses", "shutil"}
    assert not slow & imported, "each of them costs as much as the rest"


def test_checkpoints_are_where_the_job_is_told(job: Job) -> None:
    done = job.script(
        "import foundations\nfile = foundations.checkpoint_dir() / 'x'\nfile.write_text('1')\nprint(file)",
        ATLAS_CHECKPOINT_DIR=str(job.root / "k"),
    )
    assert done.stdout == "%s\n" % (job.root / "k" / "x")
    assert job.script("import foundations\nprint(foundations.checkpoint_dir())").stdout == "checkpoints\n"
    assert (job.folder / "checkpoints").is_dir()


def test_what_the_module_offers_can_be_listed(sdk: Any) -> None:
    assert set(sdk.__all__) <= set(dir(sdk))
    for name in sdk.__all__:
        assert getattr(sdk, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'log_everything'"):
        sdk.log_everything()


def test_the_gpus_of_a_machine_are_read_without_asking_a_program(tmp_path: Path) -> None:
    from foundations import _facts

    assert _facts._machine(str(tmp_path)) == {}
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build  (a@b)\nGCC version: 12.2.0\n"
    )
    assert _facts._machine(str(tmp_path)) == {"gpus": [], "driver": "560.35.03"}
    gpu = tmp_path / "gpus" / "0000:01:00.0"
    gpu.mkdir(parents=True)
    (gpu / "information").write_text(
        "Model: \t\t NVIDIA H200\nIRQ:   \t\t 16\nGPU UUID: \t GPU-1-2\nVideo BIOS: \t a.b\n"
    )
    assert _facts._machine(str(tmp_path))["gpus"] == [{"id": "GPU-1-2", "model": "NVIDIA H200"}]
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\n")
    assert _facts._machine(str(tmp_path))["driver"] == "550.54.15"
