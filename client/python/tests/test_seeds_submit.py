"""The examples of submissions that the users of 2020 were shown, with only their spelling corrected, against a real cluster."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, binary
from conftest import Job

SEARCH = """
import os
os.environ["FOUNDATIONS_COMMAND_LINE"] = "True" # Required so that an extra job is not created

import foundations
from foundations.parameters.generate_random_parameters import generate_random_parameters as some_random_parameter_generator

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
    params = some_random_parameter_generator(param_ranges)
    foundations.submit(scheduler_config="scheduler", command=["main.py"], params=params)
"""

MAIN = """
#Example main.py
import foundations

params = foundations.load_parameters()
...

def train_model(learning_rate, epochs):
    foundations.log_metric("accuracy", 0.9)

train_model(params.get("learning_rate"), params["epochs"])
"""

AWS = """
cache_config:
  end_point: /cache_end_point
container_config_root: /home/ada/.foundations/config/local_docker_scheduler/worker_config
job_deployment_env: local_docker_scheduler_plugin
job_results_root: /home/ada/.foundations/job_data
scheduler_url: %s
working_dir_root: /home/ada/.foundations/local_docker_scheduler/work_dir
"""

JOB_CONFIG = """
# Project config #
project_name: 'my-atlas-project'
log_level: INFO

# Worker config #
num_gpus: 0
worker:
  image: us.gcr.io/atlas-ce/worker:latest
  args: [main.py]

  environment:
    MY_ENV_VAR: MY_VALUE
"""


def foundations_command(job: Job, *words: str) -> str:
    """What `foundations`, with `atlas` beside it, says on stderr and prints, which ends well."""
    path = os.path.dirname(binary("atlas")) + os.pathsep + os.environ["PATH"]
    done = job.run("-m", "foundations", *words, PATH=path)
    assert done.returncode == 0, (words, done.stderr)
    return done.stderr + done.stdout


def test_a_random_search_queues_five_jobs_that_log_their_parameters(
    cluster: Cluster, submitting: Any, job: Job
) -> None:
    folder = job.folder / "mnist"
    folder.mkdir()
    (folder / "main.py").write_text(MAIN)
    (folder / "search.py").write_text(SEARCH)
    job.folder = folder
    job.variables = {"ATLAS_HOME": str(cluster.home)}
    before = {it.name for it in folder.iterdir()}
    done = job.run("search.py")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert {it.name for it in folder.iterdir()} == before, "parameters travel beside the folder"
    assert not (cluster.home / "runs").exists(), "no extra job is created"
    found = [submitting.Deployment(it["id"]) for it in cluster.get("/jobs?project=mnist")["jobs"]]
    assert len(found) == 5
    for it in found:
        assert 5 <= it.get_param("epochs") <= 40
        assert 256 <= it.get_param("layer_shapes_0") <= 768
        assert (it.get_param("batch_size_2"), it.get_param("early_stopping_tolerance")) == (1024, 0.01)
        assert (it.get_metric("accuracy"), it.get_job_status()) == (0.9, "completed")


def test_a_configuration_of_2020_and_a_job_config_are_enough(
    cluster: Cluster, submitting: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = job.root / "of-2020" / "config" / "submission"
    folder.mkdir(parents=True)
    (folder / "aws.config.yaml").write_text(AWS % cluster.url)
    monkeypatch.setenv("FOUNDATIONS_HOME", str(job.root / "of-2020"))
    job.variables = {"ATLAS_HOME": str(cluster.home)}
    (job.folder / "main.py").write_text("import os\nprint(os.environ['MY_ENV_VAR'])")
    (job.folder / "job.config.yaml").write_text(JOB_CONFIG)
    import foundations

    deployment = foundations.submit(scheduler_config="aws")
    deployment.wait_for_deployment_to_complete()
    assert deployment.get_job_logs().endswith("MY_VALUE\n")
    assert deployment.get_job_details()["project_name"] == "my-atlas-project"
    # Streaming was missing here in 2020.
    assert foundations_command(job, "submit", "aws", ".", "main.py").endswith("MY_VALUE\n")
    assert foundations_command(job, "get", "logs", "aws", deployment.job_id).endswith("MY_VALUE\n")
    listed = foundations_command(job, "info", "--env")
    assert all(it in listed for it in ("aws", "scheduler", cluster.url)), listed


def test_a_job_says_how_many_gpus_it_needs(cluster: Cluster, submitting: Any, job: Job) -> None:
    (job.folder / "main.py").write_text("")
    deployment = submitting.submit(scheduler_config="scheduler", command="main.py", num_gpus=2, wait_for_capacity=True)
    assert cluster.get("/jobs/" + deployment.job_id)["num_gpus"] == 2
    assert deployment.get_job_status() == "queued"
    deployment.stop()


def test_every_command_of_the_scheduling_mode_does_what_it_did(cluster: Cluster, submitting: Any, job: Job) -> None:
    job.variables = {"ATLAS_HOME": str(cluster.home)}

    def foundations(*words: str) -> str:
        return foundations_command(job, *words)

    foundations("init", "my_project")
    job.folder = job.folder / "my_project"
    made = {"README.txt", "data", "job.config.yaml", "main.py"}
    assert made <= {it.name for it in job.folder.iterdir()}
    said = foundations("submit", "scheduler", ".", "main.py")
    found = re.search("Job submitted with ID '([0-9a-f-]{36})'", said)
    assert found is not None, said
    first = found.group(1)
    assert "Job '%s' has completed." % first in said
    assert foundations("get", "logs", "scheduler", first).strip() != ""
    foundations("get", "job", "scheduler", first)
    assert list(Path(job.folder).rglob("*%s*" % first)), "the archive lies here"

    (job.folder / "main.py").write_text("import time\ntime.sleep(600)")
    jobs = [submitting.submit(job_directory=job.folder, command="main.py") for _ in range(4)]
    foundations("clear-queue", "scheduler")
    for it in jobs:
        if not it.is_job_complete():
            foundations("stop", "job", "scheduler", it.job_id)
        it.wait_for_deployment_to_complete(log_output=False)
        assert it.get_job_status() == "failed"
    foundations("delete", "job", "scheduler", first)
    with pytest.raises(submitting.Refused, match=first):
        submitting.Deployment(first)
