"""Values of other libraries: the real ones where they are small, and what they look like where they are not."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import sys
from pathlib import PurePosixPath
from typing import Any

import numpy
import pytest
from conftest import Job


class Tensor:
    """As far as torch.Tensor and jax.Array are alike."""

    def __init__(self, own: Any, shape: tuple[int, ...] = ()) -> None:
        self.own, self.shape = own, shape

    def item(self) -> Any:
        return self.own

    def tolist(self) -> Any:
        return self.own


@pytest.mark.parametrize(
    ("value", "own"),
    [
        (numpy.float64(0.5), 0.5),
        (numpy.float32(0.5), 0.5),
        (numpy.float16("nan"), {"$float": "nan"}),
        (numpy.longdouble(0.5), 0.5),
        (numpy.int8(-3), -3),
        (numpy.uint64(2**64 - 1), {"$int": "18446744073709551615"}),
        (numpy.bool_(True), True),
        (numpy.str_("x"), "x"),
        (numpy.array(2.5), 2.5),
        (numpy.array([2.5]), 2.5),
        (Tensor(0.25), 0.25),
        (Tensor(3, (1, 1)), 3),
    ],
)
def test_scalars_of_other_libraries_are_values(job: Job, sdk: Any, value: Any, own: Any) -> None:
    sdk.log_metric("m", value)
    sdk.log_param("p", value)
    sdk.log_metric("n", [value])
    assert [it["value"] for it in job.events()] == [own, own, own]


@pytest.mark.parametrize("value", [numpy.array([1, 2]), numpy.complex64(1), Tensor([1, 2], (2,)), numpy.array([])])
def test_arrays_are_no_metrics(sdk: Any, value: Any) -> None:
    with pytest.raises(TypeError, match='key="m"'):
        sdk.log_metric("m", value)


def test_a_step_may_be_numpys(job: Job, sdk: Any) -> None:
    sdk.log_metric("m", 1, step=numpy.int64(4))
    assert job.events() == [{"e": "metric", "key": "m", "value": 1, "step": 4}]


def test_no_library_is_imported_for_it(job: Job) -> None:
    done = job.script(
        "import sys, foundations\n"
        "foundations.log_metric('m', 1.5); foundations.log_param('p', [1])\n"
        "print([it for it in ('numpy', 'torch', 'jax', 'pandas') if it in sys.modules])"
    )
    assert done.stdout == "[]\n"


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Net:
    depth: int
    rate: Any = dataclasses.field(default_factory=lambda: numpy.float32(0.5))


@pytest.mark.parametrize(
    ("value", "own"),
    [
        (None, None),
        ([1, [2.5, None]], [1, [2.5, None]]),
        ((1, 2), [1, 2]),
        ({"a": {"b": True}, 2: "x", Colour.RED: 1}, {"a": {"b": True}, "2": "x", "RED": 1}),
        (PurePosixPath("/data/x"), "/data/x"),
        (Colour.RED, "RED"),
        (argparse.Namespace(lr=1), {"lr": 1}),
        (Net(3), {"depth": 3, "rate": 0.5}),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (Tensor([1.5, 2.5], (2,)), [1.5, 2.5]),
        ([2**70, float("inf")], [{"$int": str(2**70)}, {"$float": "inf"}]),
    ],
)
def test_a_parameter_stays_as_it_is(job: Job, sdk: Any, value: Any, own: Any) -> None:
    sdk.log_param("p", value)
    assert job.events() == [{"e": "param", "key": "p", "value": own}]


@pytest.mark.parametrize("value", [b"x", {1, 2}, object(), Net, [b"x"], {"a": object()}, 1j, sys])
def test_what_is_no_parameter_is_refused_at_the_call(job: Job, sdk: Any, value: Any) -> None:
    with pytest.raises(TypeError, match='Invalid parameter with key="p"'):
        sdk.log_param("p", value)
    assert job.events() == []


def test_a_parameter_without_a_fit_name_is_refused(sdk: Any) -> None:
    for key in (b"p", ("p",), object()):
        with pytest.raises(TypeError, match="Invalid parameter name"):
            sdk.log_param(key, 1)
