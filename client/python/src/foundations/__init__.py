"""The Python SDK of Atlas: what a script says of itself while it runs. docs/using/sdk.md is its manual.

Importing it costs next to nothing: a function's module is imported when the function is first used.
"""

from __future__ import annotations

from foundations import _start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from foundations import artifacts as artifacts
    from foundations import integrations as integrations
    from foundations import parameters as parameters
    from foundations._artifacts import save_artifact as save_artifact
    from foundations._checkpoints import checkpoint_dir as checkpoint_dir
    from foundations._deployment import Deployment as Deployment
    from foundations._errors import AtlasError as AtlasError
    from foundations._errors import Refused as Refused
    from foundations._errors import Unreachable as Unreachable
    from foundations._flatten import flatten_parameter_dictionary as flatten_parameter_dictionary
    from foundations._metrics import log_metric as log_metric
    from foundations._metrics import log_metrics as log_metrics
    from foundations._outside import end as end
    from foundations._outside import start as start
    from foundations._params import load_parameters as load_parameters
    from foundations._params import log_param as log_param
    from foundations._params import log_params as log_params
    from foundations._runs import get_metrics_for_all_jobs as get_metrics_for_all_jobs
    from foundations._runs import get_runs as get_runs
    from foundations._submit import SomeRefused as SomeRefused
    from foundations._submit import set_job_resources as set_job_resources
    from foundations._submit import submit as submit
    from foundations._submit import submit_many as submit_many
    from foundations._syncable import SyncableDirectory as SyncableDirectory
    from foundations._syncable import create_syncable_directory as create_syncable_directory
    from foundations._tags import set_name as set_name
    from foundations._tags import set_project_name as set_project_name
    from foundations._tags import set_tag as set_tag
    from foundations._tensorboard import set_tensorboard_logdir as set_tensorboard_logdir
    from foundations._version import __version__ as __version__

_HOMES = {
    "AtlasError": "_errors",
    "Deployment": "_deployment",
    "Refused": "_errors",
    "SomeRefused": "_submit",
    "Unreachable": "_errors",
    "SyncableDirectory": "_syncable",
    "__version__": "_version",
    "artifacts": "",
    "checkpoint_dir": "_checkpoints",
    "create_syncable_directory": "_syncable",
    "end": "_outside",
    "flatten_parameter_dictionary": "_flatten",
    "get_metrics_for_all_jobs": "_runs",
    "get_runs": "_runs",
    "integrations": "",
    "load_parameters": "_params",
    "log_metric": "_metrics",
    "log_metrics": "_metrics",
    "log_param": "_params",
    "log_params": "_params",
    "parameters": "",
    "save_artifact": "_artifacts",
    "set_job_resources": "_submit",
    "set_name": "_tags",
    "set_project_name": "_tags",
    "set_tag": "_tags",
    "set_tensorboard_logdir": "_tensorboard",
    "start": "_outside",
    "submit": "_submit",
    "submit_many": "_submit",
}
"""In which module each name is at home; a name that is a module has none."""

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError("module 'foundations' has no attribute '%s'" % name)
    from importlib import import_module

    module = import_module("foundations." + (home or name))
    found: object = getattr(module, name) if home else module
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


_start.start()
