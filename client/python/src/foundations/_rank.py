"""Which of the processes of one launch this is. Tables and curves show rank 0; the others are there when asked for."""

from __future__ import annotations

import os

_NAMES = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
"""Of torchrun, Open MPI, MPICH and srun. The first that is set counts: who starts torchrun by srun sets both."""

_field: str | None = None


def field() -> str:
    """What a point says of it, nothing for rank 0. Looked up at the first point: a worker is told its rank after it began."""
    global _field
    if _field is None:
        found = next(filter(lambda it: it >= 0, map(_read, _NAMES)), 0)
        _field = ',"rank":%d' % found if found else ""
    return _field


def is_launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return any(_read(name) >= 0 for name in _NAMES)


def _read(name: str) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 9 else -1


def _forget() -> None:
    global _field
    _field = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
