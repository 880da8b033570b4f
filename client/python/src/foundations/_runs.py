"""Runs that were, found and compared: `get_runs` with nothing but Python, `get_metrics_for_all_jobs` with pandas."""

from __future__ import annotations

from typing import Any

from foundations import _asked, _http, _told, _values

_PAGE = 1000
"""The most runs that one answer has; it may have fewer."""
_WITHIN = 120.0
"""Seconds that the master may take for a page of what a thousand runs told."""
_NO_TIME = "No time available"


def get_runs(
    project: str | None = None,
    filter: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    *,
    config: str | None = None,
) -> list[dict[str, Any]]:
    """The runs of a project, or of all, in the order that was asked for, else the newest first.

    `filter` and `sort` are those of `atlas jobs`: `"params.lr<=0.01 and status=completed"`, `"-metrics.acc.max"`. Each run is a
    dict as `Deployment.get_job_details` returns it, and `summaries` has of each metric `last`, `last_step`, `min`, `max` and
    `count`. Raises Refused where the master does not understand filter or order, and says at which column.
    """
    most = _most(limit)
    asked: Any = {
        "project": _asked.text(project, "project"),
        "filter": _asked.text(filter, "filter"),
        "sort": _asked.text(sort, "sort"),
    }
    master = _http.connect(_asked.text(config, "config"))
    found: list[dict[str, Any]] = []
    cursor = None
    while most is None or len(found) < most:
        size = _PAGE if most is None else min(_PAGE, most - len(found))
        page = master.ask("GET", "/runs", within=_WITHIN, limit=size, cursor=cursor, **asked)
        found += map(_run, page["runs"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found


def get_metrics_for_all_jobs(project_name: str, *, config: str | None = None) -> Any:
    """The runs of a project as a `pandas.DataFrame`, a row for each, the newest first.

    Columns: `project_name`, `job_id`, `user`, `status`, `start_time` and `completed_time` (local time as text), `creation_time`
    (seconds since 1970), `tags` (a dict); then each parameter, the last value of each metric, and each tag as `tag_KEY`. A
    parameter or metric whose name is taken by one of the columns before it is called `param_KEY` or `metric_KEY`.

    Raises ImportError without pandas, and ValueError where there is no such project.
    """
    try:
        import pandas
    except ImportError as error:
        what = "get_metrics_for_all_jobs makes a pandas.DataFrame, and pandas cannot be imported (%s): install it, or take %s"
        raise ImportError(what % (error, "foundations.get_runs(project=...), which needs nothing")) from error
    if not isinstance(project_name, str):
        raise TypeError(
            "project_name %s with type %s: it has to be text" % (_values.short(project_name), type(project_name))
        )
    runs = get_runs(project=project_name, config=config)
    if not runs:
        raise ValueError("Project `%s` does not exist!" % project_name)
    columns: dict[str, list[Any]] = {name: [_first(run)[name] for run in runs] for name in _first(runs[0])}
    for kind, source, is_marked in (
        ("param", "parameters", False),
        ("metric", "metrics", False),
        ("tag", "tags", True),
    ):
        _add(columns, runs, kind, source, is_marked)
    return pandas.DataFrame(columns)


def _most(limit: int | None) -> int | None:
    if limit is None:
        return None
    number: int = _values.plain_scalar(limit)
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError("limit %s with type %s: it has to be an int" % (_values.short(limit), type(limit)))
    if number < 0:
        raise ValueError("limit is %d: it has to be 0 or more" % number)
    return number


def _run(found: dict[str, Any]) -> dict[str, Any]:
    metrics = found["metrics"]
    return {
        **_told.details(found["job"], found["tags"], found["params"], metrics),
        "name": found["name"],
        "summaries": {key: _summary(metric) for key, metric in metrics.items()},
    }


def _summary(metric: dict[str, Any]) -> dict[str, Any]:
    return {
        "last": _told.plain(metric["last"]),
        "last_step": metric["last_step"],
        "min": _extreme(metric["min"]),
        "max": _extreme(metric["max"]),
        "count": metric["count"],
    }


def _extreme(found: dict[str, Any] | None) -> Any:
    return None if found is None else _told.plain(found["value"])


def _first(run: dict[str, Any]) -> dict[str, Any]:
    """The columns that every run has, as in 2020."""
    names = ("project_name", "job_id", "user", "status", "start_time", "completed_time", "creation_time", "tags")
    return {name: _local(run[name]) if name in ("start_time", "completed_time") else run[name] for name in names}


def _local(time: Any) -> str:
    return _NO_TIME if time is None else str(time.astimezone().replace(tzinfo=None).isoformat())


def _add(columns: dict[str, list[Any]], runs: list[dict[str, Any]], kind: str, source: str, is_marked: bool) -> None:
    """A column for each key that one of the runs has, in order of name."""
    missing = float("nan")
    for key in sorted({key for run in runs for key in run[source]}):
        name = "%s_%s" % (kind, key) if is_marked or key in columns else key
        while name in columns:
            name = "%s_%s" % (kind, name)
        columns[name] = [run[source].get(key, missing) for run in runs]
