"""What travels of a folder, without a master: which files are its, and what a hostile one may not do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from foundations import _content, _folder
from foundations._content import Content, Hashes
from foundations._errors import AtlasError


def content(path: Path) -> Content:
    with path.open("rb") as file:
        return _content.read(file)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    (folder / "d").mkdir(parents=True)
    (folder / "a").write_text("A")
    (folder / "d" / "b").write_text("B")
    return folder


def test_the_files_of_a_folder_and_why_others_are_none(here: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("S")
    (here / "out").symlink_to(tmp_path / "secret")
    (here / "up").symlink_to(tmp_path, target_is_directory=True)
    (here / "in").symlink_to("d/b")
    (here / "nowhere").symlink_to("gone")
    (here / "back\\slash").write_text("x")
    (here / ("n" * 250)).mkdir()
    os.mkfifo(here / "pipe")
    why: dict[str, str] = {}
    assert _content.below(str(here), why.__setitem__) == ["a", "d/b", "in"]
    assert sorted(why) == ["back\\slash", "nowhere", "out", "pipe", "up"]
    assert "leads out" in why["out"]
    assert "leads out" in why["up"]


@pytest.mark.parametrize(
    "path", ["", "..", "/a", "a/../b", "a//b", "./a", "a\nb", "a\\b", "x" * 1025, "d/.atlas-1.part", "\udcff"]
)
def test_a_path_that_leads_elsewhere_is_known(path: str) -> None:
    assert not _content.is_plain(path)


def test_a_file_is_read_again_when_it_may_have_changed(here: Path) -> None:
    hashes = Hashes()
    before = hashes.of(str(here / "a"))
    look = os.stat(here / "a")
    (here / "a").write_text("Z")
    os.utime(here / "a", ns=(look.st_atime_ns, look.st_mtime_ns))
    assert hashes.of(str(here / "a")) != before, "it was written to just before it was read"


class FakeMaster:
    """What a master says of a folder, true or not."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def ask(self, *_: object, **__: object) -> dict[str, Any]:
        return {"at_ms": 1, "files": [{"path": it, "bytes": 1, "sha256": "0" * 64} for it in self.files]}


@pytest.mark.parametrize("path", ["../x", "/x", "d/../../x"])
def test_no_master_makes_a_download_write_elsewhere(here: Path, path: str) -> None:
    master: Any = FakeMaster({path: "x"})
    with pytest.raises(AtlasError, match="leads out"):
        _folder.download(master, "job", "key", str(here), {}, Hashes())
    assert sorted(os.listdir(here)) == ["a", "d"]


def test_no_link_leads_a_download_out_of_its_folder(here: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("old")
    (here / "e").symlink_to(outside, target_is_directory=True)
    (here / "l").symlink_to(outside / "x")
    for name in ("e/x", "l"):
        (tmp_path / "new").write_text("new")
        _folder._place(str(here), name, str(tmp_path / "new"))
        assert (here / name).read_text() == "new"
    (here / "m").symlink_to(outside, target_is_directory=True)
    _folder._remove(str(here), "m/x", content(outside / "x"), Hashes())
    assert (outside / "x").read_text() == "old"


def test_only_what_nobody_changed_here_is_removed(here: Path) -> None:
    was = content(here / "d" / "b")
    (here / "a").write_text("changed")
    _folder._remove(str(here), "a", was, Hashes())
    _folder._remove(str(here), "d/b", was, Hashes())
    assert os.listdir(here) == ["a"], "and folders with nothing in them"
