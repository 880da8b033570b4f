"""Folders that a run uploads and any run downloads. What travels is what is new; what went away goes away."""

from __future__ import annotations

import os
import shutil
import tempfile
import time

from foundations import _json, _limits, _refused, _run, _say, _spool, _values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Union

    from foundations._content import Content
    from foundations._http import Master

    AnyPath = Union[str, "os.PathLike[str]"]

KEPT = "synced"
"""The folder of a run outside of a job for what could not be uploaded."""
_LOOK = 0.1
"""Seconds between two looks at whether the master knows of the run by now."""


class SyncableDirectory:
    """A folder here, and what a job uploaded of it at the master."""

    def __init__(self, key: str, directory_path: str, local_job_id: str | None, remote_job_id: str | None) -> None:
        from foundations._content import Hashes

        self.key = key
        self.local_job_id = local_job_id
        """Whose folder `upload` replaces."""
        self.remote_job_id = remote_job_id
        """Whose folder `download` reads."""
        self._path = directory_path
        self._hashes = Hashes()
        self._seen: dict[str, Content] = {}

    def __str__(self) -> str:
        return self._path

    def __fspath__(self) -> str:
        return self._path

    def __repr__(self) -> str:
        return "SyncableDirectory(%r, %r)" % (self.key, self._path)

    def upload(self) -> None:
        """Makes the run's folder what the local one is now, whole or not at all. Only content that it did not hold travels.

        Raises AtlasError where the master refuses it, or is away for a quarter of an hour. Outside of a job a copy is kept where
        none answers, and sent with the run.
        """
        from foundations import _folder, _http
        from foundations._errors import Unreachable

        if self.local_job_id is None:
            _say.warn_once("upload", "`%s` is not uploaded: this run is not tracked" % self.key)
            return
        job = self.local_job_id
        patience = _http.Patience(_http.LONG) if _run.is_job() else None
        try:
            master = _http.connect(None)
            self._seen = _when_known(lambda: _folder.upload(master, job, self.key, self._path, self._hashes, patience))
        except Unreachable as error:
            if _run.is_job():
                raise
            self._keep(str(error))
            return
        kept = _kept(self.key)
        if kept is not None:
            shutil.rmtree(kept, ignore_errors=True)
        tell(self.key, self._seen)

    def download(self) -> None:
        """Makes the local folder what was uploaded last. Files that were never part of it stay, and those that were changed here
        since, where it has them no more. Where nothing was uploaded, nothing happens.
        """
        from foundations import _http

        if self.remote_job_id is not None:
            self._download(_http.connect(None))

    def _download(self, master: Master) -> None:
        from foundations import _folder

        assert self.remote_job_id is not None
        os.makedirs(self._path, exist_ok=True)
        self._seen = _folder.download(master, self.remote_job_id, self.key, self._path, self._seen, self._hashes)

    def _begin(self) -> None:
        """What there is of its own run, if there is any: a run outside of a job may have no master, or begin just now."""
        from foundations import _http
        from foundations._errors import Refused, Unreachable

        if _run.is_job() or self.remote_job_id != self.local_job_id:
            self.download()
            return
        try:
            self._download(_http.connect(None))
        except Unreachable:
            pass
        except Refused as refused:
            if refused.code != "no_job":
                raise

    def _keep(self, why: str) -> None:
        kept = _kept(self.key)
        if kept is None:
            return
        part = kept + ".part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(self._path, part, symlinks=True)
        shutil.rmtree(kept, ignore_errors=True)
        os.rename(part, kept)
        _say.warn_once("kept", "%s. `%s` is kept in %s; `atlas sync` sends it" % (why, self.key, kept))


def create_syncable_directory(
    key: str, directory_path: AnyPath | None = None, source_job_id: str | None = None
) -> SyncableDirectory:
    """A folder that this run can upload; it begins as what `source_job_id`, or else this run, uploaded under the key.

    `directory_path` is made if need be; absent, the folder is a temporary one. Raises TypeError and ValueError, and AtlasError
    where there is no such job or its master does not answer.
    """
    if not isinstance(key, str):
        raise TypeError("Invalid key %s with type %s. A key should be text" % (_values.short(key), type(key)))
    from foundations import _content

    if "/" in key or not _content.is_plain(key) or len(key.encode()) > _limits.KEY:
        raise ValueError(
            "Invalid key `%s`: it is the name of a folder, of at most %d bytes" % (_refused.short(key), _limits.KEY)
        )
    if source_job_id is not None and not isinstance(source_job_id, str):
        raise TypeError("Invalid source_job_id %s with type %s" % (_values.short(source_job_id), type(source_job_id)))
    path = tempfile.mkdtemp() if directory_path is None else os.path.abspath(os.fspath(directory_path))
    os.makedirs(path, exist_ok=True)
    own = os.environ.get("ATLAS_JOB_ID") if _run.spool() is not None else None
    directory = SyncableDirectory(key, path, own, source_job_id or own)
    directory._begin()
    return directory


def tell(key: str, files: dict[str, Content]) -> None:
    """Says on the run what a folder holds."""
    spool = _run.spool()
    if spool is not None:
        spool.write(line(key, files))


def line(key: str, files: dict[str, Content]) -> str:
    """The event of an upload."""
    size = sum(it.bytes for it in files.values())
    words = (_json.text(key), len(files), size, _spool.now())
    return '{"e":"synced","key":%s,"files":%d,"bytes":%d,"at":%d}\n' % words


def _kept(key: str) -> str | None:
    """Where a folder of a run outside of a job waits for its master; `None` = this is a job."""
    run = os.environ.get("ATLAS_RUN_DIR")
    if not run or _run.is_job():
        return None
    os.makedirs(os.path.join(run, KEPT), exist_ok=True)
    return os.path.join(run, KEPT, key)


def _when_known(work: Callable[[], dict[str, Content]]) -> dict[str, Content]:
    """A run outside of a job is begun at the master by another process, which may have a large folder to send first."""
    from foundations import _http
    from foundations._errors import Refused, Unreachable

    until = time.monotonic() + _http.LONG
    while True:
        try:
            return work()
        except Refused as refused:
            notice = _notice()
            if refused.code != "no_job" or _run.is_job() or time.monotonic() > until:
                raise
            if notice:
                raise Unreachable(notice) from refused
        time.sleep(_LOOK)


def _notice() -> str | None:
    """What is known of the run's master: nothing yet, that all is well, or what is not."""
    from foundations import _helper

    try:
        with open(os.path.join(os.environ.get("ATLAS_RUN_DIR", ""), _helper.NOTICE), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None
