"""`submit`: what `atlas submit` does, from a script."""

from __future__ import annotations

import functools
import os
from typing import Any, Callable, Iterable, Mapping, Sequence, TypeVar, cast

from foundations import _asked, _http, _nearest, _say
from foundations._deployment import Deployment, print_logs
from foundations._errors import AtlasError, Refused
from foundations._submission import Submission, job_config, look

_F = TypeVar("_F", bound=Callable[..., Any])

_resources: dict[str, _asked.Number] = {}
"""What `set_job_resources` said last."""


def _says_the_nearest(function: _F) -> _F:
    """A keyword that is not known is answered with the one that may have been meant."""
    code = function.__code__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @functools.wraps(function)
    def checked(*args: Any, **keywords: Any) -> Any:
        for keyword in keywords:
            if keyword not in known:
                raise _unknown(function.__name__, keyword, known)
        return function(*args, **keywords)

    return cast("_F", checked)


def _unknown(function: str, keyword: object, known: Iterable[str]) -> TypeError:
    what = "%s() got an unexpected keyword argument '%s'%s"
    return TypeError(what % (function, keyword, _nearest.meant(str(keyword), known)))


def set_job_resources(num_gpus: int = 0, ram: float | None = None) -> None:
    """What jobs need that this process submits from now on without `num_gpus` or `ram` of their own: so many GPUs, and so many
    GB of memory (`None` = no limit of its own).
    """
    global _resources
    said = {"num_gpus": _asked.quantity(num_gpus, "num_gpus"), "ram_gb": _asked.quantity(ram, "ram")}
    if isinstance(said["num_gpus"], float) or (isinstance(said["num_gpus"], int) and said["num_gpus"] < 0):
        raise ValueError("num_gpus is %r: a job needs a whole number of GPUs, 0 or more" % (num_gpus,))
    if isinstance(said["ram_gb"], (int, float)) and said["ram_gb"] <= 0:
        raise ValueError("ram is %r: a job needs more than 0 GB of memory" % (ram,))
    _resources = {key: value for key, value in said.items() if value is not None}


@_says_the_nearest
def submit(
    *,
    scheduler_config: str | None = None,
    job_directory: str | os.PathLike[str] | None = None,
    command: _asked.Words | None = None,
    params: Any = None,
    project_name: str | None = None,
    num_gpus: _asked.Number | None = None,
    ram: _asked.Number | None = None,
    entrypoint: _asked.Words | None = None,
    stream_job_logs: bool | None = None,
    cpus: _asked.Number | None = None,
    shm: _asked.Number | None = None,
    time_limit: _asked.TimeLimit | None = None,
    image: str | None = None,
    env: _asked.Pairs | None = None,
    secrets: Mapping[str, str | None] | Sequence[str] | None = None,
    volumes: Mapping[str, Any] | Sequence[str] | None = None,
    name: str | None = None,
    tags: _asked.Pairs | None = None,
    note: str | None = None,
    wait_for_capacity: bool = False,
    fresh_requirements: bool = False,
    no_ignore: bool = False,
    job_dir: str | os.PathLike[str] | None = None,
    config: str | None = None,
) -> Deployment:
    """Sends a folder to the cluster and puts a job into its queue; docs/using/sdk.md describes each keyword.

    With `stream_job_logs=True` it writes the job's log to stdout, and returns when the job has ended. Raises TypeError and
    ValueError for what is wrong with an argument, Refused for what the master does not do, Unreachable where none answers.
    """
    given = locals()
    one = _of_a_job({it: given[it] for it in _asked.OF_A_JOB})
    where = _one_of("scheduler_config", scheduler_config, "config", config)
    folder = _one_of("job_directory", job_directory, "job_dir", job_dir)
    [deployment], projects = _send([one], where, folder, secrets, no_ignore)
    if isinstance(deployment, Refused):
        raise deployment
    _say.notice("Job submitted with ID '%s' in project '%s'." % (deployment.job_id, projects.get(deployment.job_id)))
    if stream_job_logs:
        print_logs(deployment)
    return deployment


