from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import pytest
from conftest import Job


def params(job: Job) -> dict[str, Any]:
    return {it["key"]: it["value"] for it in job.events("param")}


FLAT: list[Any] = [
    ({"lr": 0.1, "name": "x", "none": None}, {"lr": 0.1, "name": "x", "none": None}),
    (
        {"nest": {"a": {"b": [1, {"c": 2}]}, "e": {}}, "l": []},
        {"nest_a_b_0": 1, "nest_a_b_1_c": 2, "nest_e": None, "l": None},
    ),
    ({1: {2.5: {None: True}}}, {"1_2.5_None": True}),
    ({}, {}),
    ({"t": (1, [2])}, {"t_0": 1, "t_1_0": 2}),
]


@pytest.mark.parametrize(("nested", "flat"), FLAT)
def test_nested_parameters_are_flattened_as_they_were_in_2020(job: Job, sdk: Any, nested: Any, flat: Any) -> None:
    assert sdk.flatten_parameter_dictionary(nested) == flat
    sdk.log_params(nested)
    assert params(job) == flat


def test_a_namespace_and_a_dataclass_are_dicts(job: Job, sdk: Any) -> None:
    @dataclasses.dataclass
    class Net:
        depth: int
        sizes: list[int]

    sdk.log_params(argparse.Namespace(net=Net(2, [3, 4])))
    assert params(job) == {"net_depth": 2, "net_sizes_0": 3, "net_sizes_1": 4}


def test_two_parameters_of_one_name_are_an_error(job: Job, sdk: Any) -> None:
    twice = {"a_b": 1, "a": {"b": 2}}
    for function in (sdk.log_params, sdk.flatten_parameter_dictionary):
        with pytest.raises(ValueError, match="`a_b`"):
            function(twice)
    assert job.events() == []


@pytest.mark.parametrize("value", [None, [1], "lr", 3, {"a": {1, 2}}, {"a": object()}])
def test_what_has_no_named_parameters_is_refused(job: Job, sdk: Any, value: Any) -> None:
    with pytest.raises(TypeError):
        sdk.log_params(value)
    assert job.events() == []


def test_a_dict_within_itself_is_refused(sdk: Any) -> None:
    endless: dict[str, Any] = {}
    endless["x"] = endless
    with pytest.raises(ValueError, match="deep"):
        sdk.log_params(endless)


def test_the_same_key_again_overwrites_and_says_so(job: Job, sdk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    sdk.log_param("lr", 0.1)
    sdk.log_param("lr", 0.1)
    assert capsys.readouterr().err == ""
    sdk.log_param("lr", 0.2)
    assert capsys.readouterr().err == "Foundations INFO: Parameter `lr` updated to 0.2\n"
    assert params(job) == {"lr": 0.2}


def test_parameters_are_loaded_nested_and_logged_flat(job: Job, sdk: Any) -> None:
    given = {"lr": 0.1, "net": {"sizes": [64, 32]}}
    (job.folder / "foundations_job_parameters.json").write_text(json.dumps(given))
    assert sdk.load_parameters() == given
    assert params(job) == {"lr": 0.1, "net_sizes_0": 64, "net_sizes_1": 32}


def test_parameters_may_be_loaded_without_being_logged(job: Job, sdk: Any) -> None:
    (job.folder / "foundations_job_parameters.json").write_text('{"lr": NaN}')
    assert list(sdk.load_parameters(log_parameters=False)) == ["lr"]
    assert job.events() == []


def test_loaded_parameters_of_one_name_are_a_warning(job: Job, sdk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (job.folder / "foundations_job_parameters.json").write_text('{"a_b": 1, "a": {"b": 2}}')
    assert sdk.load_parameters() == {"a_b": 1, "a": {"b": 2}}
    assert "`a_b`" in capsys.readouterr().err
    assert params(job) == {"a_b": 2}


def test_no_file_or_an_empty_one_are_no_parameters(job: Job, sdk: Any) -> None:
    assert sdk.load_parameters() == {}
    (job.folder / "foundations_job_parameters.json").write_text("")
    assert sdk.load_parameters() == {}
    assert job.events() == []


@pytest.mark.parametrize("text", ["{", "[1]", '"lr"'])
def test_a_file_that_holds_no_parameters_is_an_error(job: Job, sdk: Any, text: str) -> None:
    (job.folder / "foundations_job_parameters.json").write_text(text)
    with pytest.raises(ValueError, match=r"foundations_job_parameters\.json"):
        sdk.load_parameters()
