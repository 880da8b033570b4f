"""Which master is meant: as `atlas` finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundations import _config
from foundations._errors import AtlasError

DEFAULT = "http://127.0.0.1:5558"
AWS, LAB = {"first/aws": "scheduler_url: http://aws:1"}, {"second/lab": "scheduler_url: http://lab:2"}
OF_2020 = """cache_config:
  end_point: /cache_end_point
container_config_root: /root/.foundations/config/local_docker_scheduler/worker_config
job_deployment_env: local_docker_scheduler_plugin
job_results_root: /root/.foundations/job_data
scheduler_url: http://10.1.2.3:5000
working_dir_root: /root/.foundations/work_dir
"""


class Homes:
    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            home, _, file = name.rpartition("/")
            folder = self.root / home / "config" / "submission"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / (file + ".config.yaml")).write_text(text)


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Homes:
    for name in ("ATLAS_CONFIG", "ATLAS_URL", "ATLAS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path / "first"))
    monkeypatch.setenv("FOUNDATIONS_HOME", str(tmp_path / "second"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Homes(tmp_path)


def test_without_any_file_there_is_the_scheduler_of_this_machine(homes: Homes) -> None:
    assert _config.find().url == _config.find("scheduler").url == DEFAULT


def test_the_only_configuration_is_the_default_and_of_several_the_scheduler(
    homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes.write(AWS)
    assert _config.find().url == "http://aws:1"
    homes.write(LAB)
    assert _config.find().url == DEFAULT
    assert _config.find("lab").url == "http://lab:2"
    monkeypatch.setenv("ATLAS_CONFIG", "aws")
    assert _config.find().url == "http://aws:1"


def test_the_earlier_folder_wins_and_that_of_the_script_is_told(
    homes: Homes, capsys: pytest.CaptureFixture[str]
) -> None:
    homes.write({"first/lab": "scheduler_url: http://new:1", "second/lab": "scheduler_url: http://old:1"})
    assert _config.find("lab").url == "http://new:1"
    homes.write({"here/lab": "scheduler_url: http://here:1"})
    assert _config.find("lab").url == "http://here:1"
    assert "The configuration 'lab' comes from ./config/submission/lab.config.yaml." in capsys.readouterr().err


def test_an_unknown_name_lists_the_known_ones(homes: Homes) -> None:
    homes.write(AWS)
    with pytest.raises(AtlasError) as error:
        _config.find("asw")
    assert str(error.value) == (
        "there is no configuration named 'asw', did you mean aws? Known are aws, scheduler (see `atlas info --env`)"
    )


def test_a_file_of_2020_works_and_its_port_is_explained(homes: Homes, capsys: pytest.CaptureFixture[str]) -> None:
    homes.write({"second/scheduler": OF_2020})
    assert _config.find().url == "http://10.1.2.3:5558"
    assert "5558 is meant and used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("scheduler_url: 'http://a:1'  # ours", "http://a:1"),
        ('"scheduler_url":   "http://a:1"\r\n', "http://a:1"),
        ("# scheduler_url: http://b\nscheduler_url: http://a:1/ # x\nother:\n  scheduler_url: http://c", "http://a:1"),
        ("\ufeffscheduler_url: http://a", "http://a:5558"),
        ("scheduler_url: http://[::1]:7", "http://[::1]:7"),
    ],
)
def test_of_a_file_one_line_counts(homes: Homes, text: str, url: str) -> None:
    homes.write({"first/x": text})
    assert _config.find("x").url == url


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "lacks scheduler_url"),
        ("scheduler_url:", "lacks scheduler_url"),
        ("a:\n  scheduler_url: http://a", "lacks scheduler_url"),
        ("scheduler_url: http://a\nscheduler_url: http://b", "names scheduler_url twice"),
        ("scheduler_url: http://a/b", "more or less than a host and a port; it looks like http://host:5558"),
        ("scheduler_url: http://u:p@a", "more or less"),
        ("scheduler_url: http://a:99999", "more or less"),
        ("scheduler_url: https://a", "TLS"),
        ("scheduler_url: 10.0.0.1:5558", "no scheme"),
        ("scheduler_url: ftp://a", "no http address"),
    ],
)
def test_a_file_that_says_nothing_useful_is_named(homes: Homes, text: str, why: str) -> None:
    homes.write({"first/x": text})
    with pytest.raises(AtlasError) as error:
        _config.find("x")
    assert "x.config.yaml" in str(error.value)
    assert why in str(error.value)


def test_a_job_finds_its_master_and_shows_its_token_to_no_other(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    homes.write(AWS)
    monkeypatch.setenv("ATLAS_URL", "http://127.0.0.1:40000")
    monkeypatch.setenv("ATLAS_TOKEN", "atlas_job_x")
    for asked in (None, "scheduler"):
        assert _config.find(asked) == ("127.0.0.1", 40000, "atlas_job_x")
        assert "atlas_job_x" not in repr(_config.find(asked))
    assert _config.find("aws") == ("aws", 1, None)
    monkeypatch.setenv("ATLAS_TOKEN", "a\nb")
    with pytest.raises(AtlasError, match=r"^the environment variable ATLAS_TOKEN holds characters"):
        _config.find()
    homes.write({"first/scheduler": "scheduler_url: http://lab:1"})
    assert _config.find("scheduler") == ("lab", 1, None)
