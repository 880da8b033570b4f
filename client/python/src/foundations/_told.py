"""What a job has told of itself, as the tracker keeps it."""

from __future__ import annotations

from datetime import datetime, timezone
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


def details(
    job: dict[str, Any], tags: dict[str, Any], params: dict[str, Any], metrics: dict[str, Any]
) -> dict[str, Any]:
    """A job and what it told by the names of 2020, beside those of the REST API."""
    return {
        **job,
        "tags": tags,
        "parameters": {key: plain(value) for key, value in params.items()},
        "metrics": {key: plain(metric["last"]) for key, metric in metrics.items()},
        "project_name": job["project"],
        "job_id": job["id"],
        "start_time": _time(job["started_ms"]),
        "completed_time": _time(job["ended_ms"]),
        "creation_time": job["submitted_ms"] / 1000,
    }


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, timezone.utc)
