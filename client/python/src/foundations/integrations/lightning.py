"""Lightning, as the package `lightning` or `pytorch_lightning`.

trainer = Trainer(logger=FoundationsLogger())
"""

from __future__ import annotations

import os
import sys
from typing import Any, Mapping

from foundations import _values
from foundations.integrations import _heard


def _library() -> tuple[Any, Any]:
    """Of the package that the script uses: each has classes of its own."""
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        from pytorch_lightning.loggers import Logger
        from pytorch_lightning.utilities.rank_zero import rank_zero_only
    else:
        try:
            from lightning.pytorch.loggers import Logger
            from lightning.pytorch.utilities.rank_zero import rank_zero_only
        except ImportError:
            from pytorch_lightning.loggers import Logger
            from pytorch_lightning.utilities.rank_zero import rank_zero_only
    return Logger, rank_zero_only


_Logger: Any
_rank_zero_only: Any
_Logger, _rank_zero_only = _library()


class FoundationsLogger(_Logger):
    """Logs what modules `self.log(...)`, with the trainer's global step, and what they `save_hyperparameters()`, flattened."""

    @property
    def name(self) -> str:
        """A folder of this name holds the checkpoints, where no other is asked for."""
        return "foundations"

    @property
    def version(self) -> str:
        """In it one for each run."""
        return os.environ.get("ATLAS_JOB_ID") or "0"

    @_rank_zero_only
    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Called by Lightning, as the others."""
        found = _values.mapping(params)
        if found:
            _heard.params({_values.text_of(key): value for key, value in found.items()})

    @_rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """A point of each."""
        _heard.metrics(metrics, step)

    @_rank_zero_only
    def finalize(self, status: str) -> None:
        """Nothing is left to be written; how the script ends is seen from outside of it."""
