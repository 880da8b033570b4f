from __future__ import annotations

import enum
import math
import os
from typing import Any

import pytest
from conftest import Job


def point(value: Any, key: str = "loss", **more: Any) -> Any:
    return {"e": "metric", "key": key, "value": value, **more}


def test_a_point_is_one_line(job: Job, sdk: Any) -> None:
    sdk.log_metric("loss", 0.25, step=7)
    (line,) = [it for it in job.lines() if '"metric"' in it]
    assert line.startswith('{"e":"metric","key":"loss","value":0.25,"step":7,"at":')
    assert job.spool.read_bytes().endswith(b"}\n")


def test_without_a_step_the_reader_counts(job: Job, sdk: Any) -> None:
    sdk.log_metric("loss", 1)
    assert job.events() == [point(1)]


@pytest.mark.parametrize(
    "value", [True, False, 0, -3, 2**63 - 1, -(2**63), 0.1, 1e300, 5e-324, -0.0, "", 'a "b"\n\\ é 🚀\x01']
)
def test_a_value_comes_out_as_it_went_in(job: Job, sdk: Any, value: Any) -> None:
    sdk.log_metric("m", value)
    (event,) = job.events()
    assert event["value"] == value
    assert type(event["value"]) is type(value)
    assert len(job.lines()) == 2, "the facts and one more"


@pytest.mark.parametrize(
    ("value", "mark"),
    [
        (math.nan, {"$float": "nan"}),
        (math.inf, {"$float": "inf"}),
        (-math.inf, {"$float": "-inf"}),
        (2**63, {"$int": "9223372036854775808"}),
        (-8888888888888888888888888, {"$int": "-8888888888888888888888888"}),
    ],
)
def test_what_json_cannot_say_survives(job: Job, sdk: Any, value: Any, mark: Any) -> None:
    sdk.log_metric("m", value)
    assert job.events() == [point(mark, "m")]


def test_of_a_list_each_element_is_a_point(job: Job, sdk: Any) -> None:
    sdk.log_metric("loss", [3, 2.5, "x"])
    sdk.log_metric("loss", [1, 0], step=10)
    sdk.log_metric("loss", [])
    assert job.events() == [point(3), point(2.5), point("x"), point(1, step=10), point(0, step=11)]


def test_several_metrics_are_one_write(job: Job, sdk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, writes = os.write, []

    def write(fd: int, data: bytes) -> int:
        writes.append(data)
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    sdk.log_metrics({"loss": 1.5, "acc": [0.1, 0.2]}, step=2)
    assert job.events() == [point(1.5, step=2), point(0.1, "acc", step=2), point(0.2, "acc", step=3)]
    assert len(writes) == 1


def test_when_one_of_several_is_wrong_none_is_logged(job: Job, sdk: Any) -> None:
    with pytest.raises(TypeError, match='key="acc"'):
        sdk.log_metrics({"loss": 1.5, "acc": None})
    assert job.events() == []


@pytest.mark.parametrize("value", [None, {}, (1, 2), [[1]], [None], b"x", object(), {1}, 1j])
def test_what_is_no_metric_is_refused_at_the_call(job: Job, sdk: Any, value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        sdk.log_metric("loss", value)
    assert 'Invalid metric with key="loss"' in str(caught.value)
    assert str(type(value)) in str(caught.value)
    assert "Value should be of type string or number, or a list of strings / numbers" in str(caught.value)
    assert job.events() == []


def test_a_long_value_is_shortened_in_the_error(sdk: Any) -> None:
    with pytest.raises(TypeError) as caught:
        sdk.log_metric("loss", {"x" * 1000: 1})
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("key", [None, 1, b"loss", ("a",)])
def test_a_name_is_text(job: Job, sdk: Any, key: Any) -> None:
    with pytest.raises(TypeError, match="Invalid metric name"):
        sdk.log_metric(key, 1)
    with pytest.raises(TypeError, match="Invalid metric name"):
        sdk.log_metrics({key: 1})
    assert job.events() == []


@pytest.mark.parametrize(("step", "error"), [(1.0, TypeError), ("1", TypeError), (-1, ValueError), (2**63, ValueError)])
def test_a_step_is_a_number_from_0_on(job: Job, sdk: Any, step: Any, error: Any) -> None:
    with pytest.raises(error, match='key="loss"'):
        sdk.log_metric("loss", 1, step=step)
    with pytest.raises(TypeError, match="give a dict"):
        sdk.log_metrics([("loss", 1)])
    assert job.events() == []


def test_an_enum_that_is_text_is_its_text(job: Job, sdk: Any) -> None:
    class Name(str, enum.Enum):
        LOSS = "loss"

    class Level(enum.IntEnum):
        HIGH = 3

    sdk.log_metric(Name.LOSS, Level.HIGH)
    sdk.log_metric("loss", Name.LOSS)
    assert job.events() == [point(3), point("loss")]


def test_text_that_is_not_quite_text_is_kept_as_far_as_it_is(job: Job, sdk: Any) -> None:
    sdk.log_metric("file", "caf\udce9 é")
    assert job.events() == [point("caf��� é", "file")]
