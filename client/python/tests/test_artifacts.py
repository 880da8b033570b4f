from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import Event, Job


def copy(job: Job, event: Event) -> Path:
    return job.spool.parent / "files" / str(event["path"])


def test_a_file_is_copied_as_it_was(job: Job, sdk: Any) -> None:
    Path("model.pt").write_bytes(b"one")
    sdk.save_artifact("model.pt")
    Path("model.pt").write_bytes(b"changed")
    (event,) = job.events()
    assert copy(job, event).read_bytes() == b"one"
    assert copy(job, event).name == "model.pt"
    del event["path"]
    assert event == {"e": "artifact", "key": "model.pt", "bytes": 3, "folder": False}


def test_equal_names_and_equal_keys_do_not_collide(job: Job, sdk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        os.mkdir(folder)
        Path(folder, "x.txt").write_text(folder)
        sdk.save_artifact(Path(folder, "x.txt"), key="of " + folder)
    assert capsys.readouterr().err == ""
    sdk.save_artifact(filepath="a/x.txt", key="of b")
    assert "Artifact `of b` has a new version" in capsys.readouterr().err
    found = [(it["key"], copy(job, it).read_text()) for it in job.events()]
    assert found == [("of a", "a"), ("of b", "b"), ("of b", "a")]


def test_a_folder_is_an_artifact(job: Job, sdk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    os.makedirs("out/deep")
    Path("out/deep/a").write_text("12345")
    os.symlink("deep/a", "out/link")
    os.symlink("..", "out/deep/up")
    os.symlink("nowhere", "out/gone")
    os.mkfifo("out/pipe")
    sdk.save_artifact("out/", "results")
    (event,) = job.events()
    assert (event["key"], event["bytes"], event["folder"]) == ("results", 10, True)
    kept = copy(job, event)
    assert kept.name == "out"
    files = {str(it.relative_to(kept)): it.is_symlink() for it in kept.rglob("*") if it.is_file()}
    assert files == {"deep/a": False, "link": False}
    said = capsys.readouterr().err
    for left_out in ("out/deep/up", "out/gone", "out/pipe"):
        assert left_out + " was left out" in said


def test_the_folder_that_holds_the_spool_can_be_saved(job: Job, sdk: Any) -> None:
    os.chdir(job.root)
    Path("job/x").write_text("1")
    sdk.save_artifact(".", "all")
    (event,) = job.events()
    assert (copy(job, event) / "job" / "x").read_text() == "1"


def test_what_is_not_there_is_an_error_and_leaves_nothing(job: Job, sdk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        sdk.save_artifact("nowhere")
    with pytest.raises(OSError, match="neither a file nor a folder"):
        sdk.save_artifact("/dev/null")
    for wrong in ({}, {"path": "x", "filepath": "x"}, {"path": 3}):
        with pytest.raises(TypeError):
            sdk.save_artifact(**wrong)
    Path("x").write_text("1")
    with pytest.raises(TypeError, match="Invalid artifact key"):
        sdk.save_artifact("x", key=3)

    def full(*_: Any) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="no space left"):
        sdk.save_artifact("x")
    assert os.listdir(job.spool.parent / "files") == []
    assert job.events() == []


def test_a_name_that_is_no_text_is_made_one(job: Job, sdk: Any) -> None:
    name = b"a\xff\nb\\c"
    Path(os.fsdecode(name)).write_text("1")
    sdk.save_artifact(os.fsdecode(name))
    (event,) = job.events()
    assert event["key"] == "a\ufffd_b_c"
    assert copy(job, event).read_text() == "1"
