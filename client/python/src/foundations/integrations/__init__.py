"""What training libraries call while they train. Each module needs the library of its name, and is imported on use."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from foundations.integrations import keras as keras
    from foundations.integrations import lightning as lightning
    from foundations.integrations import tensorboard as tensorboard
    from foundations.integrations import transformers as transformers

__all__ = ["keras", "lightning", "tensorboard", "transformers"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError("module 'foundations.integrations' has no attribute '%s'" % name)
    from importlib import import_module

    return import_module("foundations.integrations." + name)
