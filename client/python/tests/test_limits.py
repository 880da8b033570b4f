"""What is beyond a limit: left out, said once for each key, counted on the run."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Job


def dropped(job: Job) -> Any:
    return [(it["key"], it["why"], it["count"]) for it in job.events("dropped")]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    def lines() -> list[str]:
        return capsys.readouterr().err.splitlines()

    return lines


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "a key is empty"),
        ("é" * 126, "a key has more than 250 bytes"),
        ("a\nb", "a key has control characters"),
        ("a\x9fb", "a key has control characters"),
    ],
)
def test_a_key_that_no_run_can_have(job: Job, sdk: Any, said: Any, key: str, why: str) -> None:
    sdk.log_metric(key, 1)
    sdk.log_metric(key, 2)
    assert len(said()) == 1
    assert [it[1:] for it in dropped(job)] == [(why, 1), (why, 1)]
    sdk.log_param(key, 1)
    sdk.set_tag(key)
    assert {it["e"] for it in job.events()} == {"dropped"}


def test_the_longest_key_is_one(job: Job, sdk: Any) -> None:
    sdk.log_metric("é" * 125, 1)
    sdk.log_metric("\u200b", 1)
    assert len(job.events("metric")) == 2


def test_a_long_text_is_cut_and_says_so_once(job: Job, sdk: Any, said: Any) -> None:
    for _ in range(3):
        sdk.log_metric("note", "é" * 1000)
    assert [it["value"] for it in job.events("metric")] == ["é" * 500] * 3
    assert len(said()) == 1
    assert dropped(job) == [("note", "a text was cut", 1)] * 2, "the third waits for a fourth, or for the end"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("x" * 20_000, "a parameter's value is too long"),
        (list(range(10_000)), "a parameter's value is too long"),
        (10**1000, "an integer has more than 1000 digits"),
        (10**20_000, "an integer has more than 1000 digits"),
    ],
    ids=["text", "list", "integer", "large integer"],
)
def test_a_parameter_that_is_too_long(job: Job, sdk: Any, said: Any, value: Any, why: str) -> None:
    sdk.log_params({"p": value} if not isinstance(value, list) else {"q": 1})
    sdk.log_param("p", value)
    assert len(said()) == 1
    assert {it[:2] for it in dropped(job)} == {("p", why)}
    assert "p" not in [it["key"] for it in job.events("param")]


def test_a_parameter_within_itself_is_too_deep(job: Job, sdk: Any) -> None:
    endless: Any = []
    endless.append(endless)
    sdk.log_param("p", endless)
    assert dropped(job) == [("p", "lists and maps lie more than 32 deep in one another", 1)]
    deep: Any = 1
    for _ in range(32):
        deep = [deep]
    sdk.log_param("deep", deep)
    assert len(job.events("param")) == 1


def test_an_array_that_is_too_large_is_not_even_written_out(job: Job, sdk: Any) -> None:
    class Huge:
        shape = (1_000_000, 1_000_000)

        def tolist(self) -> Any:
            raise AssertionError("it must not be asked")

    sdk.log_param("p", Huge())
    assert dropped(job) == [("p", "an array has 1000000000000 elements", 1)]


def test_integers_of_any_size_up_to_the_limit_survive(job: Job, sdk: Any) -> None:
    sdk.log_metric("m", 10**999)
    sdk.log_metric("m", -(10**1000))
    assert [it["value"] for it in job.events("metric")] == [{"$int": str(10**999)}]


def test_a_run_has_so_many_keys(job: Job, sdk: Any, said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from foundations import _limits

    for name in ("METRICS", "PARAMS", "TAGS", "ARTIFACTS"):
        monkeypatch.setattr(_limits, name, 2)
    (job.folder / "f").write_text("1")
    for key in ("a", "b", "c", "a"):
        sdk.log_metric(key, 1)
        sdk.log_param(key, 1)
        sdk.set_tag(key)
    for key in ("a", "b", "c"):
        sdk.save_artifact("f", key)
    kept = [it["key"] for it in job.events() if it["e"] != "dropped"]
    assert sorted(kept) == ["a"] * 7 + ["b"] * 4
    assert len(said()) == 1, "one key is one warning"
    assert sum(it[2] for it in dropped(job)) == 4


def test_all_parameters_have_a_limit_together(job: Job, sdk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from foundations import _limits

    monkeypatch.setattr(_limits, "PARAMS_BYTES", 10)
    for key, value in (("a", "x" * 6), ("a", "y" * 6), ("b", 1), ("c", 22), ("d", 3)):
        sdk.log_param(key, value)
    assert [it["key"] for it in job.events("param")] == ["a", "a", "b", "d"]


def test_a_metric_has_so_many_points(job: Job, sdk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from foundations import _limits

    monkeypatch.setattr(_limits, "POINTS", 3)
    sdk.log_metric("m", [1, 2])
    sdk.log_metric("m", [3, 4, 5])
    sdk.log_metric("m", 6)
    assert [it["value"] for it in job.events("metric")] == [1, 2, 3]
    assert dropped(job) == [("m", "the metric has too many points", 2)], "the third waits for a fourth, or for the end"


def test_what_was_refused_is_counted_to_the_end(job: Job) -> None:
    job.script("import foundations\nfor _ in range(1000): foundations.log_metric('', 1)\n")
    assert sum(it[2] for it in dropped(job)) == 1000
    assert len(dropped(job)) < 15


def test_many_keys_are_not_as_many_warnings(job: Job, sdk: Any, said: Any) -> None:
    for number in range(500):
        sdk.log_metric("x" * 300 + str(number), 1)
    assert len(said()) == 51
    assert len(job.spool.read_bytes()) < 20_000


@pytest.mark.parametrize("set_it", ["set_tag('k', text)", "set_name(text)"])
def test_a_long_text_is_left_out(job: Job, sdk: Any, set_it: str) -> None:
    eval("sdk." + set_it, {"sdk": sdk, "text": "x" * 1001})
    assert [it["why"] for it in job.events()] == ["a text has more than 1000 bytes"]
    eval("sdk." + set_it, {"sdk": sdk, "text": "x" * 1000})
    assert len(job.events()) == 2
