from __future__ import annotations

from typing import Any

import pytest
from conftest import Job


def test_a_tag_is_text(job: Job, sdk: Any) -> None:
    sdk.set_tag("best")
    sdk.set_tag("model", "cnn")
    sdk.set_tag("fold", 3)
    assert job.events() == [
        {"e": "tag", "key": "best", "value": ""},
        {"e": "tag", "key": "model", "value": "cnn"},
        {"e": "tag", "key": "fold", "value": "3"},
    ]


def test_a_tag_that_is_set_again_says_so(sdk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for value in ("a", "a", "b"):
        sdk.set_tag("k", value)
    assert capsys.readouterr().err == "Foundations WARNING: Tag `k` updated to `b`\n"


@pytest.mark.parametrize("value", [None, [1], {}, b"x"])
def test_what_is_no_tag_is_refused_at_the_call(job: Job, sdk: Any, value: Any) -> None:
    with pytest.raises(TypeError, match='tag with key="k"'):
        sdk.set_tag("k", value)
    with pytest.raises(TypeError, match="Invalid tag name"):
        sdk.set_tag(value, "x")
    with pytest.raises(TypeError, match="Invalid name"):
        sdk.set_name(value)
    assert job.events() == []


def test_a_run_has_a_name(job: Job, sdk: Any) -> None:
    sdk.set_name("try 7")
    assert job.events() == [{"e": "name", "value": "try 7"}]


def test_a_submitted_job_stays_in_its_project(job: Job, sdk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    sdk.set_project_name("mnist")
    assert capsys.readouterr().err == ""
    sdk.set_project_name("cifar")
    assert "--project-name 'cifar'" in capsys.readouterr().err
    assert job.events() == []
