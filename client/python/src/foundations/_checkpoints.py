"""Where a job that is moved to another machine goes on."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def checkpoint_dir() -> Path:
    """The folder that every attempt of the job finds again, whatever machine it runs on; `checkpoints` outside of a job."""
    from pathlib import Path

    folder = Path(os.environ.get("ATLAS_CHECKPOINT_DIR") or "checkpoints")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