class SomeRefused(AtlasError):
    """Of the jobs of `submit_many` at least one was refused; the others are in the queue."""

    def __init__(self, deployments: list[Deployment | None], problems: dict[int, Refused]) -> None:
        place, first = next(iter(problems.items()))
        what = "%d of %d jobs were refused; the first of them is jobs[%d]: %s"
        super().__init__(what % (len(problems), len(deployments), place, first))
        self.deployments = deployments
        """As `submit_many` returns them; `None` for a job that was refused."""
        self.problems = problems
        """By the job's place in the list."""

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.deployments, self.problems)


def submit_many(
    jobs: Sequence[Mapping[str, Any]],
    *,
    scheduler_config: str | None = None,
    job_directory: str | os.PathLike[str] | None = None,
    secrets: Mapping[str, str | None] | Sequence[str] | None = None,
    no_ignore: bool = False,
    job_dir: str | os.PathLike[str] | None = None,
    config: str | None = None,
    **common: Any,
) -> list[Deployment]:
    """Submits thousands of jobs that share a folder. Each is a dict of keywords of `submit`; those in `common` hold for every
    job that does not say its own. They wait in the order of the list.

    Raises as `submit` does, before anything was sent; SomeRefused where the master refused some of them.
    """
    ones = []
    for job in jobs:
        keywords = {**common, **job}
        for keyword in keywords:
            if keyword not in _asked.OF_A_JOB:
                raise _unknown("submit_many", keyword, [*_asked.OF_A_JOB, *_OF_ALL_JOBS])
        ones.append(_of_a_job(keywords))
    if not ones:
        return []
    where = _one_of("scheduler_config", scheduler_config, "config", config)
    folder = _one_of("job_directory", job_directory, "job_dir", job_dir)
    fates, projects = _send(ones, where, folder, secrets, no_ignore)
    problems = {place: it for place, it in enumerate(fates) if isinstance(it, Refused)}
    taken = [it if isinstance(it, Deployment) else None for it in fates]
    named = ", ".join("'%s'" % it for it in sorted(set(projects.values())))
    many = len(taken) - len(problems)
    said = (many, "job" if many == 1 else "jobs", " in project " + named if named else "")
    _say.notice("%d %s submitted%s." % said)
    if problems:
        raise SomeRefused(taken, problems)
    return [it for it in taken if it is not None]


_OF_ALL_JOBS = ("scheduler_config", "job_directory", "secrets", "no_ignore")


def _of_a_job(keywords: Mapping[str, Any]) -> dict[str, Any]:
    return {**_resources, **_asked.overrides(keywords)}


def _one_of(name: str, value: Any, other: str, same: Any) -> Any:
    """What either of two keywords says that mean the same."""
    if value is not None and same is not None and value != same:
        raise TypeError("%s and %s mean the same: give one of them" % (name, other))
    return same if value is None else value


def _send(
    ones: list[dict[str, Any]], config: Any, folder: Any, secrets: Any, no_ignore: bool
) -> tuple[list[Deployment | Refused], dict[str, str]]:
    """What became of each, and the projects of those that were taken, by their ids. In the order in which `atlas` looks at
    things: what is wrong with the words is said before anything else.
    """
    config = _asked.text(config, "scheduler_config")
    folder = os.fsdecode(folder if folder is not None else ".")
    sealed = _asked.secrets(secrets)
    for one in ones:
        both = sorted(sealed.keys() & one.get("env", {}).keys())
        if both:
            raise ValueError("secrets and env name the same: keep %s in one of them" % both[0])
    job_config_yaml = job_config(folder)
    master = _http.connect(config)
    tree = look(folder, [it.get("command", []) for it in ones], _asked.truth(no_ignore, "no_ignore"))
    submission = Submission(master, tree, job_config_yaml, sealed)
    fates = submission.send(ones)
    return [it if isinstance(it, Refused) else Deployment.on(master, it) for it in fates], submission.projects
