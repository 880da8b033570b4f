"""A folder as one file: the same name as `atlas` gives it, whatever is in it."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import socket
import tarfile
import time
import tracemalloc
from pathlib import Path

import pytest
from cluster import ROOT, Cluster

from foundations import _bundle, _tree
from foundations._errors import AtlasError

GOLDEN = "07f363b87a2be0116ed5c5306b7c09d0e85300f3e7e84aeb407d281279ef1efd"
"""That of the tests of `atlas`, in client/src/bundle/tests.rs."""


def collect(folder: Path) -> _tree.Tree:
    return _tree.collect(str(folder), sends_all=True)


def golden(folder: Path) -> Path:
    for name, text in [("main.py", "print(1)"), ("a/b/c.txt", "text"), ("a-b", "between"), ("run.sh", "true")]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "run.sh").chmod(0o700)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("a/b/c.txt")
    return folder


def odd(root: bytes, seed: int) -> None:
    """Names of any bytes and lengths, links to anywhere, empty folders, modes, holes."""
    draw = random.Random(seed)
    folders = [root]
    for number in range(60):
        length = draw.choice([1, 2, 8, 99, 100, 101, 102, 240])
        letters = bytes(draw.choice([draw.randrange(1, 256), 97, 46, 45]) for _ in range(length)).replace(b"/", b"_")
        path = os.path.join(draw.choice(folders), b"%d" % number + letters[: length - 1])
        kind = draw.choice(["file", "file", "file", "folder", "link"])
        if kind == "folder":
            os.mkdir(path, draw.choice([0o700, 0o755]))
            folders.append(path)
        elif kind == "link":
            target = bytes(draw.randrange(1, 256) for _ in range(draw.choice([1, 99, 100, 101, 3000])))
            os.symlink(draw.choice([b"../out", b"/mnt/x", b".", target]), path)
        else:
            with open(path, "wb") as file:
                file.write(bytes([draw.randrange(256)]) * draw.choice([0, 1, 511, 512, 513, 10240, 70000]))
            os.chmod(path, draw.choice([0o600, 0o644, 0o711, 0o755]))
            os.utime(path, (draw.randrange(1 << 32), draw.randrange(1 << 32)))


def of_the_docs(folder: Path) -> str:
    """What the program in docs/using/bundle-format.md calls a folder."""
    page = (ROOT / "docs/using/bundle-format.md").read_text("utf-8")
    names: list[str] = []
    for top, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(top, name)
            is_folder = os.path.isdir(path) and not os.path.islink(path)
            names.append(os.path.relpath(path, folder) + "/" * is_folder)
    known: dict[str, object] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], known)
    write_bundle = known["write_bundle"]
    assert callable(write_bundle)
    return str(write_bundle(str(folder), names, io.BytesIO().write))


def test_a_known_tree_has_the_name_that_atlas_gives_it(tmp_path: Path) -> None:
    assert _bundle.identify(collect(golden(tmp_path))) == (GOLDEN, 10_240, 8)


@pytest.mark.parametrize("seed", range(8))
def test_odd_trees_have_the_name_of_the_documents(tmp_path: Path, seed: int) -> None:
    odd(os.fsencode(tmp_path), seed)
    assert _bundle.identify(collect(tmp_path)).id == of_the_docs(tmp_path)


def test_the_real_atlas_calls_an_odd_tree_the_same(tmp_path: Path, cluster: Cluster) -> None:
    for seed in range(4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        odd(os.fsencode(folder), 100 + seed)
        (folder / ".atlasignore").write_text("1*\n")
        command = ("submit", "--quiet", "--detach", "--project-name", "odd", "scheduler", str(folder), "true")
        job = cluster.atlas(*command, cwd=tmp_path).strip()
        tree = _tree.collect(str(folder))
        assert tree.excluded
        assert cluster.get("/jobs/" + job)["bundle"] == _bundle.identify(tree).id


def test_what_travels_unpacks_to_what_was_there(tmp_path: Path) -> None:
    tree = collect(golden(tmp_path))
    with _bundle.packed(tree) as (file, bundle):
        file.seek(0)
        text = gzip.decompress(file.read())
    assert (hashlib.sha256(text).hexdigest(), len(text)) == (bundle.id, bundle.tar_bytes)
    with tarfile.open(fileobj=io.BytesIO(text)) as tar:
        names = tar.getnames()
        assert names == sorted(names, key=lambda it: it + "/" * tar.getmember(it).isdir())
        assert tar.getmember("link").linkname == "a/b/c.txt"
        assert [tar.getmember(it).mode for it in ("run.sh", "main.py", "a")] == [0o755, 0o644, 0o755]
        assert all((it.uid, it.gid, it.mtime, it.uname) == (0, 0, 0, "") for it in tar)


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(200_000_000)
    tree = collect(tmp_path)
    tracemalloc.start()
    with _bundle.packed(tree) as (_, bundle):
        assert bundle.tar_bytes > 200_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


def test_sizes_beyond_eight_gigabytes_have_another_form() -> None:
    sizes = [0, 0o77_777_777_777, 1 << 33, 5_000_000_000_000]
    for size in sizes:
        header = _bundle._headers(_tree.Entry(b"weights.bin", size, False, None))
        assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == size


def test_a_file_that_changes_between_the_look_and_the_packing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "main.py"

    def grow() -> None:
        path.write_text("longer than before")

    def shrink() -> None:
        path.write_text("")

    def become_a_link() -> None:
        path.unlink()
        path.symlink_to("/etc/passwd")

    for change in (grow, shrink, path.unlink, become_a_link):
        if path.is_symlink():
            path.unlink()
        path.write_text("before")
        tree = collect(tmp_path)
        change()
        with pytest.raises(AtlasError, match=r"main\.py changed while it was being packed"):
            _bundle.identify(tree)


def test_other_kinds_of_files_stay_behind_and_links_that_leave_are_told(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/mnt/nfs/imagenet")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to("../main.py")
    (tmp_path / "sub" / "round").symlink_to("../sub/../main.py")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as it:
        os.chdir(tmp_path)  # the name of a socket has a limit
        it.bind("socket")
        tree = collect(tmp_path)
    assert [it.name for it in tree.entries] == [b"data", b"sub/", b"sub/round", b"sub/up"]
    assert tree.notices == [
        "data is a link to /mnt/nfs/imagenet, outside of the job directory: the link goes along, the data does not",
        "pipe is a named pipe and stays behind",
        "socket is a socket and stays behind",
    ]


def test_what_looks_like_a_secret_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=b")
    (tmp_path / "deploy.txt").write_text("note\n-----BEGIN RSA PRIVATE KEY-----\nMIIE")
    (tmp_path / "marker.py").write_text("marker = '-----BEGIN PRIVATE KEY-----'\n")
    (tmp_path / "id_rsa.pub").write_text("")
    assert collect(tmp_path).notices == [
        ".env looks like a file of environment values and goes along: leave it out with .atlasignore",
        "deploy.txt looks like a private key and goes along: leave it out with .atlasignore",
    ]


def test_folders_too_deep_and_what_is_no_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "deep").joinpath(*["d"] * 128).mkdir(parents=True)
    assert len(collect(tmp_path / "deep").entries) == 128
    (tmp_path / "deep").joinpath(*["d"] * 129).mkdir(parents=True)
    with pytest.raises(AtlasError, match="more than 128 folders deep"):
        collect(tmp_path / "deep")
    (tmp_path / "file").write_text("")
    with pytest.raises(AtlasError, match="file is not a directory"):
        collect(tmp_path / "file")
    with pytest.raises(AtlasError, match="nowhere does not exist"):
        collect(tmp_path / "nowhere")


def test_a_command_that_names_what_stays_behind_is_refused_with_the_rule(tmp_path: Path) -> None:
    for name in ("main.py", "conf.json", "results/best.pt", "sub/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / ".gitignore").write_text("*.json\nresults/\n")
    tree = _tree.collect(str(tmp_path))
    tree.check_command(["python", "main.py", "--out", "results", "other.json"])
    tree.check_command(["main.py", "--conf=/etc/conf.json", "../conf.json"])
    for word in ("conf.json", "./sub/../conf.json", "--conf=conf.json", str(tmp_path.resolve() / "conf.json")):
        with pytest.raises(AtlasError, match=r"^conf\.json is named in the command but stays behind by \.gitignore:1 "):
            tree.check_command(["main.py", word])
    with pytest.raises(AtlasError, match=r"by \.gitignore:2 'results/'"):
        tree.check_command(["main.py", "results/best.pt"])


def test_five_thousand_files_and_fifty_rules_take_seconds_at_most(tmp_path: Path) -> None:
    for number in range(5000):
        path = tmp_path / ("%02d" % (number % 50))
        path.mkdir(exist_ok=True)
        (path / ("%d.py" % number)).write_text("pass\n")
    (tmp_path / ".gitignore").write_text("".join("*.ignored%d\n" % it for it in range(50)))
    began = time.process_time()
    assert _bundle.identify(_tree.collect(str(tmp_path))).files == 5051
    assert time.process_time() - began < 5
