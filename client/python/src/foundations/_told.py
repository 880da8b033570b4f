"""What a job has told of itself, as the tracker keeps it."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """A value as it was logged: numbers that JSON has no word for come with a mark."""
    if isinstance(value, list):
        return [plain(it) for it in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((mark, text),) = value.items()
        if mark == "$float" and text in ("nan", "inf", "-inf"):
            return float(text)
        if mark == "$int" and isinstance(text, str):
            return int(text)
    return {key: plain(it) for key, it in value.items()}
