"""TensorBoard, without a training library: torch's writer of event files, or tensorboardX', that logs scalars as well.

from foundations.integrations.tensorboard import SummaryWriter
"""

from __future__ import annotations

import sys
from typing import Any, Mapping

from foundations.integrations import _heard


def _writer() -> Any:
    """That of the library which the script uses, else of the one that is there."""
    if "tensorboardX" not in sys.modules:
        try:
            from torch.utils.tensorboard import SummaryWriter

            return SummaryWriter
        except ImportError:
            pass
    from tensorboardX import SummaryWriter as OfTensorboardX

    return OfTensorboardX


_Writer: Any = _writer()


class SummaryWriter(_Writer):
    """Writes what it always wrote; in rank 0 scalars are metrics as well, and the first dict of `add_hparams` parameters."""

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None, *args: Any, **keywords: Any) -> None:
        """Logs the metric `tag`."""
        super().add_scalar(tag, scalar_value, global_step, *args, **keywords)
        if _heard.is_first():
            _heard.metrics({tag: scalar_value}, global_step)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: Any = None, *args: Any, **keywords: Any
    ) -> None:
        """Logs the metrics `main_tag/KEY`."""
        super().add_scalars(main_tag, tag_scalar_dict, global_step, *args, **keywords)
        if _heard.is_first():
            _heard.metrics({"%s/%s" % (main_tag, key): value for key, value in tag_scalar_dict.items()}, global_step)

    def add_hparams(
        self, hparam_dict: Mapping[str, Any], metric_dict: Mapping[str, Any], *args: Any, **keywords: Any
    ) -> None:
        """Logs both."""
        super().add_hparams(hparam_dict, metric_dict, *args, **keywords)
        if _heard.is_first():
            _heard.params(hparam_dict)
            _heard.metrics(metric_dict)
