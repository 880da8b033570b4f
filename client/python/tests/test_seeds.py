"""The examples that the users of 2020 were shown, with only their spelling corrected."""

from __future__ import annotations

import random
from typing import Any

import pytest
from conftest import Job

# The comma after the last value is not JSON.
PARAMETERS = """{
    "epochs": 6,
    "batch_size": 64,
    "layer_shapes": [128, 256, 192, 128],
    "early_stopping_tolerance": 0.01
}
"""

LOAD = """
#Example main.py
import foundations

params = foundations.load_parameters()
...

print(params["epochs"], params["layer_shapes"])
"""

TEMPLATE = """
import foundations

# Define some hyperparameters
params = {"depth": 3, "epochs": 5, "batch_size": 256, "learning_rate": 1e-3}
foundations.log_params(params)

foundations.log_metric("accuracy", 0.9)
foundations.log_metric("loss", 0.1)
foundations.save_artifact("README.txt", key="Project_README")
"""

SEARCH = """
import os
os.environ["FOUNDATIONS_COMMAND_LINE"] = "True" # Required so that an extra job is not created

import foundations

param_ranges = {
    "epochs": {
        "min": 5,
        "max": 40,
    },
    "layer_shapes": {
        "min": 256,
        "max": 768,
        "count_min": 1,
        "count_max": 3
    },
    "early_stopping_tolerance": 0.01,
    "batch_size": [64, 128, 1024]
}

for _ in range(5):
    params = foundations.parameters.generate_random_parameters(param_ranges)
    assert 5 <= params["epochs"] <= 40
    assert 1 <= len(params["layer_shapes"]) <= 3
    assert all(256 <= it <= 768 for it in params["layer_shapes"])
    assert params["early_stopping_tolerance"] == 0.01
    assert params["batch_size"] == [64, 128, 1024]
foundations.log_metric("not", "tracked")
"""


def test_parameters_of_a_submission_are_loaded_and_logged(job: Job) -> None:
    (job.folder / "foundations_job_parameters.json").write_text(PARAMETERS)
    assert job.script(LOAD).stdout == "6 [128, 256, 192, 128]\n"
    assert {it["key"]: it["value"] for it in job.events("param")} == {
        "epochs": 6,
        "batch_size": 64,
        "layer_shapes_0": 128,
        "layer_shapes_1": 256,
        "layer_shapes_2": 192,
        "layer_shapes_3": 128,
        "early_stopping_tolerance": 0.01,
    }


def test_the_first_script_logs_parameters_metrics_and_an_artifact(job: Job) -> None:
    (job.folder / "README.txt").write_text("read me")
    job.script(TEMPLATE)
    kinds = [it["e"] for it in job.events()]
    assert kinds == ["param"] * 4 + ["metric"] * 2 + ["artifact"]
    assert job.events()[-1]["key"] == "Project_README"


def test_a_random_search_draws_parameters_and_is_no_run_itself(job: Job) -> None:
    job.script(SEARCH)
    assert job.lines() == []


def test_both_spellings_of_counts_and_of_the_import_work(fresh: Any) -> None:
    sdk = fresh()
    import foundations.parameters.generate_random_parameters as of_2020
    from foundations.parameters.generate_random_parameters import generate_random_parameters

    assert sdk.parameters.generate_random_parameters is generate_random_parameters
    assert of_2020.generate_random_parameters is generate_random_parameters
    for names in (("count_min", "count_max"), ("min_count", "max_count")):
        space = {"x": {"min": 0, "max": 1, names[0]: 4, names[1]: 4}}
        assert len(generate_random_parameters(space)["x"]) == 4


def test_a_seed_makes_random_parameters_repeatable(sdk: Any) -> None:
    draw = sdk.parameters.generate_random_parameters
    random.seed(1)
    first = draw({"x": {"min": 0, "max": 1}})
    random.seed(1)
    assert draw({"x": {"min": 0, "max": 1}}) == first


@pytest.mark.parametrize(
    "space",
    [
        {"min": 0, "max": 1, "count_min": 2},
        {"min": 0, "max": 1, "count_min": 3, "count_max": 2},
        {"min": 0, "max": 1, "count_min": 1, "count_max": 2, "min_count": 1},
    ],
)
def test_a_range_that_is_none_is_an_error(sdk: Any, space: Any) -> None:
    with pytest.raises(ValueError, match="x: "):
        sdk.parameters.generate_random_parameters({"x": space})
    with pytest.raises(TypeError):
        sdk.parameters.generate_random_parameters([space])
