"""Keras, version 3 with any of its backends, or the one of TensorFlow.

model.fit(x, y, epochs=5, callbacks=[FoundationsCallback()])
"""

from __future__ import annotations

from typing import Any, Mapping

from foundations.integrations import _heard

try:
    import keras as _keras
except ImportError:
    from tensorflow import keras as _keras


class FoundationsCallback(_keras.callbacks.Callback):
    """Logs what `fit` prints of each epoch: a metric for each of its values, by its name, with the epoch as its step.

    `every_n_batches` logs the values of every so many batches besides, as `batch_loss`, ... with the number of batches before as
    their step. An `evaluate` of its own logs `test_loss`, ... When training begins the parameters `epochs`, `steps_per_epoch`,
    `loss_function`, `model_parameters`, `optimizer` and its settings `optimizer_learning_rate`, ... are logged, unless
    `log_params` is False.
    """

    def __init__(self, every_n_batches: int | None = None, log_params: bool = True) -> None:
        super().__init__()
        self._every = every_n_batches
        self._log_params = log_params
        self._is_fitting = False
        self._batches = 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Called by Keras, as the others."""
        self._is_fitting = True
        if self._log_params and _heard.is_first():
            _heard.params(_settings(self.model, self.params or {}))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """The values are means since the epoch began."""
        if self._every and self._batches % self._every == 0:
            self._metrics("batch_", logs, self._batches)
        self._batches += 1

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Those of training and `val_...`."""
        self._metrics("", logs, epoch)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Nothing is left to be written."""
        self._is_fitting = False

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Of a validation `on_epoch_end` tells."""
        if not self._is_fitting:
            self._metrics("test_", logs, None)

    def _metrics(self, prefix: str, logs: Mapping[str, Any] | None, step: int | None) -> None:
        if logs and _heard.is_first():
            _heard.metrics({prefix + key: value for key, value in logs.items()}, step)


def _settings(model: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    found = {"epochs": params.get("epochs"), "steps_per_epoch": params.get("steps")}
    loss = getattr(model, "loss", None)
    if loss is not None:
        found["loss_function"] = loss if isinstance(loss, str) else getattr(loss, "name", None) or loss
    try:
        found["model_parameters"] = model.count_params()
    except ValueError:
        pass  # it is built by its first batch
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        found["optimizer"] = type(optimizer).__name__
        config = optimizer.get_config()
        found.update({"optimizer_" + key: it for key, it in config.items() if key != "name" and it is not None})
    return found
