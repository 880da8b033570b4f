"""Hugging Face transformers.

trainer = Trainer(model, arguments, train_dataset=data, callbacks=[FoundationsCallback()])
"""

from __future__ import annotations

from typing import Any, Mapping

from transformers import TrainerCallback

from foundations.integrations import _heard


class FoundationsCallback(TrainerCallback):
    """Logs what the trainer reports (`loss`, `learning_rate`, `eval_loss`, `train_runtime`, ...) with its global step, and its
    `TrainingArguments` as parameters, unless `log_params` is False; `model_type` and `model_parameters` as well.
    """

    def __init__(self, log_params: bool = True) -> None:
        self._log_params = log_params

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Called by the trainer, as the other."""
        if not self._log_params or not state.is_world_process_zero:
            return
        model: Any = others.get("model")
        config: Any = getattr(model, "config", None)
        found = args.to_sanitized_dict()  # tokens are masked there
        if getattr(config, "model_type", None):
            found["model_type"] = config.model_type
        if hasattr(model, "num_parameters"):
            found["model_parameters"] = model.num_parameters()
        _heard.params(found)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **others: Any) -> None:
        """A point of each number."""
        if logs and state.is_world_process_zero:
            _heard.metrics(logs, state.global_step)
